//! Small products, all of the same sizes, one after the other in one call: by itself each would be over before
//! its call has paid.

use super::Few;
use super::dots::{RowsFn, dots};
use crate::gemm::vectors::{row, write};
use crate::simd::Lanes;

/// Products that are alike. Strides count elements.
pub(in crate::gemm) struct Each<T> {
    /// The first one, which replaces C and has no bias and no activation.
    pub(in crate::gemm) first: Few<T>,
    /// Number of products, at least one.
    pub(in crate::gemm) count: usize,
    /// From an A, a B, and a C to the next.
    pub(in crate::gemm) next: [isize; 3],
    /// Room for a B whose columns are contiguous, row by row, both filled up to whole vectors; null if its rows are.
    pub(in crate::gemm) turned: *mut T,
}

impl<T> Each<T> {
    /// All products by themselves.
    #[inline(always)]
    fn products(&self) -> impl Iterator<Item = Few<T>> {
        (0..self.count as isize).map(|i| {
            let [a, b, c] = self.next.map(|next| i * next);
            Few {
                a: self.first.a.wrapping_offset(a),
                b: self.first.b.wrapping_offset(b),
                c: self.first.c.wrapping_offset(c),
                ..self.first
            }
        })
    }
}

/// All products, of which `ROWS` rows at most are in registers at a time.
///
/// # Safety
///
/// As [`super::FewFn`] says of all products, with contiguous rows of B, or contiguous columns and room to turn
/// them into rows, contiguous rows of C, and at least one column.
#[inline(always)]
pub(super) unsafe fn each<V: Lanes, const ROWS: usize>(proof: V::Proof, each: &Each<V::Element>) {
    if each.turned.is_null() {
        // SAFETY: passed on.
        unsafe { strips::<V, ROWS>(proof, each) };
        return;
    }
    let size = (each.first.depth, each.first.columns);
    let width = size.1.next_multiple_of(V::COUNT);
    for product in each.products() {
        let columns = (product.b, product.b_stride);
        // SAFETY: this product's B, and the room for it.
        unsafe { turn::<V>(proof, columns, size, (each.turned, width)) };
        let first = Few { b: each.turned, b_stride: width.cast_signed(), ..product };
        let turned = std::ptr::null_mut();
        // SAFETY: this product; the rows of its B are contiguous now.
        unsafe { strips::<V, ROWS>(proof, &Each { first, count: 1, next: [0; 3], turned }) };
    }
}

/// All products by dots, some rows at a time: as many as there are functions for.
///
/// # Safety
///
/// As [`super::FewFn`] says of all products, with contiguous rows of A and contiguous columns of B.
#[inline(always)]
pub(super) unsafe fn each_by_dots<V: Lanes, const ROWS: usize>(
    proof: V::Proof,
    each: &Each<V::Element>,
    some_rows: &[RowsFn<V::Element>; ROWS],
) {
    let Few { depth, rows, columns, .. } = each.first;
    if rows == 1 && columns == 1 && depth <= V::COUNT {
        // SAFETY: passed on; the products are of a vector each.
        unsafe { vectors::<V>(proof, each) };
        return;
    }
    for product in each.products() {
        // SAFETY: this product.
        unsafe { dots::<V, ROWS>(proof, &product, some_rows) };
    }
}

/// All products, of a row of A and a column of B that are no longer than a vector, with the sums of [`dots`].
///
/// # Safety
///
/// As [`each_by_dots`].
#[inline(always)]
unsafe fn vectors<V: Lanes>(proof: V::Proof, each: &Each<V::Element>) {
    let mask = V::first(proof, each.first.depth);
    let zero = V::splat(proof, V::Element::default());
    let (mut a, mut b, mut c) = (each.first.a, each.first.b, each.first.c);
    for _ in 0..each.count {
        // SAFETY: all of a row.
        let left = unsafe { V::load_first(proof, mask, a) };
        // SAFETY: all of a column.
        let right = unsafe { V::load_first(proof, mask, b) };
        // The other sums of dots are zero, which makes a negative zero a positive one.
        let sum = left.mul_add(right, zero).add(zero);
        // SAFETY: the element of C.
        unsafe { c.write(sum.total()) };
        a = a.wrapping_offset(each.next[0]);
        b = b.wrapping_offset(each.next[1]);
        c = c.wrapping_offset(each.next[2]);
    }
}

/// Rows or columns below which a B is turned element by element, and elements up to which it is.
const FEW: usize = 4;
const LEAST: usize = 32;

/// Elements of a square of the widest vectors.
const SQUARE: usize = 256;

/// Writes a B of so many rows and columns, its columns at `from` and so far apart, to `to` row by row, so far apart.
///
/// # Safety
///
/// B is readable; there is room for as many rows and columns as fill whole vectors.
#[inline(always)]
unsafe fn turn<V: Lanes>(
    proof: V::Proof,
    (from, apart): (*const V::Element, isize),
    (depth, columns): (usize, usize),
    (to, width): (*mut V::Element, usize),
) {
    if depth.min(columns) < FEW || depth * columns <= LEAST {
        for j in 0..columns {
            let column = from.wrapping_offset(j as isize * apart);
            for p in 0..depth {
                // SAFETY: an element of B.
                let x = unsafe { *column.wrapping_add(p) };
                // SAFETY: its place.
                unsafe { *to.wrapping_add(p * width + j) = x };
            }
        }
        return;
    }
    let mut square = [V::Element::default(); SQUARE];
    let (square, row) = (square.as_mut_ptr(), V::COUNT.cast_signed());
    for j in (0..columns).step_by(V::COUNT) {
        for p in (0..depth).step_by(V::COUNT) {
            let from = from.wrapping_offset(j as isize * apart).wrapping_add(p);
            let to = (to.wrapping_add(p * width + j), width.cast_signed());
            let (terms, some) = ((depth - p).min(V::COUNT), (columns - j).min(V::COUNT));
            if terms == V::COUNT && some == V::COUNT {
                // SAFETY: as many terms and columns, and room for them.
                unsafe { V::transpose(proof, from, apart, to.0, to.1) };
                continue;
            }
            let mask = V::first(proof, terms);
            for i in 0..some {
                let column = from.wrapping_offset(i as isize * apart);
                // SAFETY: as many terms of a column.
                let column = unsafe { V::load_first(proof, mask, column) };
                // SAFETY: a row of the square.
                unsafe { column.store(square.wrapping_add(i * V::COUNT)) };
            }
            // SAFETY: the square, and room for all of it.
            unsafe { V::transpose(proof, square, row, to.0, to.1) };
        }
    }
}

/// Vectors of a strip.
const ONE: usize = 1;
const TWO: usize = 2;

/// All products, in strips of C of at most two vectors.
///
/// # Safety
///
/// As [`each`], with contiguous rows of B.
#[inline(always)]
unsafe fn strips<V: Lanes, const ROWS: usize>(proof: V::Proof, each: &Each<V::Element>) {
    let Few { rows, columns, .. } = each.first;
    let height = rows.div_ceil(rows.div_ceil(ROWS));
    let mut column = 0;
    while column < columns {
        let left = columns - column;
        if left <= V::COUNT {
            instance!(height, ROWS, [1 2 3 4 5 6 7 8], strip[V ONE](proof, each, column, left));
        } else {
            let last = (left - V::COUNT).min(V::COUNT);
            instance!(height, ROWS, [1 2 3 4 5 6 7 8], strip[V TWO](proof, each, column, last));
        }
        column += 2 * V::COUNT;
    }
}

/// `VECTORS` vectors from `column` on, of which the last has `last` columns, of all products, `HEIGHT` rows at a
/// time. Where that leaves fewer, some rows are computed again, to the same bits.
///
/// # Safety
///
/// As [`strips`]; there are as many columns, and at least `HEIGHT` rows.
#[inline(always)]
unsafe fn strip<V: Lanes, const VECTORS: usize, const HEIGHT: usize>(
    proof: V::Proof,
    each: &Each<V::Element>,
    column: usize,
    last: usize,
) {
    let Few { depth, rows, a_row, a_step, b_stride, c_row, .. } = each.first;
    let mask = V::first(proof, last);
    let (mut a, mut b, mut c) = (each.first.a, each.first.b, each.first.c);
    for _ in 0..each.count {
        let mut row_number = 0;
        while row_number < rows {
            let first = row_number.min(rows - HEIGHT) as isize;
            let mut left = a.wrapping_offset(first * a_row);
            let mut right = b.wrapping_add(column);
            let mut sums = [[V::splat(proof, V::Element::default()); VECTORS]; HEIGHT];
            for _ in 0..depth {
                // SAFETY: the strip's columns of a row of this B.
                let terms = unsafe { row::<V, VECTORS>(proof, mask, right) };
                for (i, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: an element of row first + i of this A.
                    let factor = unsafe { *left.wrapping_offset(i as isize * a_row) };
                    let factor = V::splat(proof, factor);
                    for (sum, term) in sums.iter_mut().zip(terms) {
                        *sum = factor.mul_add(term, *sum);
                    }
                }
                (left, right) = (left.wrapping_offset(a_step), right.wrapping_offset(b_stride));
            }
            for (i, sums) in sums.into_iter().enumerate() {
                let to = c.wrapping_offset((first + i as isize) * c_row).wrapping_add(column);
                // SAFETY: the strip's columns of row first + i of this C.
                unsafe { write::<V, VECTORS>(mask, sums, to) };
            }
            row_number += HEIGHT;
        }
        a = a.wrapping_offset(each.next[0]);
        b = b.wrapping_offset(each.next[1]);
        c = c.wrapping_offset(each.next[2]);
    }
}
