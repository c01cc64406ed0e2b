//! Rows of numbers that one phase writes and another reads.

use ndarray::{ArrayView2, ArrayViewMut2};

use crate::phased::{Cut, Item, Region, Shared};

/// How a buffer of rows is cut: by some rows, or by some columns of all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cuts {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// A buffer of rows, one for each token.
#[derive(Debug)]
pub(super) struct Rows<'a, T> {
    shared: Shared<'a, T>,
    lines: Cut,
    strips: Cut,
    whole: Cut,
}

impl<'a, T: Send + Sync> Rows<'a, T> {
    pub(super) fn new(region: &Region, buffer: ArrayViewMut2<'a, T>, cuts: Cuts) -> Self {
        let (rows, columns) = buffer.dim();
        let mut shared = region.share(buffer);
        let lines = shared.cut(cuts.rows, columns.max(1));
        let strips = shared.cut(rows.max(1), cuts.columns);
        let whole = shared.cut(rows.max(1), columns.max(1));
        Self { shared, lines, strips, whole }
    }

    pub(super) fn read<'i>(&'i self, item: &'i Item<'_>) -> ArrayView2<'i, T> {
        self.shared.read(item)
    }

    /// Some rows, to be written.
    pub(super) fn rows<'i>(&'i self, item: &'i Item<'_>, piece: usize) -> ArrayViewMut2<'i, T> {
        self.shared.piece(item, self.lines, piece)
    }

    /// Some columns of all rows, to be written.
    pub(super) fn columns<'i>(&'i self, item: &'i Item<'_>, piece: usize) -> ArrayViewMut2<'i, T> {
        self.shared.piece(item, self.strips, piece)
    }

    /// All of it, to be written.
    pub(super) fn whole<'i>(&'i self, item: &'i Item<'_>) -> ArrayViewMut2<'i, T> {
        self.shared.piece(item, self.whole, 0)
    }
}

/// Memory of which buffers are made one after the other.
pub(super) struct Room<'a, T>(&'a mut [T]);

impl<'a, T> Room<'a, T> {
    pub(super) fn new(memory: &'a mut [T]) -> Self {
        Self(memory)
    }

    /// The next rows.
    ///
    /// # Panics
    ///
    /// If there is no room for them.
    pub(super) fn take(&mut self, (rows, columns): (usize, usize)) -> ArrayViewMut2<'a, T> {
        let (taken, rest) = std::mem::take(&mut self.0).split_at_mut(rows * columns);
        self.0 = rest;
        let view = ArrayViewMut2::from_shape((rows, columns), taken);
        view.unwrap_or_else(|_| unreachable!("as long"))
    }
}
