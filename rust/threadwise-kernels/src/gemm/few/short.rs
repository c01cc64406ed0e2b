//! Short products: few terms, so that a tile would be over before its call has paid. Here one call goes through all
//! rows, some at a time.

use super::Few;
use crate::gemm::pack::pieces;
use crate::gemm::vectors::{row, write};
use crate::simd::Lanes;

/// A product of few terms that replaces C and has no activation.
pub(in crate::gemm) struct Short<T> {
    /// The product, with contiguous rows of A, of B and of C.
    pub(in crate::gemm) few: Few<T>,
    /// Columns of a first strip that is narrower than the widest, because whole lines of C begin after it; none, if it
    /// is not.
    pub(in crate::gemm) head: usize,
    /// From a strip of B to the next, for each of its columns: 1 where B lies, the number of terms where it is packed.
    pub(in crate::gemm) across: usize,
    /// Columns that all rows of A are multiplied with, before the next ones are: a whole number of strips.
    pub(in crate::gemm) block: usize,
    /// Whether lines of C are asked for while the sums of the strip before are computed.
    pub(in crate::gemm) is_ahead: bool,
}

/// Computes C.
///
/// # Safety
///
/// As [`super::FewFn`] says, with at least one column, and a first strip that is not wider than others.
pub(in crate::gemm) type ShortFn<T> = unsafe fn(&Short<T>);

/// Some rows of wide ones: those from a first on, of some columns.
///
/// # Safety
///
/// As [`super::FewFn`] says, of so many rows as the function is for; these rows and columns exist.
pub(super) type RowsFn<T> = unsafe fn(&Short<T>, usize, Columns<T>);

/// Columns of B and of C, of which a first strip is narrower than the widest if `head` is not 0.
pub(super) struct Columns<T> {
    begin: usize,
    end: usize,
    head: usize,
    b: *const T,
}

impl<T> Clone for Columns<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Columns<T> {}

/// `ROWS` rows at a time of one vector, or `HALF` of two, those that are left one by one; or of more vectors, up to as
/// many rows as the last of the functions is for, the first of which is for `LOW`.
///
/// # Safety
///
/// As [`ShortFn`] says; of more than two vectors, at least `LOW` rows.
#[inline(always)]
pub(super) unsafe fn short<
    V: Lanes,
    const ROWS: usize,
    const HALF: usize,
    const LOW: usize,
    const SIZES: usize,
>(
    proof: V::Proof,
    short: &Short<V::Element>,
    rows: &[RowsFn<V::Element>; SIZES],
) {
    if short.few.columns <= V::COUNT {
        // SAFETY: passed on.
        unsafe { slim::<V, ROWS, 1>(proof, &short.few) };
    } else if short.few.columns <= 2 * V::COUNT {
        // SAFETY: passed on.
        unsafe { slim::<V, HALF, 2>(proof, &short.few) };
    } else {
        // SAFETY: passed on.
        unsafe { wide::<V::Element, LOW, SIZES>(short, rows) };
    }
}

/// All columns, of `VECTORS` vectors.
///
/// # Safety
///
/// As [`short`].
#[inline(always)]
unsafe fn slim<V: Lanes, const ROWS: usize, const VECTORS: usize>(
    proof: V::Proof,
    few: &Few<V::Element>,
) {
    let all = (0, few.columns, few.b);
    let mut i = 0;
    while i + ROWS <= few.rows {
        // SAFETY: these rows exist.
        unsafe { some::<V, ROWS, VECTORS>(proof, few, i, all) };
        i += ROWS;
    }
    while i < few.rows {
        // SAFETY: the row exists.
        unsafe { some::<V, 1, VECTORS>(proof, few, i, all) };
        i += 1;
    }
}

/// Block by block of columns, and of each some rows, and then the next ones: C is written along its rows.
///
/// # Safety
///
/// As [`short`], with at least `LOW` rows, on a CPU with the instruction set of the functions.
#[inline(always)]
unsafe fn wide<T, const LOW: usize, const SIZES: usize>(
    short: &Short<T>,
    rows: &[RowsFn<T>; SIZES],
) {
    let few = &short.few;
    let mut columns = Columns { begin: 0, end: 0, head: short.head, b: few.b };
    while columns.begin < few.columns {
        let end = (columns.begin + columns.head).saturating_add(short.block);
        columns.end = end.min(few.columns);
        for (start, count) in pieces(few.rows, LOW + SIZES - 1) {
            // SAFETY: these rows and columns exist. Of at least `LOW` rows, which the caller promises, no piece has fewer.
            unsafe { rows[count - LOW](short, start, columns) };
        }
        let done = (columns.end - columns.begin) * short.across;
        columns.b = columns.b.wrapping_add(done);
        (columns.begin, columns.head) = (columns.end, 0);
    }
}

/// Strip by strip of `WIDE` vectors.
///
/// # Safety
///
/// As [`RowsFn`] says, of `ROWS` rows.
#[inline(always)]
pub(super) unsafe fn rows<V: Lanes, const ROWS: usize, const WIDE: usize>(
    proof: V::Proof,
    short: &Short<V::Element>,
    start: usize,
    Columns { begin, end, head, mut b }: Columns<V::Element>,
) {
    let (few, width) = (&short.few, WIDE * V::COUNT);
    let mut first = begin;
    let mut columns = if head > 0 { head } else { width };
    while first < end {
        columns = columns.min(end - first);
        let strip = (first, columns, b);
        if short.is_ahead {
            let row_ends = first + columns == end;
            let (row, column) =
                if row_ends { (start + ROWS, begin) } else { (start, first + columns) };
            for i in row..row + ROWS {
                for j in 1..=WIDE {
                    V::prefetch(few.c(i).wrapping_add(column + j * V::COUNT - 1));
                }
            }
        }
        let vectors = columns.div_ceil(V::COUNT);
        instance!(vectors, WIDE, [1 2 3 4], some [V ROWS] (proof, few, start, strip));
        b = b.wrapping_add(columns * short.across);
        (first, columns) = (first + columns, width);
    }
}

/// `ROWS` rows from `start` on of the columns from `first` on, of which `VECTORS` vectors hold `columns`, by a B of these.
///
/// # Safety
///
/// As [`short`]; these rows and columns exist.
#[inline(always)]
unsafe fn some<V: Lanes, const ROWS: usize, const VECTORS: usize>(
    proof: V::Proof,
    few: &Few<V::Element>,
    start: usize,
    (first, columns, mut b): (usize, usize, *const V::Element),
) {
    let mask = V::first(proof, columns - (VECTORS - 1) * V::COUNT);
    let mut sums = [[V::splat(proof, V::Element::default()); VECTORS]; ROWS];
    let mut a = few.a(start);
    for _ in 0..few.depth {
        // SAFETY: all these columns of a row of B.
        let right = unsafe { row::<V, VECTORS>(proof, mask, b) };
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: an element of row start + i of A.
            let left = V::splat(proof, unsafe { *a.wrapping_offset(i as isize * few.a_row) });
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = left.mul_add(right, *sum);
            }
        }
        (a, b) = (a.wrapping_add(1), b.wrapping_offset(few.b_stride));
    }
    if !few.bias.is_null() {
        // SAFETY: not null, so there is one summand a column.
        let bias = unsafe { row::<V, VECTORS>(proof, mask, few.bias.wrapping_add(first)) };
        for sums in &mut sums {
            for (sum, bias) in sums.iter_mut().zip(bias) {
                *sum = sum.add(bias);
            }
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        let c = few.c(start + i).wrapping_add(first);
        // SAFETY: these columns of row start + i of C.
        unsafe { write::<V, VECTORS>(mask, sums, c) };
    }
}
