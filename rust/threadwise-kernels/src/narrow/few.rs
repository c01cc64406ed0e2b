//! Products of few rows with a large B, which is read once and widened on the way: neither packed nor
//! read in strips. As in `gemm/few.rs`, *dots* go along contiguous columns of B, *streams* along its
//! contiguous rows.

use super::Sum;
use super::units::{Fetch, prefetch};

/// Rows of A that these kernels take.
pub(super) const ROWS: usize = 4;

/// Columns that a tile of dots has.
const COLUMNS: usize = 4;

/// Groups of rows of B that are added to C at a time.
const TOGETHER: usize = 4;

/// Sums, over all rows, that are worked on before the next ones: half the nearest cache.
const NEAR: usize = 4096;

/// Bytes of B between those in use and those asked for.
const AHEAD: usize = 1024;

/// A product of few rows.
pub(super) struct Few<B, S> {
    /// Number of terms, k.
    pub(super) depth: usize,
    /// Number of columns.
    pub(super) columns: usize,
    /// The units of A: rows that zeros fill up to whole registers.
    pub(super) a: *const u32,
    /// From a row of A to the next.
    pub(super) a_row: usize,
    /// The first element of B.
    pub(super) b: *const B,
    /// From a column of B to the next for dots, whose columns are contiguous; from a row to the next
    /// for streams, whose rows are.
    pub(super) b_stride: isize,
    /// The first sum; columns are adjacent, and rows filled up to whole registers.
    pub(super) c: *mut S,
    /// From a row of sums to the next.
    pub(super) c_row: usize,
    /// Whether the product is added to C or replaces it; if it replaces it, C is not read.
    pub(super) accumulate: bool,
}

/// Computes C for a number of rows that the function fixes.
///
/// # Safety
///
/// The CPU has the instruction set of the kernel that the function belongs to. The units of A that `depth` needs,
/// filled up to whole registers, and all elements of B are readable; all elements of C, filled up to
/// whole registers, are readable and writable, and no other reference to them is in use.
pub(super) type FewFn<B, S> = unsafe fn(&Few<B, S>);

/// # Safety
///
/// As [`FewFn`] says, with `M` rows and contiguous columns of B.
#[inline(always)]
pub(super) unsafe fn dots<V, B, S, const M: usize>(proof: V::Proof, few: &Few<B, S>)
where
    V: Fetch<B, Sum = S>,
    B: Copy + Default,
    S: Sum,
{
    let mut j = 0;
    while j + COLUMNS <= few.columns {
        // SAFETY: columns j to j + COLUMNS - 1 are within B and C.
        unsafe { dots_tile::<V, B, S, M, COLUMNS>(proof, few, j) };
        j += COLUMNS;
    }
    while j < few.columns {
        // SAFETY: column j is within B and C.
        unsafe { dots_tile::<V, B, S, M, 1>(proof, few, j) };
        j += 1;
    }
}

/// # Safety
///
/// As [`dots`]; columns `first` to `first + N - 1` exist.
#[inline(always)]
unsafe fn dots_tile<V, B, S, const M: usize, const N: usize>(
    proof: V::Proof,
    few: &Few<B, S>,
    first: usize,
) where
    V: Fetch<B, Sum = S>,
    B: Copy + Default,
    S: Sum,
{
    let mut sums = [[V::splat(proof, 0); N]; M];
    let b = few.b.wrapping_offset(first as isize * few.b_stride);
    let step = V::COUNT * V::GROUP;
    let whole = few.depth / step;
    for p in 0..whole {
        for j in 0..N {
            let b = b.wrapping_offset(j as isize * few.b_stride).wrapping_add(p * step);
            prefetch(b.cast::<u8>().wrapping_add(AHEAD));
            // SAFETY: a register's elements of column first + j.
            let right = unsafe { V::along(proof, b) };
            for (i, sums) in sums.iter_mut().enumerate() {
                // SAFETY: a register of row i.
                let left =
                    unsafe { V::load(proof, few.a.wrapping_add(i * few.a_row + p * V::COUNT)) };
                sums[j] = left.dot(right, sums[j]);
            }
        }
    }
    let rest = few.depth - whole * step;
    if rest > 0 {
        for j in 0..N {
            let b = b.wrapping_offset(j as isize * few.b_stride).wrapping_add(whole * step);
            let mut elements = [B::default(); 64];
            // SAFETY: what is left of column first + j; `elements` is our own.
            unsafe { elements.as_mut_ptr().copy_from_nonoverlapping(b, rest) };
            // SAFETY: more elements than a register takes.
            let right = unsafe { V::along(proof, elements.as_ptr()) };
            for (i, sums) in sums.iter_mut().enumerate() {
                // SAFETY: what is left of row i, filled up to a register.
                let left =
                    unsafe { V::load(proof, few.a.wrapping_add(i * few.a_row + whole * V::COUNT)) };
                sums[j] = left.dot(right, sums[j]);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (j, sum) in sums.iter().enumerate() {
            let c = few.c.wrapping_add(i * few.c_row + first + j);
            let mut total = sum.total();
            if few.accumulate {
                // SAFETY: an element of C.
                total = unsafe { *c }.plus(total);
            }
            // SAFETY: an element of C.
            unsafe { c.write(total) };
        }
    }
}

/// # Safety
///
/// As [`FewFn`] says, with `M` rows and contiguous rows of B.
#[inline(always)]
pub(super) unsafe fn streams<V, B, S, const M: usize>(proof: V::Proof, few: &Few<B, S>)
where
    V: Fetch<B, Sum = S>,
    B: Copy + Default,
    S: Sum,
{
    // Whole registers, because C is filled up to whole ones from its beginning.
    let near = NEAR / M / V::COUNT * V::COUNT;
    let groups = few.depth.div_ceil(V::GROUP);
    for first in (0..few.columns).step_by(near) {
        let columns = near.min(few.columns - first);
        if !few.accumulate {
            for i in 0..M {
                for j in (0..columns).step_by(V::COUNT) {
                    let c = few.c.wrapping_add(i * few.c_row + first + j);
                    // SAFETY: a register of row i of C.
                    unsafe { V::splat(proof, 0).store(c.cast()) };
                }
            }
        }
        let mut group = 0;
        while (group + TOGETHER) * V::GROUP <= few.depth {
            // SAFETY: whole groups of B, and these columns of B and C.
            unsafe { add::<V, B, S, M, TOGETHER>(proof, few, group, first, columns) };
            group += TOGETHER;
        }
        while group < groups {
            // SAFETY: a group of B, and these columns of B and C.
            unsafe { add::<V, B, S, M, 1>(proof, few, group, first, columns) };
            group += 1;
        }
    }
}

/// Adds `N` groups of rows of B from `group` on, times their units of A, to `columns` columns of C.
///
/// # Safety
///
/// These groups and columns exist; only the last group of all may lack rows, if `N` is 1.
#[inline(always)]
unsafe fn add<V, B, S, const M: usize, const N: usize>(
    proof: V::Proof,
    few: &Few<B, S>,
    group: usize,
    first: usize,
    columns: usize,
) where
    V: Fetch<B, Sum = S>,
    B: Copy + Default,
    S: Sum,
{
    let mut left = [[V::splat(proof, 0); N]; M];
    for (i, left) in left.iter_mut().enumerate() {
        for (q, left) in left.iter_mut().enumerate() {
            // SAFETY: the unit of row i and this group.
            *left = V::splat(proof, unsafe { *few.a.wrapping_add(i * few.a_row + group + q) });
        }
    }
    let begin = group * V::GROUP;
    let rows = (few.depth - begin).min(N * V::GROUP);
    for j in (0..columns).step_by(V::COUNT) {
        let here = V::COUNT.min(columns - j);
        let b = few.b.wrapping_offset(begin as isize * few.b_stride).wrapping_add(first + j);
        let mut right = [V::splat(proof, 0); N];
        if here == V::COUNT && rows == N * V::GROUP {
            for (q, right) in right.iter_mut().enumerate() {
                let b = b.wrapping_offset((q * V::GROUP) as isize * few.b_stride);
                // SAFETY: a register's columns of the rows of a group.
                *right = unsafe { V::across(proof, b, few.b_stride) };
            }
        } else {
            let mut elements = [B::default(); 128];
            for (i, row) in elements.chunks_exact_mut(V::COUNT).enumerate().take(rows) {
                let b = b.wrapping_offset(i as isize * few.b_stride);
                // SAFETY: what is left of this row; `row` is our own and no shorter.
                unsafe { row.as_mut_ptr().copy_from_nonoverlapping(b, here) };
            }
            for (q, right) in right.iter_mut().enumerate() {
                let from = elements[q * V::GROUP * V::COUNT..].as_ptr();
                // SAFETY: the rows of a group in `elements`.
                *right = unsafe { V::across(proof, from, V::COUNT.cast_signed()) };
            }
        }
        for (i, left) in left.iter().enumerate() {
            let c = few.c.wrapping_add(i * few.c_row + first + j).cast::<u32>();
            // SAFETY: a register of row i of C, which is filled up to whole ones.
            let mut sums = unsafe { V::load(proof, c) };
            for (left, right) in left.iter().zip(right) {
                sums = left.dot(right, sums);
            }
            // SAFETY: as above.
            unsafe { sums.store(c) };
        }
    }
}
