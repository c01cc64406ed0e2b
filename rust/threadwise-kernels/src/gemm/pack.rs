//! Copies of operands in the order in which tiles read them.

use ndarray::{ArrayView2, Axis, s};

use super::Kernel;
use crate::element::Element;

/// How `count` rows (or columns) are cut into pieces of at most `limit`, as even as possible: seven
/// rows in pieces of at most six are 4 + 3, because a tile of one row wastes most of its registers.
pub(super) fn pieces(count: usize, limit: usize) -> impl Iterator<Item = (usize, usize)> {
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

    /// Packs one sliver of B, at most [`Kernel::columns`] wide, into `sliver`: row after row, each
    /// filled up with zeros to the full width.
    ///
    /// # Panics
    ///
    /// If the sliver is too wide or `sliver` is not k times the full width.
    pub fn pack_right(&self, b: ArrayView2<'_, T>, sliver: &mut [T]) {
        let (k, n) = b.dim();
        let width = self.columns();
        assert!(n <= width, "a sliver of {n} columns, at most {width} fit");
        assert_eq!(sliver.len(), k * width, "room for a sliver of {k} rows of {width}");
        if b.strides()[1] == 1 || n == 1 {
            for (row, packed) in b.rows().into_iter().zip(sliver.chunks_exact_mut(width)) {
                let (packed, padding) = packed.split_at_mut(n);
                match row.as_slice() {
                    Some(row) => packed.copy_from_slice(row),
                    None => packed.iter_mut().zip(row).for_each(|(to, from)| *to = *from),
                }
                padding.fill(T::default());
            }
        } else {
            transpose(b, sliver, width);
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

/// Rows of B that are transposed at a time: a cache line of each column.
const LINE: usize = 16;

/// Packs a sliver of a B whose columns are contiguous (or neither is).
fn transpose<T: Element>(b: ArrayView2<'_, T>, sliver: &mut [T], width: usize) {
    let n = b.ncols();
    // A few rows at a time, so that what is written stays in the nearest cache.
    for (rows, packed) in b.axis_chunks_iter(Axis(0), LINE).zip(sliver.chunks_mut(LINE * width)) {
        for (j, column) in rows.columns().into_iter().enumerate() {
            for (&from, to) in column.iter().zip(packed[j..].iter_mut().step_by(width)) {
                *to = from;
            }
        }
        if n < width {
            for row in packed.chunks_exact_mut(width) {
                row[n..].fill(T::default());
            }
        }
    }
}
