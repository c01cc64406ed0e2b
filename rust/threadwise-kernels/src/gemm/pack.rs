//! Copies of operands in the order in which tiles read them.

use ndarray::{ArrayView2, Axis, s};

use super::Kernel;
use crate::element::Element;

/// How `count` rows (or columns) are cut into pieces of at most `limit`, as even as possible: seven
/// rows in pieces of at most six are 4 + 3, because a tile of one row wastes most of its registers.
pub(crate) fn pieces(count: usize, limit: usize) -> impl Iterator<Item = (usize, usize)> {
    let number = count.div_ceil(limit);
    (0..number).map(move |i| {
        let (start, end) = (i * count / number, (i + 1) * count / number);
        (start, end - start)
    })
}

impl<T: Element> Kernel<T> {
    /// Elements that `k` rows and `n` columns of B take when packed.
    #[must_use]
    pub fn packed_right(&self, k: usize, n: usize) -> usize {
        n.next_multiple_of(self.columns()) * k
    }

    /// Packs B into `packed`, sliver after sliver: the rows of [`Kernel::columns`] columns, each
    /// row filled up with zeros to the full width where B has no more columns.
    ///
    /// # Panics
    ///
    /// If `packed` has not [`Kernel::packed_right`] elements.
    pub fn pack_right(&self, b: ArrayView2<'_, T>, packed: &mut [T]) {
        let ((k, n), width) = (b.dim(), self.columns());
        assert_eq!(packed.len(), self.packed_right(k, n), "room for packed slivers of {k}×{n}");
        if k == 0 {
            return;
        }
        // Some rows at a time, so that what is read and what is written stay near: along the rows
        // where they are contiguous, down the columns where those are.
        for (block, rows) in b.axis_chunks_iter(Axis(0), LINE).enumerate() {
            let slivers = packed.chunks_exact_mut(k * width);
            for (columns, sliver) in rows.axis_chunks_iter(Axis(1), width).zip(slivers) {
                let place = &mut sliver[block * LINE * width..][..columns.nrows() * width];
                self.pack_rows(columns, place);
            }
        }
    }

    /// Packs a few rows of one sliver.
    fn pack_rows(&self, b: ArrayView2<'_, T>, packed: &mut [T]) {
        let (rows, n) = b.dim();
        let width = self.columns();
        if b.strides()[1] == 1 || n == 1 {
            for (row, packed) in b.rows().into_iter().zip(packed.chunks_exact_mut(width)) {
                match row.as_slice() {
                    Some(row) => packed[..n].copy_from_slice(row),
                    None => packed.iter_mut().zip(row).for_each(|(to, from)| *to = *from),
                }
            }
        } else {
            // Squares where columns are contiguous, the rest element by element.
            let whole = |extent: usize| extent / self.lanes * self.lanes;
            let in_squares = if b.strides()[0] == 1 { (whole(rows), whole(n)) } else { (0, 0) };
            self.pack_squares(b, in_squares, packed);
            for (j, column) in b.columns().into_iter().enumerate() {
                let done = if j < in_squares.1 { in_squares.0 } else { 0 };
                for (i, &x) in column.iter().enumerate().skip(done) {
                    packed[i * width + j] = x;
                }
            }
        }
        if n < width {
            for row in packed.chunks_exact_mut(width) {
                row[n..].fill(T::default());
            }
        }
    }

    /// Packs the first `rows` rows and `columns` columns of a B whose columns are contiguous.
    fn pack_squares(
        &self,
        b: ArrayView2<'_, T>,
        (rows, columns): (usize, usize),
        packed: &mut [T],
    ) {
        let width = self.columns();
        for first in (0..columns).step_by(self.lanes) {
            for row in (0..rows).step_by(self.lanes) {
                let from =
                    b.as_ptr().wrapping_add(row).wrapping_offset(first as isize * b.strides()[1]);
                let to = packed[row * width + first..].as_mut_ptr();
                // SAFETY: a kernel is only made with the proof of its instruction set. Columns of B are
                // contiguous, as the caller says by a count above zero; the square lies within B, and its
                // copy within `packed`, whose rows are `width` apart and at least `columns` long.
                unsafe { (self.square)(from, b.strides()[1], to, width.cast_signed()) };
            }
        }
    }

    /// Packs rows of A into `packed`, in the pieces in which [`Kernel::multiply`] takes them: column
    /// after column of each piece.
    ///
    /// # Panics
    ///
    /// If `packed` has another number of elements than `a`.
    pub fn pack_left(&self, a: ArrayView2<'_, T>, packed: &mut [T]) {
        assert_eq!(packed.len(), a.len(), "room for a packed block of {:?}", a.dim());
        let (m, k) = a.dim();
        if k == 0 {
            return;
        }
        for (start, rows) in pieces(m, self.rows()) {
            let piece = &mut packed[start * k..][..rows * k];
            let a = a.slice(s![start..start + rows, ..]);
            for (i, row) in a.rows().into_iter().enumerate() {
                for (from, to) in row.into_iter().zip(piece[i..].iter_mut().step_by(rows)) {
                    *to = *from;
                }
            }
        }
    }
}

/// Copies a square of as many rows and columns as a vector has lanes, rows to columns.
///
/// # Safety
///
/// As `Lanes::transpose` says, on a CPU with the kernel's instruction set.
pub(super) type SquareFn<T> = unsafe fn(*const T, isize, *mut T, isize);

/// Rows of B that are packed at a time: a cache line of each column, where columns are contiguous.
const LINE: usize = 16;
