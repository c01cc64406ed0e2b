//! Copies of A, where tiles would read it slowly.

use ndarray::ArrayView2;

use super::Kernel;
use crate::element::Element;

impl<T: Element> Kernel<T> {
    /// Copies A into `copy`, row after row without gaps: the elements of a row of a transposed matrix are
    /// scattered.
    ///
    /// # Panics
    ///
    /// If `copy` has another number of elements than `a`.
    pub fn copy_left(&self, a: ArrayView2<'_, T>, copy: &mut [T]) {
        assert_eq!(copy.len(), a.len(), "room for a copy of {:?}", a.dim());
        let (m, k) = a.dim();
        let (strides, row) = (a.strides(), k.cast_signed());
        if a.is_empty() {
            return;
        }
        if strides[1] == 1 || k == 1 {
            // SAFETY: a kernel is only made with the proof of its instruction set. Rows of A are contiguous,
            // as those of the copy are, which has as many elements.
            unsafe {
                (self.copy)((a.as_ptr(), strides[0]), (copy.as_mut_ptr(), row), (m, k), false);
            };
            return;
        }
        if strides[0] != 1 {
            for (row, to) in a.rows().into_iter().zip(copy.chunks_exact_mut(k)) {
                row.iter().zip(to).for_each(|(from, to)| *to = *from);
            }
            return;
        }
        for (i, p) in (0..m).step_by(self.lanes).flat_map(|i| {
            // Along the rows of the copy, so that its lines follow one another.
            (0..k).step_by(self.lanes).map(move |p| (i, p))
        }) {
            let from = a.as_ptr().wrapping_add(i).wrapping_offset(p as isize * strides[1]);
            let to = copy[i * k + p..].as_mut_ptr();
            let size = (self.lanes.min(k - p), self.lanes.min(m - i));
            // SAFETY: a kernel is only made with the proof of its instruction set. Columns of A are
            // contiguous; these parts of some of them lie within A, and their copy in the same place within the copy.
            unsafe { (self.squares)((from, strides[1]), (to, row), size, false) };
        }
    }

    /// From a column of a copy of A's columns to the next, in elements, if they have so many rows: an odd
    /// number of cache lines, so that columns spread over all places of the caches.
    #[must_use]
    pub fn columns_apart(&self, rows: usize) -> usize {
        let line = 64 / size_of::<T>();
        (rows.div_ceil(line) | 1) * line
    }

    /// Copies A, whose columns are contiguous, into `copy`, [`Kernel::columns_apart`] from one to the next.
    ///
    /// # Panics
    ///
    /// If adjacent rows of A are not adjacent in memory, or `copy` has no room for as many columns.
    pub fn copy_columns(&self, a: ArrayView2<'_, T>, copy: &mut [T]) {
        let ((m, k), apart) = (a.dim(), self.columns_apart(a.nrows()));
        assert!(a.strides()[0] == 1 || m <= 1 || a.is_empty(), "rows of A are adjacent");
        assert_eq!(copy.len(), apart * k, "room for {k} columns of {m}");
        // SAFETY: a kernel is only made with the proof of its instruction set. Columns of A are contiguous,
        // and no longer than those of the copy, of which there are as many.
        unsafe {
            (self.copy)(
                (a.as_ptr(), a.strides()[1]),
                (copy.as_mut_ptr(), apart.cast_signed()),
                (k, m),
                false,
            );
        }
    }
}
