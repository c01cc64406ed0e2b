//! Copies of operands in the order in which tiles read them.

use ndarray::{ArrayView2, Axis};

use super::Kernel;
use crate::element::Element;
use crate::simd::Lanes;

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

    /// Packs B into `packed`, sliver after sliver: the rows of [`Kernel::columns`] columns. Where B has fewer, the last
    /// vector is filled up with zeros, and those behind it are left as they are: nobody reads them.
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
        let ((rows, n), strides) = (b.dim(), b.strides());
        let (width, fills) = (self.columns(), true);
        let to_row = width.cast_signed();
        if strides[1] == 1 || n == 1 {
            let (from, to) = ((b.as_ptr(), strides[0]), (packed.as_mut_ptr(), to_row));
            // SAFETY: a kernel is only made with the proof of its instruction set. Rows of B are contiguous; those of the
            // sliver are `width` apart, which is the vectors for n columns at least, and there are as many.
            unsafe { (self.copy)(from, to, (rows, n), fills) };
        } else if strides[0] == 1 {
            for first in (0..n).step_by(self.lanes) {
                let from = (b.as_ptr().wrapping_offset(first as isize * strides[1]), strides[1]);
                let to = (packed[first..].as_mut_ptr(), to_row);
                // SAFETY: a kernel is only made with the proof of its instruction set. Columns of B are contiguous, and
                // these at most as many as a vector has lanes; there is a vector for them in each row of the sliver.
                unsafe { (self.squares)(from, to, (self.lanes.min(n - first), rows), fills) };
            }
        } else {
            let filled = n.next_multiple_of(self.lanes);
            for (row, place) in b.rows().into_iter().zip(packed.chunks_exact_mut(width)) {
                row.iter().zip(&mut *place).for_each(|(from, to)| *to = *from);
                place[n..filled].fill(T::default());
            }
        }
    }
}

/// Copies rows of so many columns, rows to columns: at most as many rows as a vector has lanes. If the last argument
/// says so, what is left of the vectors to which they are copied is filled with zeros.
///
/// # Safety
///
/// All these elements are readable, and writable at the transposed places, respectively, on a CPU with the kernel's
/// instruction set.
pub(super) type SquaresFn<T> = unsafe fn((*const T, isize), (*mut T, isize), (usize, usize), bool);

/// Copies rows of so many columns, from and to rows as far apart as the strides say. If the last argument says so, what
/// is left of the last vector of each row is filled with zeros.
///
/// # Safety
///
/// All these elements are readable, and writable, respectively, on a CPU with the kernel's instruction set.
pub(super) type CopyFn<T> = unsafe fn((*const T, isize), (*mut T, isize), (usize, usize), bool);

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
    (rows, columns): (usize, usize),
    fills: bool,
) {
    let whole = if rows == V::COUNT { columns / V::COUNT * V::COUNT } else { 0 };
    for j in (0..whole).step_by(V::COUNT) {
        let (from, to) = (from.wrapping_add(j), to.wrapping_offset(j as isize * to_row));
        for i in 0..V::COUNT {
            let ahead = AHEAD / size_of::<V::Element>();
            V::prefetch(from.wrapping_offset(i as isize * from_row).wrapping_add(ahead));
        }
        // SAFETY: a square of what the caller promises.
        unsafe { V::transpose(proof, from, from_row, to, to_row) };
    }
    for j in (whole..columns).step_by(V::COUNT) {
        let (from, to) = (from.wrapping_add(j), to.wrapping_offset(j as isize * to_row));
        let part = (rows, V::COUNT.min(columns - j));
        // SAFETY: of what the caller promises.
        unsafe { V::transpose_first(proof, from, from_row, to, to_row, part, fills) };
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
    (rows, columns): (usize, usize),
    fills: bool,
) {
    let whole = columns / V::COUNT * V::COUNT;
    let mask = V::first(proof, columns - whole);
    let written = if fills { V::first(proof, V::COUNT) } else { mask };
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
            // SAFETY: what is left of the row, or its last vector.
            unsafe { vector.store_first(written, to.wrapping_add(whole)) };
        }
    }
}
