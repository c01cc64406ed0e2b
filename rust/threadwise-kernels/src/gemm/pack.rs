//! Copies of operands in the order in which tiles read them.

use ndarray::{ArrayView2, Axis, s};

use super::Kernel;
use crate::element::Element;
use crate::simd::Lanes;

/// Columns of the widest sliver.
const WIDEST: usize = 64;

/// How `count` rows (or columns) are cut into pieces of at most `limit`, as even as possible: seven
/// rows in pieces of at most six are 4 + 3, because a tile of one row wastes most of its registers.
pub(crate) fn pieces(count: usize, limit: usize) -> impl Iterator<Item = (usize, usize)> {
    // No division for a small product: it takes as long as that.
    let number = if count <= limit { count.min(1) } else { count.div_ceil(limit) };
    (0..number).map(move |i| {
        if number == 1 {
            return (0, count);
        }
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
        if b.strides()[1] != 1 {
            let slivers = packed.chunks_exact_mut(k * width);
            for (columns, sliver) in b.axis_chunks_iter(Axis(1), width).zip(slivers) {
                self.pack_sliver(columns, sliver);
            }
            return;
        }
        // Some rows of all slivers at a time, so that rows of B are read on end.
        for (i, rows) in b.axis_chunks_iter(Axis(0), TOGETHER).enumerate() {
            let slivers = packed.chunks_exact_mut(k * width);
            for (columns, sliver) in rows.axis_chunks_iter(Axis(1), width).zip(slivers) {
                let place = &mut sliver[i * TOGETHER * width..][..rows.nrows() * width];
                self.pack_sliver(columns, place);
            }
        }
    }

    /// Packs one sliver, or some rows of it.
    fn pack_sliver(&self, b: ArrayView2<'_, T>, packed: &mut [T]) {
        let (rows, n) = b.dim();
        let (width, strides) = (self.columns(), b.strides());
        if strides[1] == 1 || n == 1 {
            // SAFETY: a kernel is only made with the proof of its instruction set. Rows of B are contiguous;
            // those of the sliver are `width` apart, which is at least n, and there are as many.
            unsafe {
                (self.copy)(
                    (b.as_ptr(), strides[0]),
                    (packed.as_mut_ptr(), width.cast_signed()),
                    rows,
                    n,
                );
            }
        } else {
            // Squares where columns are contiguous, the rest element by element.
            let done = if strides[0] == 1 { rows / self.lanes * self.lanes } else { 0 };
            if done > 0 {
                self.pack_squares(b.slice(s![..done, ..]), &mut packed[..done * width]);
            }
            for (j, column) in b.columns().into_iter().enumerate() {
                for (i, &x) in column.iter().enumerate().skip(done) {
                    packed[i * width + j] = x;
                }
            }
        }
        if n < width {
            let zeros = [T::default(); WIDEST];
            assert!(width <= WIDEST, "{width} columns are more than {WIDEST}");
            // SAFETY: a kernel is only made with the proof of its instruction set. One row of zeros, at least
            // as wide as a sliver, is copied to what is left of each row.
            unsafe {
                (self.copy)(
                    (zeros.as_ptr(), 0),
                    (packed[n..].as_mut_ptr(), width.cast_signed()),
                    rows,
                    width - n,
                );
            }
        }
    }

    /// Packs whole squares of rows of a B whose columns are contiguous.
    fn pack_squares(&self, b: ArrayView2<'_, T>, packed: &mut [T]) {
        /// Elements of the largest square.
        const ROOM: usize = 16 * 16;
        let ((rows, n), width, lanes) = (b.dim(), self.columns(), self.lanes);
        let (stride, to_stride) = (b.strides()[1], width.cast_signed());
        assert!(rows.is_multiple_of(lanes) && b.strides()[0] == 1, "squares of contiguous columns");
        assert_eq!(packed.len(), rows * width, "room for {rows} rows");
        for first in (0..n).step_by(lanes) {
            let columns = b.slice(s![.., first..n.min(first + lanes)]);
            let to = packed[first..].as_mut_ptr();
            if columns.ncols() == lanes {
                // SAFETY: a kernel is only made with the proof of its instruction set. The squares lie
                // within B, and their copies within `packed`, whose rows are `width` apart.
                unsafe {
                    (self.squares)((columns.as_ptr(), stride), (to, to_stride), rows / lanes);
                };
                continue;
            }
            // Fewer columns, filled up with zeros; a sliver has room for whole vectors.
            let mut room = [T::default(); ROOM];
            for (i, part) in columns.axis_chunks_iter(Axis(0), lanes).enumerate() {
                for (column, place) in part.columns().into_iter().zip(room.chunks_exact_mut(lanes))
                {
                    column.iter().zip(place).for_each(|(from, to)| *to = *from);
                }
                let to = to.wrapping_add(i * lanes * width);
                let from = (room.as_ptr(), lanes.cast_signed());
                // SAFETY: as above; the square is `room`, which has room for the largest.
                unsafe { (self.squares)(from, (to, to_stride), 1) };
            }
        }
    }
}

/// Copies squares of as many rows and columns as a vector has lanes, rows to columns: from one after the
/// other along the rows, to one after the other down the columns.
///
/// # Safety
///
/// As [`Lanes::transpose`] says of each of `count` squares, on a CPU with the kernel's instruction set.
pub(super) type SquaresFn<T> = unsafe fn((*const T, isize), (*mut T, isize), usize);

/// Copies the given number of rows and columns, from and to rows as far apart as the strides say.
///
/// # Safety
///
/// All these elements are readable, and writable, respectively, on a CPU with the kernel's instruction set.
pub(super) type CopyFn<T> = unsafe fn((*const T, isize), (*mut T, isize), usize, usize);

/// Rows of B that are packed at a time: the CPU sees that each is read on end, and asks for more of it.
const TOGETHER: usize = 16;

/// Bytes between what is copied and what is asked for: what memory brings while some lines are copied.
const AHEAD: usize = 512;

/// # Safety
///
/// As [`SquaresFn`] says.
#[inline(always)]
pub(super) unsafe fn transpose<V: Lanes>(
    proof: V::Proof,
    (from, from_row): (*const V::Element, isize),
    (to, to_row): (*mut V::Element, isize),
    count: usize,
) {
    for square in 0..count {
        let from = from.wrapping_add(square * V::COUNT);
        let to = to.wrapping_offset((square * V::COUNT) as isize * to_row);
        for i in 0..V::COUNT {
            let ahead = AHEAD / size_of::<V::Element>();
            V::prefetch(from.wrapping_offset(i as isize * from_row).wrapping_add(ahead));
        }
        // SAFETY: one of the squares that the caller promises.
        unsafe { V::transpose(proof, from, from_row, to, to_row) };
    }
}

/// # Safety
///
/// As [`CopyFn`] says.
#[inline(always)]
pub(super) unsafe fn copy<V: Lanes>(
    proof: V::Proof,
    (from, from_row): (*const V::Element, isize),
    (to, to_row): (*mut V::Element, isize),
    rows: usize,
    columns: usize,
) {
    let whole = columns / V::COUNT * V::COUNT;
    let mask = V::first(proof, columns - whole);
    for i in 0..rows as isize {
        let (from, to) = (from.wrapping_offset(i * from_row), to.wrapping_offset(i * to_row));
        let mut j = 0;
        while j < whole {
            // SAFETY: a full vector of the row.
            let vector = unsafe { V::load(proof, from.wrapping_add(j)) };
            // SAFETY: a full vector of the row.
            unsafe { vector.store(to.wrapping_add(j)) };
            j += V::COUNT;
        }
        if whole < columns {
            // SAFETY: what is left of the row.
            let vector = unsafe { V::load_first(proof, mask, from.wrapping_add(whole)) };
            // SAFETY: what is left of the row.
            unsafe { vector.store_first(mask, to.wrapping_add(whole)) };
        }
    }
}
