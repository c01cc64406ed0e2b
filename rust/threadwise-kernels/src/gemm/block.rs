//! The loop over the tiles of a block of C.

use ndarray::{ArrayView2, ArrayViewMut2};

use super::few::{self, Few, FewFn};
use super::pack::pieces;
use super::tile::Tile;
use super::{Epilogue, Kernel};
use crate::element::Element;

/// A block of A: m rows of k.
#[derive(Clone, Copy, Debug)]
pub enum Left<'a, T> {
    /// Read where it lies, whatever its strides.
    InPlace(ArrayView2<'a, T>),
    /// Rows and columns, and the copy that [`Kernel::pack_left`] made.
    Packed(usize, usize, &'a [T]),
}

/// A block of B: k rows of n.
#[derive(Clone, Copy, Debug)]
pub enum Right<'a, T> {
    /// Read where it lies; adjacent columns must be adjacent in memory.
    InPlace(ArrayView2<'a, T>),
    /// Rows and columns, and the slivers that [`Kernel::pack_right`] made, one after the other.
    Packed(usize, usize, &'a [T]),
}

/// What becomes of the sums.
#[derive(Clone, Copy, Debug)]
pub struct Finish<'a, T> {
    /// Whether they are added to C, or replace it without reading it.
    pub accumulate: bool,
    /// What is done to them before they are stored, if anything.
    pub epilogue: Option<Epilogue<'a, T>>,
}

/// A matrix as a pointer and two strides, in elements.
struct Strided<T> {
    at: *const T,
    row: isize,
    column: isize,
}

impl<T: Element> Kernel<T> {
    /// C = f(A·B + bias) or C += A·B, as `finish` says.
    ///
    /// # Panics
    ///
    /// If the sizes of the operands disagree, or adjacent columns of C, or of a B in place, are not
    /// adjacent in memory.
    pub fn multiply(
        &self,
        a: Left<'_, T>,
        b: Right<'_, T>,
        mut c: ArrayViewMut2<'_, T>,
        finish: Finish<'_, T>,
    ) {
        let (m, n) = c.dim();
        let (a_rows, k) = match a {
            Left::InPlace(view) => view.dim(),
            Left::Packed(rows, columns, packed) => {
                assert_eq!(packed.len(), rows * columns, "a packed block of {rows}×{columns}");
                (rows, columns)
            }
        };
        let (b_rows, b_columns) = match b {
            Right::InPlace(view) => view.dim(),
            Right::Packed(rows, columns, packed) => {
                let room = self.packed_right(rows, columns);
                assert_eq!(packed.len(), room, "packed slivers of {rows}×{columns}");
                (rows, columns)
            }
        };
        assert_eq!((a_rows, k), (m, b_rows), "A is m×k: m as C has, k as B has");
        assert_eq!(b_columns, n, "B has as many columns as C");
        let adjacent = c.strides()[1] == 1 || n <= 1 || c.is_empty();
        assert!(adjacent, "columns of C are adjacent");
        let epilogue = finish.epilogue.unwrap_or(Epilogue { bias: None, activation: None });
        if let Some(bias) = epilogue.bias {
            assert_eq!(bias.len(), n, "one summand a column of C");
        }

        let (c_row, c) = (c.strides()[0], c.as_mut_ptr());
        for (first, columns) in strips(n, self.columns()) {
            let (right, b_step) = self.right(b, first);
            let vectors = columns.div_ceil(self.lanes);
            // A packed A has the pieces it was packed in.
            let height = match a {
                Left::InPlace(_) => self.height(vectors),
                Left::Packed(..) => self.rows(),
            };
            for (start, rows) in pieces(m, height) {
                let left = left(a, start, rows);
                let tile = Tile {
                    depth: k,
                    a: left.at,
                    a_row: left.row,
                    a_step: left.column,
                    b: right,
                    b_step,
                    c: c.wrapping_offset(start as isize * c_row).wrapping_add(first),
                    c_row,
                    last: columns - (vectors - 1) * self.lanes,
                    accumulate: finish.accumulate,
                    bias: epilogue.bias.map_or(std::ptr::null(), |bias| bias[first..].as_ptr()),
                    activation: epilogue.activation,
                };
                // SAFETY: a kernel is only made with the proof of its instruction set. The tile lies
                // inside the operands: `start + rows <= m` and `first + columns <= n` by the way they
                // are cut, the sizes agree as asserted above, and packed operands have the strides of
                // their packing. C is borrowed mutably, so nothing else refers to it.
                unsafe { self.tiles[rows - 1][vectors - 1](&tile) };
            }
        }
    }

    /// [`Kernel::multiply`] for at most [`Kernel::few`] rows and a B of contiguous columns.
    ///
    /// # Panics
    ///
    /// If the sizes of the operands disagree, there are more rows, or adjacent columns of A, rows of B
    /// or columns of C are not adjacent in memory.
    pub fn dots(
        &self,
        a: ArrayView2<'_, T>,
        b: ArrayView2<'_, T>,
        c: ArrayViewMut2<'_, T>,
        finish: Finish<'_, T>,
    ) {
        let k = a.ncols();
        assert!(a.strides()[1] == 1 || k <= 1 || a.is_empty(), "columns of A are adjacent");
        assert!(b.strides()[0] == 1 || k <= 1 || b.is_empty(), "rows of B are adjacent");
        few_rows(self.dots, a, b, b.strides()[1], c, finish);
    }

    /// [`Kernel::multiply`] for at most [`Kernel::few`] rows and a B of contiguous rows. What is added to
    /// C goes on where the sum in C ended, as if k had not been cut.
    ///
    /// # Panics
    ///
    /// If the sizes of the operands disagree, there are more rows, or adjacent columns of B or of C are
    /// not adjacent in memory.
    pub fn streams(
        &self,
        a: ArrayView2<'_, T>,
        b: ArrayView2<'_, T>,
        c: ArrayViewMut2<'_, T>,
        finish: Finish<'_, T>,
    ) {
        assert!(b.strides()[1] == 1 || b.ncols() <= 1 || b.is_empty(), "columns of B are adjacent");
        few_rows(self.streams, a, b, b.strides()[0], c, finish);
    }

    /// Where the columns of B from `first` on begin, and the stride of its rows.
    fn right(&self, b: Right<'_, T>, first: usize) -> (*const T, isize) {
        match b {
            Right::InPlace(view) => {
                let adjacent = view.strides()[1] == 1 || view.ncols() <= 1 || view.is_empty();
                assert!(adjacent, "columns of a B in place are adjacent");
                (view.as_ptr().wrapping_add(first), view.strides()[0])
            }
            Right::Packed(k, _, packed) => {
                (packed[first * k..].as_ptr(), self.columns().cast_signed())
            }
        }
    }
}

/// The product of few rows by the function for their number.
fn few_rows<T: Element>(
    functions: &[FewFn<T>; few::ROWS],
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    b_stride: isize,
    mut c: ArrayViewMut2<'_, T>,
    finish: Finish<'_, T>,
) {
    let epilogue = finish.epilogue.unwrap_or(Epilogue { bias: None, activation: None });
    let (m, n) = c.dim();
    let k = a.ncols();
    assert_eq!((a.nrows(), b.nrows(), b.ncols()), (m, k, n), "A is m×k, B is k×n");
    assert!(c.strides()[1] == 1 || n <= 1 || c.is_empty(), "columns of C are adjacent");
    assert!(epilogue.bias.is_none_or(|bias| bias.len() == n), "one summand a column of C");
    if c.is_empty() {
        return;
    }
    assert!(m <= functions.len(), "{m} rows, at most {} are few", functions.len());
    let few = Few {
        depth: k,
        columns: n,
        a: a.as_ptr(),
        a_row: a.strides()[0],
        a_step: a.strides()[1],
        b: b.as_ptr(),
        b_stride,
        c_row: c.strides()[0],
        c: c.as_mut_ptr(),
        accumulate: finish.accumulate,
        bias: epilogue.bias.map_or(std::ptr::null(), <[T]>::as_ptr),
        activation: epilogue.activation,
    };
    // SAFETY: the functions are those of a kernel, which is only made with the proof of its instruction
    // set. The sizes agree and the strides are those the function needs, as asserted above and by its callers; C is borrowed
    // mutably, so nothing else refers to it.
    unsafe { functions[m - 1](&few) };
}

/// Columns `0..n` in strips of `width`, the last of them narrower: each starts a sliver.
fn strips(n: usize, width: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).step_by(width).map(move |first| (first, width.min(n - first)))
}

/// The piece of A that begins with row `start`.
fn left<T: Element>(a: Left<'_, T>, start: usize, rows: usize) -> Strided<T> {
    match a {
        Left::InPlace(view) => {
            let (row, column) = (view.strides()[0], view.strides()[1]);
            let at = view.as_ptr().wrapping_offset(start as isize * row);
            Strided { at, row, column }
        }
        Left::Packed(_, k, packed) => {
            Strided { at: packed[start * k..].as_ptr(), row: 1, column: rows.cast_signed() }
        }
    }
}
