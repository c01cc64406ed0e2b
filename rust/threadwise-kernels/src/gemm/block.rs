//! The loop over the tiles of a block of C.

use ndarray::{ArrayView2, ArrayViewMut2};

use super::few::{Few, FewFn, Short};
use super::pack::pieces;
use super::places::{ahead, before_line, stays_near};
use super::tile::Tile;
use super::{Epilogue, Kernel};
use crate::element::Element;

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

/// Terms up to which writing C takes longer than summing, so that B does not matter.
const SHORT: usize = 64;

/// Bytes of a block of C that is one of many, or in any case no longer near when it is written.
const FAR: usize = 512 << 10;

/// Bytes of one whose lines are asked for ahead where terms are few, and where they are hardly any.
const FAR_SHORT: usize = 1 << 20;
const FAR_FLAT: usize = 256 << 10;
const FLAT: usize = 6;

/// Rows from which on products of few terms are computed in one call, and of more than one strip of columns.
const SHORT_ROWS: usize = 32;
const SHORT_ROWS_WIDE: usize = 4;

/// Bytes of a B that then stays near while so few rows of A go past that it pays to read them again.
const SHORT_NEAR: usize = 24 << 10;
const SHORT_LOW: usize = 64;

/// Strips of the usual width from which on narrower ones, which few rows read but once, pay.
const STRIPS: usize = 4;

/// Rows up to which reading a packed B takes as long as multiplying with it, and rows of tiles for these.
const FEW: usize = 16;
const AHEAD: usize = 5;

impl<T: Element> Kernel<T> {
    /// C = f(A·B + bias) or C += A·B, as `finish` says.
    ///
    /// # Panics
    ///
    /// If the sizes of the operands disagree, or adjacent columns of C, or of a B in place, are not
    /// adjacent in memory.
    pub fn multiply(
        &self,
        a: ArrayView2<'_, T>,
        b: Right<'_, T>,
        c: ArrayViewMut2<'_, T>,
        finish: Finish<'_, T>,
    ) {
        self.tiles(a, b, None, c, finish);
    }

    /// [`Kernel::multiply`] for a B in place, of which it makes a packed copy: as a rule the first rows of C read B
    /// where it lies and copy it, the others read the copy. Returns whether it left what [`Kernel::pack_right`] makes of
    /// B at the beginning of `packed`.
    ///
    /// # Panics
    ///
    /// As [`Kernel::multiply`], or if C has no rows, or `packed` has not the elements of [`Kernel::packed_right`]
    /// for [`Kernel::columns`] columns more.
    pub fn multiply_packing(
        &self,
        a: ArrayView2<'_, T>,
        b: ArrayView2<'_, T>,
        packed: &mut [T],
        c: ArrayViewMut2<'_, T>,
        finish: Finish<'_, T>,
    ) -> bool {
        let ((k, n), width) = (b.dim(), self.columns());
        assert_eq!(packed.len(), self.packed_right(k, n + width), "room for a copy of {k}×{n}");
        assert!(c.nrows() > 0, "rows that copy B");
        if a.strides()[1] == 1 || k <= 1 {
            return self.tiles(a, Right::InPlace(b), Some(packed), c, finish) == Some(0);
        }
        let packed = &mut packed[..self.packed_right(k, n)];
        self.pack_right(b, packed);
        self.multiply(a, Right::Packed(k, n, packed), c, finish);
        true
    }

    /// The tiles of C, the first rows of which copy B if it shall be packed. Returns the columns of a first strip
    /// that is narrower than others may be; none if rows were computed without tiles, and nothing was copied.
    fn tiles(
        &self,
        a: ArrayView2<'_, T>,
        b: Right<'_, T>,
        packed: Option<&mut [T]>,
        mut c: ArrayViewMut2<'_, T>,
        finish: Finish<'_, T>,
    ) -> Option<usize> {
        let (m, n) = c.dim();
        let (a_rows, k) = a.dim();
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

        let is_plain = !finish.accumulate && epilogue.activation.is_none();
        let has_rows = a.strides()[1] == 1 || k <= 1;
        let least = if n > self.columns() { SHORT_ROWS_WIDE } else { SHORT_ROWS };
        if m >= least && k <= SHORT && n > 0 && is_plain && has_rows {
            return self.short(a, b, packed, c, finish);
        }

        let (c_row, c) = (c.strides()[0], c.as_mut_ptr());
        let ahead = match b {
            Right::InPlace(view) => ahead(view),
            Right::Packed(..) => usize::MAX,
        };
        let width = match b {
            Right::InPlace(_) if packed.is_none() => self.strip(m, n),
            _ => self.columns(),
        };
        let copy = packed.map(<[T]>::as_mut_ptr);
        let tile = |(start, rows): (usize, usize), (i, first, columns): (usize, usize, usize)| {
            let vectors = columns.div_ceil(self.lanes);
            let last = columns - (vectors - 1) * self.lanes;
            let (mut right, mut b_step) = self.right(b, first);
            let mut is_whole = last == self.lanes || matches!(b, Right::Packed(..));
            let mut copy =
                copy.map_or(std::ptr::null_mut(), |copy| copy.wrapping_add(i * width * k));
            if start > 0 && !copy.is_null() {
                (right, b_step, is_whole) = (copy.cast_const(), width.cast_signed(), true);
                copy = std::ptr::null_mut();
            }
            let tile = Tile {
                depth: k,
                a: a.as_ptr().wrapping_offset(start as isize * a.strides()[0]),
                a_row: a.strides()[0],
                a_step: a.strides()[1],
                b: right,
                b_step,
                is_whole,
                ahead,
                copy,
                copy_step: width.cast_signed(),
                c: c.wrapping_offset(start as isize * c_row).wrapping_add(first),
                c_row,
                last,
                accumulate: finish.accumulate,
                bias: epilogue.bias.map_or(std::ptr::null(), |bias| bias[first..].as_ptr()),
                activation: epilogue.activation,
            };
            // SAFETY: a kernel is only made with the proof of its instruction set. The tile lies
            // inside the operands: `start + rows <= m` and `first + columns <= n` by the way they
            // are cut, the sizes agree as asserted above, and a packed B has the stride of its
            // packing. C is borrowed mutably, so nothing else refers to it. Where B is to be copied, the
            // `i`th sliver has room for k rows of whole vectors, is borrowed mutably, and is
            // read after the tiles of the first rows, which come first, have written it.
            unsafe { self.tiles[rows - 1][vectors - 1](&tile) };
        };
        if k <= SHORT && n > width {
            // C is most of the work: it is written along its rows, and in whole lines if it comes from afar.
            let head = self.head((m, n), (c, c_row), matches!(b, Right::Packed(..)));
            for rows in pieces(m, self.height(width / self.lanes)) {
                strips(n, head, width).for_each(|columns| tile(rows, columns));
            }
            return Some(head);
        }
        let few = matches!(b, Right::Packed(..)) && m <= FEW;
        for (i, first, columns) in strips(n, 0, width) {
            let height = self.height(columns.div_ceil(self.lanes));
            // While B comes from afar, tiles are small enough to ask for it ahead.
            let height = if few { height.min(AHEAD) } else { height };
            pieces(m, height).for_each(|rows| tile(rows, (i, first, columns)));
        }
        Some(0)
    }

    /// Columns of the strips in which `m` rows read a B of `n` columns where it lies: fewer than of packed slivers, if
    /// so many rows then read it but once.
    fn strip(&self, m: usize, n: usize) -> usize {
        let vectors = self.tiles[0].len();
        let is_low = vectors > 3 && m > self.height(vectors) && m <= self.height(vectors - 1);
        let is_less = is_low && n >= STRIPS * self.columns();
        self.columns() - if is_less { self.lanes } else { 0 }
    }

    /// [`Kernel::tiles`] without tiles: a product of few terms, which replaces C and has no activation, by contiguous
    /// rows of A. B is copied if it would not stay in the nearest cache where it lies.
    fn short(
        &self,
        a: ArrayView2<'_, T>,
        b: Right<'_, T>,
        packed: Option<&mut [T]>,
        mut c: ArrayViewMut2<'_, T>,
        finish: Finish<'_, T>,
    ) -> Option<usize> {
        let ((m, n), k) = (c.dim(), a.ncols());
        let is_wide = n > 2 * self.lanes;
        let (right, is_packed, copied) = match (b, packed) {
            (Right::InPlace(view), Some(packed)) if is_wide && !stays_near(view) => {
                let packed = &mut packed[..self.packed_right(k, n)];
                self.pack_right(view, packed);
                (self.right(Right::Packed(k, n, packed), 0), true, Some(0))
            }
            (Right::InPlace(_), _) => (self.right(b, 0), false, None),
            (Right::Packed(..), _) => (self.right(b, 0), true, None),
        };
        let few = few((a.as_ptr(), k, a.strides()), right, &mut c, finish);
        let head = self.head((m, n), (few.c, few.c_row), is_packed);
        let far = if k <= FLAT { FAR_FLAT } else { FAR_SHORT };
        let is_ahead = n > self.columns() && m * n * size_of::<T>() >= far;
        let strip = k * self.columns() * size_of::<T>();
        let strips = if m <= SHORT_LOW { (SHORT_NEAR / strip.max(1)).max(1) } else { n };
        let block = strips.saturating_mul(self.columns());
        let across = if is_packed { k } else { 1 };
        let short = Short { few, head, across, block, is_ahead };
        // SAFETY: a kernel is only made with the proof of its instruction set. The caller has asserted that the sizes
        // agree, rows are contiguous, and C is borrowed mutably, so nothing else refers to it.
        unsafe { (self.short)(&short) };
        copied
    }

    /// Columns of a first strip after which whole lines of C begin, if C comes from afar; none else, and none by slivers,
    /// which have the width of others.
    fn head(
        &self,
        (m, n): (usize, usize),
        (c, c_row): (*const T, isize),
        is_packed: bool,
    ) -> usize {
        let is_far = m * n * size_of::<T>() >= FAR && !is_packed;
        if is_far { before_line(c, c_row) % self.columns() } else { 0 }
    }

    /// [`Kernel::multiply`] for few rows and a B of contiguous columns, which is read once.
    ///
    /// # Panics
    ///
    /// If the sizes of the operands disagree, or adjacent columns of A or rows of B are not adjacent in
    /// memory. Columns of C may lie apart if there is no epilogue.
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
        assert_few(true, a, b, &c, finish);
        few_rows(self.dots, (a.as_ptr(), k, a.strides()), (b.as_ptr(), b.strides()[1]), c, finish);
    }

    /// [`Kernel::multiply`] for at most 64 rows and a B of contiguous rows, which is read once. What is added
    /// to C goes on where the sum in C ended, as if k had not been cut.
    ///
    /// # Panics
    ///
    /// If the sizes of the operands disagree, there are more rows, or adjacent columns of B or of C are not adjacent in memory.
    pub fn streams(
        &self,
        a: ArrayView2<'_, T>,
        b: ArrayView2<'_, T>,
        c: ArrayViewMut2<'_, T>,
        finish: Finish<'_, T>,
    ) {
        assert!(b.strides()[1] == 1 || b.ncols() <= 1 || b.is_empty(), "columns of B are adjacent");
        assert!(a.nrows() <= 64, "{} rows are not few", a.nrows());
        assert_few(false, a, b, &c, finish);
        let (k, right) = (a.ncols(), (b.as_ptr(), b.strides()[0]));
        few_rows(self.streams, (a.as_ptr(), k, a.strides()), right, c, finish);
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

/// That the operands of a product of few rows fit.
fn assert_few<T>(
    is_dots: bool,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    c: &ArrayViewMut2<'_, T>,
    finish: Finish<'_, T>,
) {
    let plain = Epilogue { bias: None, activation: None };
    let epilogue = finish.epilogue.as_ref().unwrap_or(&plain);
    let (m, n) = c.dim();
    assert_eq!((a.nrows(), b.nrows(), b.ncols()), (m, a.ncols(), n), "A is m×k, B is k×n");
    let adjacent = c.strides()[1] == 1 || n <= 1 || c.is_empty();
    let plain = is_dots && epilogue.bias.is_none() && epilogue.activation.is_none();
    assert!(adjacent || plain, "columns of C are adjacent");
    assert!(epilogue.bias.is_none_or(|bias| bias.len() == n), "one summand a column of C");
}

/// The product of few rows by one of the functions for them.
fn few_rows<T: Element>(
    function: FewFn<T>,
    a: (*const T, usize, &[isize]),
    b: (*const T, isize),
    mut c: ArrayViewMut2<'_, T>,
    finish: Finish<'_, T>,
) {
    if c.is_empty() {
        return;
    }
    let few = few(a, b, &mut c, finish);
    // SAFETY: the function is that of a kernel, which is only made with the proof of its instruction set.
    // The callers have asserted that the sizes agree and the strides are those that it needs; C is borrowed
    // mutably, so nothing else refers to it.
    unsafe { function(&few) };
}

/// A product as functions for few rows or terms take it.
fn few<T>(
    (a, k, a_strides): (*const T, usize, &[isize]),
    (b, b_stride): (*const T, isize),
    c: &mut ArrayViewMut2<'_, T>,
    finish: Finish<'_, T>,
) -> Few<T> {
    let (m, n) = c.dim();
    let epilogue = finish.epilogue.unwrap_or(Epilogue { bias: None, activation: None });
    Few {
        depth: k,
        rows: m,
        columns: n,
        a,
        a_row: a_strides[0],
        a_step: a_strides[1],
        b,
        b_stride,
        c_row: c.strides()[0],
        c_step: c.strides()[1],
        c: c.as_mut_ptr(),
        accumulate: finish.accumulate,
        bias: epilogue.bias.map_or(std::ptr::null(), <[T]>::as_ptr),
        activation: epilogue.activation,
    }
}

/// Columns `0..n` in strips, each with its number: `head` columns, if any, then `width` each, the last fewer.
fn strips(n: usize, head: usize, width: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let first = if head == 0 { width } else { head };
    let starts = std::iter::successors(Some((0, 0, first.min(n))), move |&(i, start, columns)| {
        let start = start + columns;
        Some((i + 1, start, width.min(n - start)))
    });
    starts.take_while(|&(_, _, columns)| columns > 0)
}
