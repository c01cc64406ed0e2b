//! Slim products: many rows, columns that one or two vectors hold, and few terms. A tile would be over before
//! its call has paid; here one call goes through all rows, some at a time.

use super::Few;
use crate::gemm::vectors::{row, write};
use crate::simd::Lanes;

/// `ROWS` rows at a time of one vector, or `HALF` of two; those that are left one by one.
///
/// # Safety
///
/// As [`super::FewFn`] says, with contiguous rows of A and of B, at least one column, and no more than two
/// vectors hold.
#[inline(always)]
pub(super) unsafe fn slim<V: Lanes, const ROWS: usize, const HALF: usize>(
    proof: V::Proof,
    few: &Few<V::Element>,
) {
    if few.columns <= V::COUNT {
        // SAFETY: passed on.
        unsafe { all::<V, ROWS, 1>(proof, few) };
    } else {
        // SAFETY: passed on.
        unsafe { all::<V, HALF, 2>(proof, few) };
    }
}

/// All rows, of `VECTORS` vectors.
///
/// # Safety
///
/// As [`slim`].
#[inline(always)]
unsafe fn all<V: Lanes, const ROWS: usize, const VECTORS: usize>(
    proof: V::Proof,
    few: &Few<V::Element>,
) {
    let mut i = 0;
    while i + ROWS <= few.rows {
        // SAFETY: these rows exist.
        unsafe { some::<V, ROWS, VECTORS>(proof, few, i) };
        i += ROWS;
    }
    while i < few.rows {
        // SAFETY: the row exists.
        unsafe { some::<V, 1, VECTORS>(proof, few, i) };
        i += 1;
    }
}

/// `ROWS` rows from `first` on.
///
/// # Safety
///
/// As [`slim`]; these rows exist.
#[inline(always)]
unsafe fn some<V: Lanes, const ROWS: usize, const VECTORS: usize>(
    proof: V::Proof,
    few: &Few<V::Element>,
    first: usize,
) {
    let mask = V::first(proof, few.columns - (VECTORS - 1) * V::COUNT);
    let mut sums = [[V::splat(proof, V::Element::default()); VECTORS]; ROWS];
    let (mut a, mut b) = (few.a(first), few.b);
    for _ in 0..few.depth {
        // SAFETY: all columns of a row of B.
        let right = unsafe { row::<V, VECTORS>(proof, mask, b) };
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: an element of row first + i of A.
            let left = V::splat(proof, unsafe { *a.wrapping_offset(i as isize * few.a_row) });
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = left.mul_add(right, *sum);
            }
        }
        (a, b) = (a.wrapping_add(1), b.wrapping_offset(few.b_stride));
    }
    if !few.bias.is_null() {
        // SAFETY: not null, so there is one summand a column.
        let bias = unsafe { row::<V, VECTORS>(proof, mask, few.bias) };
        for sums in &mut sums {
            for (sum, bias) in sums.iter_mut().zip(bias) {
                *sum = sum.add(bias);
            }
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        // SAFETY: all columns of row first + i of C.
        unsafe { write::<V, VECTORS>(mask, sums, few.c(first + i)) };
    }
}
