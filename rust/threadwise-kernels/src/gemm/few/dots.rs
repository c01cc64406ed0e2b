//! Dots: where the columns of B are contiguous, each element of C is a dot product along k, a vector at a
//! time, its lanes summed at the end.

use super::Few;
use crate::simd::{Element, Lanes};

/// Columns that a tile of dots has, and one of a single row: as many multiply-adds as are under way at a time.
const COLUMNS: usize = 4;
const ROW_COLUMNS: usize = 8;

/// Sums of a dot product that is alone in its tile.
const SUMS: usize = 4;

/// Bytes of columns of B that all rows of A use before the next ones: half the nearest cache.
const NEAR: usize = 16 << 10;

/// Whether a tile asks for columns that come later.
type Fetch = bool;
const AHEAD: Fetch = true;
const ALONE: Fetch = false;

/// Part of a product of few rows: `columns` columns from `column` on of the rows from `row` on.
#[derive(Clone, Copy)]
pub(super) struct Part {
    row: usize,
    column: usize,
    columns: usize,
    /// Whether the columns behind them are asked for.
    is_ahead: bool,
}

/// Computes a part of as many rows as the function is for.
pub(super) type RowsFn<T> = unsafe fn(&Few<T>, Part);

/// Some columns of B, which stay in the nearest cache, with all rows of A, some at a time: as many as there are
/// functions for.
///
/// # Safety
///
/// As [`super::FewFn`] says, with contiguous rows of A and contiguous columns of B.
#[inline(always)]
pub(super) unsafe fn dots<V: Lanes, const ROWS: usize>(
    proof: V::Proof,
    few: &Few<V::Element>,
    rows: &[RowsFn<V::Element>; ROWS],
) {
    let column_bytes = few.depth * size_of::<V::Element>();
    let some = (NEAR / column_bytes.max(1)).max(1).next_multiple_of(COLUMNS);
    let some = if few.rows <= ROWS { few.columns } else { some.min(few.columns) };
    let mut column = 0;
    while column < few.columns {
        let columns = some.min(few.columns - column);
        let (mut group, mut row) = (0, 0);
        while row < few.rows {
            group += 1;
            let end = few.group(group, ROWS);
            // While the last rows are at it, the next columns are on their way.
            let is_ahead = row > 0 && end == few.rows;
            // SAFETY: the caller's product, and rows and columns of it.
            unsafe { rows[end - row - 1](few, Part { row, column, columns, is_ahead }) };
            row = end;
        }
        column += columns;
    }
    // SAFETY: passed on.
    unsafe { finish::<V>(proof, few) };
}

/// `M` rows of some columns, [`COLUMNS`] at a time, or [`ROW_COLUMNS`] of a product of one row.
///
/// # Safety
///
/// As [`dots`]; these rows and columns exist.
// A function of its own for each number of rows: in one for all, what each needs is computed before every tile.
#[inline(always)]
pub(super) unsafe fn rows<V: Lanes, const M: usize>(
    proof: V::Proof,
    few: &Few<V::Element>,
    part: Part,
) {
    let mut at = (part.row, part.column);
    let end = part.column + part.columns;
    if M == 1 && few.rows == 1 {
        while at.1 + ROW_COLUMNS <= end {
            // SAFETY: as many columns are left.
            unsafe { tile::<V, M, ALONE, ROW_COLUMNS>(proof, few, at, 0) };
            at.1 += ROW_COLUMNS;
        }
    }
    while at.1 + COLUMNS <= end && (M > 1 || few.rows > 1) {
        if part.is_ahead {
            // SAFETY: as many columns are left.
            unsafe { tile::<V, M, AHEAD, COLUMNS>(proof, few, at, part.columns) };
        } else {
            // SAFETY: as many columns are left.
            unsafe { tile::<V, M, ALONE, COLUMNS>(proof, few, at, 0) };
        }
        at.1 += COLUMNS;
    }
    let left = end - at.1;
    if M == 1 && left == 1 {
        // SAFETY: passed on.
        unsafe { lone::<V>(proof, few, at) };
    } else if M == 1 && left > 0 {
        instance!(left, ROW_COLUMNS, [2 3 4 5 6 7], tile[V M ALONE](proof, few, at, 0));
    } else if left > 0 {
        instance!(left, COLUMNS, [1 2 3], tile[V M ALONE](proof, few, at, 0));
    }
}

/// The elements of `M` rows and `N` columns of C from a row and a column on. Columns of B that are `ahead` of those are
/// asked for, or none, as `FETCH` says.
///
/// # Safety
///
/// As [`dots`]; these rows and columns exist.
#[inline(always)]
unsafe fn tile<V: Lanes, const M: usize, const FETCH: Fetch, const N: usize>(
    proof: V::Proof,
    few: &Few<V::Element>,
    (row, column): (usize, usize),
    ahead: usize,
) {
    let zero = V::splat(proof, V::Element::default());
    let mut sums = [[zero; N]; M];
    let whole = few.depth / V::COUNT * V::COUNT;
    let mut p = 0;
    while p < whole {
        let mut left = [zero; M];
        for (i, left) in left.iter_mut().enumerate() {
            // SAFETY: a full vector of row + i of A.
            *left = unsafe { V::load(proof, few.a(row + i).wrapping_add(p)) };
        }
        for j in 0..N {
            if FETCH == AHEAD {
                V::prefetch(few.b(column + ahead + j).wrapping_add(p));
            }
            // SAFETY: a full vector of column + j of B.
            let right = unsafe { V::load(proof, few.b(column + j).wrapping_add(p)) };
            for (sums, left) in sums.iter_mut().zip(&left) {
                sums[j] = left.mul_add(right, sums[j]);
            }
        }
        p += V::COUNT;
    }
    if whole < few.depth {
        let mask = V::first(proof, few.depth - whole);
        let mut left = [zero; M];
        for (i, left) in left.iter_mut().enumerate() {
            // SAFETY: what is left of row + i of A.
            *left = unsafe { V::load_first(proof, mask, few.a(row + i).wrapping_add(whole)) };
        }
        for j in 0..N {
            let b = few.b(column + j).wrapping_add(whole);
            // SAFETY: what is left of column + j of B.
            let right = unsafe { V::load_first(proof, mask, b) };
            for (sums, left) in sums.iter_mut().zip(&left) {
                sums[j] = left.mul_add(right, sums[j]);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        let (fours, others) = sums.as_chunks();
        for (g, &four) in fours.iter().enumerate() {
            // SAFETY: row + i and four columns from column + 4 g on are in C.
            unsafe { put(few, (row + i, column + 4 * g), V::totals(four)) };
        }
        for (j, sum) in others.iter().enumerate() {
            // SAFETY: row + i and so many columns after those of the fours are in C.
            unsafe { put(few, (row + i, column + 4 * fours.len() + j), [sum.total()]) };
        }
    }
}

/// One element of C, in [`SUMS`] sums that are added at the end: a single one would wait for itself.
///
/// # Safety
///
/// As [`dots`]; the element exists.
#[inline(always)]
unsafe fn lone<V: Lanes>(proof: V::Proof, few: &Few<V::Element>, (row, column): (usize, usize)) {
    let (a, b) = (few.a(row), few.b(column));
    let mut sums = [V::splat(proof, V::Element::default()); SUMS];
    let mut p = 0;
    while p + SUMS * V::COUNT <= few.depth {
        for (s, sum) in sums.iter_mut().enumerate() {
            let at = p + s * V::COUNT;
            // SAFETY: a full vector of the row.
            let left = unsafe { V::load(proof, a.wrapping_add(at)) };
            // SAFETY: a full vector of the column.
            let right = unsafe { V::load(proof, b.wrapping_add(at)) };
            *sum = left.mul_add(right, *sum);
        }
        p += SUMS * V::COUNT;
    }
    for sum in &mut sums {
        let mask = V::first(proof, V::COUNT.min(few.depth - p));
        // SAFETY: what is left of the row, a vector at most.
        let left = unsafe { V::load_first(proof, mask, a.wrapping_add(p)) };
        // SAFETY: the same of the column.
        let right = unsafe { V::load_first(proof, mask, b.wrapping_add(p)) };
        *sum = left.mul_add(right, *sum);
        p += V::COUNT.min(few.depth - p);
    }
    let [x, y, z, w] = sums;
    // SAFETY: passed on.
    unsafe { put(few, (row, column), [x.add(y).add(z.add(w)).total()]) };
}

/// Writes elements of a row of C from a column on, or adds to them.
///
/// # Safety
///
/// They exist, and hold sums if they are added to.
#[inline(always)]
unsafe fn put<T: Element, const N: usize>(
    few: &Few<T>,
    (row, column): (usize, usize),
    mut sums: [T; N],
) {
    let c = few.c(row).wrapping_offset(column as isize * few.c_step);
    if few.accumulate {
        for (j, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the caller says so.
            *sum = unsafe { *c.wrapping_offset(j as isize * few.c_step) } + *sum;
        }
    }
    for (j, sum) in sums.into_iter().enumerate() {
        // SAFETY: as above.
        unsafe { c.wrapping_offset(j as isize * few.c_step).write(sum) };
    }
}

/// Adds the bias to each row of C and applies the activation.
///
/// # Safety
///
/// As [`super::FewFn`] says of C and the bias; C has been written.
#[inline(always)]
unsafe fn finish<V: Lanes>(proof: V::Proof, few: &Few<V::Element>) {
    if few.bias.is_null() && few.activation.is_none() {
        return;
    }
    for i in 0..few.rows {
        let c = few.c(i);
        let mut j = 0;
        while j < few.columns {
            let mask = V::first(proof, V::COUNT.min(few.columns - j));
            // SAFETY: as many elements of row i of C as the mask has lanes.
            let mut x = unsafe { V::load_first(proof, mask, c.wrapping_add(j)) };
            if !few.bias.is_null() {
                // SAFETY: not null, so there is one summand a column.
                x = x.add(unsafe { V::load_first(proof, mask, few.bias.wrapping_add(j)) });
            }
            if let Some(activation) = few.activation {
                x = x.activate(proof, activation);
            }
            // SAFETY: as above.
            unsafe { x.store_first(mask, c.wrapping_add(j)) };
            j += V::COUNT;
        }
    }
}
