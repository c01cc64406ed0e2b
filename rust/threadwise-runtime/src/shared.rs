//! Buffers that the phases of a region write and read.
//!
//! In one phase a buffer is either read, by all items, or written in pieces, each piece by one item: the first
//! access of a phase decides which, and what goes against it panics. Pieces are the cells of a [`Cut`], so they
//! are disjoint; that no cell is given out twice in a phase is written down beside the cell.
//!
//! # Why that is enough
//!
//! A reference to the buffer's elements needs an [`Item`] of the buffer's region and lives no longer than that
//! is lent to [`Program::run`](crate::Program::run). A region runs once, and all items of a phase are done
//! before another phase begins, so references of two phases never exist at the same time. Within a phase there
//! are only references for reading, or references to distinct cells of one cut. Phases have numbers that
//! no other phase has, so what is written down need not be cleared.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};

use crate::region::Item;

/// Bits of the mode that say which cut, or that the buffer is read.
const CUT_BITS: u32 = 8;

/// A buffer that the items of a region reach through [`Item`].
#[derive(Debug)]
pub struct Shared<'b, T> {
    first: *mut T,
    rows: usize,
    columns: usize,
    strides: [isize; 2],
    region: u64,
    /// The phase of the last access, and whether it read (0) or wrote (the number of the cut).
    mode: AtomicU64,
    /// For each cell, the phase that it was last written in.
    written: Vec<AtomicU64>,
    cuts: Vec<Cut>,
    buffer: PhantomData<&'b mut [T]>,
}

// SAFETY: shared access gives `&T`, and `&mut T` to one item at a time, as the module says.
unsafe impl<T: Send + Sync> Sync for Shared<'_, T> {}
// SAFETY: it stands for a `&mut [T]`.
unsafe impl<T: Send> Send for Shared<'_, T> {}

/// A way to cut a buffer into cells of so many rows and columns; those at the edges are smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    number: u64,
    rows: usize,
    columns: usize,
    /// Cells down and across.
    cells: [usize; 2],
}

impl Cut {
    /// How many cells there are, numbered along the rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells[0] * self.cells[1]
    }

    /// Whether there are none, because the buffer has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'b, T> Shared<'b, T> {
    /// # Panics
    ///
    /// If a stride is negative.
    pub(crate) fn new(region: u64, mut buffer: ArrayViewMut2<'b, T>) -> Self {
        let (rows, columns) = buffer.dim();
        let strides = [buffer.strides()[0], buffer.strides()[1]];
        assert!(strides.iter().all(|&step| step >= 0), "rows and columns run forwards");
        Self {
            first: buffer.as_mut_ptr(),
            rows,
            columns,
            strides,
            region,
            mode: AtomicU64::new(0),
            written: Vec::new(),
            cuts: Vec::new(),
            buffer: PhantomData,
        }
    }

    /// How the items of some phase cut the buffer: into cells of `rows` by `columns` elements.
    ///
    /// # Panics
    ///
    /// If a cell has no elements, or there are more than 255 cuts.
    pub fn cut(&mut self, rows: usize, columns: usize) -> Cut {
        assert!(rows > 0 && columns > 0, "cells of {rows} by {columns} elements");
        let cells = [self.rows.div_ceil(rows), self.columns.div_ceil(columns)];
        let same = |cut: &&Cut| (cut.rows, cut.columns) == (rows, columns);
        if let Some(cut) = self.cuts.iter().find(same) {
            return *cut;
        }
        let cut = Cut { number: self.cuts.len() as u64 + 1, rows, columns, cells };
        assert!(cut.number < 1 << CUT_BITS, "{} cuts", cut.number);
        self.cuts.push(cut);
        if self.written.len() < cut.len() {
            self.written.resize_with(cut.len(), AtomicU64::default);
        }
        cut
    }

    /// The extents of the buffer.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// The whole buffer, to be read.
    ///
    /// # Panics
    ///
    /// If the item is another region's, or the buffer is written in the same phase.
    #[must_use]
    pub fn read<'i>(&'i self, item: &'i Item<'_>) -> ArrayView2<'i, T>
    where
        T: Sync,
    {
        self.enter(item, 0);
        let shape = (self.rows, self.columns).strides(self.steps());
        // SAFETY: the elements of the view that was lent; in this phase they are only read, as the module says.
        unsafe { ArrayView2::from_shape_ptr(shape, self.first) }
    }

    /// A cell of the cut, to be written.
    ///
    /// # Panics
    ///
    /// If the item is another region's; if in the same phase the buffer is read, or cut otherwise, or the cell was
    /// given out before; if the cut is another buffer's or has no such cell.
    #[must_use]
    pub fn piece<'i>(&'i self, item: &'i Item<'_>, cut: Cut, cell: usize) -> ArrayViewMut2<'i, T>
    where
        T: Send,
    {
        assert!(self.cuts.contains(&cut), "the cut is another buffer's");
        assert!(cell < cut.len(), "cell {cell} of {}", cut.len());
        self.enter(item, cut.number);
        // Who writes what is ordered by the phases, not by this.
        let before = self.written[cell].swap(item.epoch, Ordering::Relaxed);
        assert!(before != item.epoch, "cell {cell} was given out before in phase {}", item.phase());
        let (i, j) = (cell / cut.cells[1] * cut.rows, cell % cut.cells[1] * cut.columns);
        let (rows, columns) = (cut.rows.min(self.rows - i), cut.columns.min(self.columns - j));
        let offset = i as isize * self.strides[0] + j as isize * self.strides[1];
        let first = self.first.wrapping_offset(offset);
        // SAFETY: elements of the view that was lent, of a cell that is nobody else's in this phase, as the module
        // says.
        unsafe { ArrayViewMut2::from_shape_ptr((rows, columns).strides(self.steps()), first) }
    }

    /// The strides, which `new` has seen are not negative.
    fn steps(&self) -> (usize, usize) {
        (self.strides[0].unsigned_abs(), self.strides[1].unsigned_abs())
    }

    /// Notes that the buffer is used so in this phase.
    fn enter(&self, item: &Item<'_>, cut: u64) {
        assert!(self.region == item.region, "the buffer is another region's");
        let mode = item.epoch << CUT_BITS | cut;
        let mut seen = self.mode.load(Ordering::Relaxed);
        // Most times another item of the phase was here before.
        while seen != mode {
            let other = seen & ((1 << CUT_BITS) - 1);
            let is_first = seen >> CUT_BITS != item.epoch;
            assert!(is_first, "{} and {} in phase {}", use_of(other), use_of(cut), item.phase());
            let relaxed = Ordering::Relaxed;
            match self.mode.compare_exchange_weak(seen, mode, relaxed, relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }
}

/// A use of a buffer, for the message of a panic.
fn use_of(cut: u64) -> &'static str {
    if cut == 0 { "read" } else { "written in pieces" }
}

#[cfg(test)]
mod tests;
