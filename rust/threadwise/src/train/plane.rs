//! Matrices that the items of a pass read and write.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};

use super::cuts::Cells;
use crate::Error;
use crate::error::Shape;
use crate::phased::{Cut, Item, Region, Shared};

/// A matrix that nobody writes, or one that some phases write by cells.
#[derive(Debug)]
pub(super) enum Plane<'b, T> {
    Lent(ArrayView2<'b, T>),
    Shared(Grid<'b, T>),
}

impl<T: Send + Sync> Plane<'_, T> {
    pub(super) fn read<'i>(&'i self, item: &'i Item<'_>) -> ArrayView2<'i, T> {
        match self {
            Self::Lent(view) => view.view(),
            Self::Shared(grid) => grid.read(item),
        }
    }

    /// Cell `cell`, of one that is written.
    pub(super) fn cell<'i>(
        &'i self,
        item: &'i Item<'_>,
        cell: usize,
    ) -> Option<ArrayViewMut2<'i, T>> {
        match self {
            Self::Lent(_) => None,
            Self::Shared(grid) => Some(grid.cell(item, cell)),
        }
    }
}

/// A matrix that is written by cells of one size.
#[derive(Debug)]
pub(super) struct Grid<'b, T> {
    shared: Shared<'b, T>,
    cut: Cut,
    cells: Cells,
}

impl<'b, T: Send + Sync> Grid<'b, T> {
    pub(super) fn new(region: &Region, view: ArrayViewMut2<'b, T>, cells: Cells) -> Self {
        let mut shared = region.share(view);
        let cut = shared.cut(cells.rows, cells.columns);
        Self { shared, cut, cells }
    }

    /// How many cells there are.
    pub(super) fn len(&self) -> usize {
        self.cut.len()
    }

    /// How many there are down and across.
    pub(super) fn cells(&self) -> [usize; 2] {
        let (rows, columns) = self.shared.dim();
        [rows.div_ceil(self.cells.rows), columns.div_ceil(self.cells.columns)]
    }

    /// Row and column where a cell begins.
    pub(super) fn at(&self, cell: usize) -> (usize, usize) {
        let across = self.cells()[1].max(1);
        (cell / across * self.cells.rows, cell % across * self.cells.columns)
    }

    pub(super) fn read<'i>(&'i self, item: &'i Item<'_>) -> ArrayView2<'i, T> {
        self.shared.read(item)
    }

    pub(super) fn cell<'i>(&'i self, item: &'i Item<'_>, cell: usize) -> ArrayViewMut2<'i, T> {
        self.shared.piece(item, self.cut, cell)
    }

    /// Another way to cut the same matrix.
    pub(super) fn cut(&mut self, cells: Cells) -> Cut {
        self.shared.cut(cells.rows, cells.columns)
    }

    /// A cell of that other way.
    pub(super) fn piece<'i>(
        &'i self,
        item: &'i Item<'_>,
        cut: Cut,
        cell: usize,
    ) -> ArrayViewMut2<'i, T> {
        self.shared.piece(item, cut, cell)
    }
}

/// Some rows and columns of a matrix.
pub(super) fn part<T>(
    view: ArrayView2<'_, T>,
    rows: Range<usize>,
    columns: Range<usize>,
) -> ArrayView2<'_, T> {
    view.slice_axis_move(Axis(0), rows.into()).slice_axis_move(Axis(1), columns.into())
}

/// Matrices one after the other, from memory that is long enough.
#[derive(Debug)]
pub(super) struct Carver<'b, T>(pub(super) &'b mut [T]);

impl<'b, T> Carver<'b, T> {
    pub(super) fn matrix(
        &mut self,
        (rows, columns): (usize, usize),
    ) -> Result<ArrayViewMut2<'b, T>, Error> {
        let too_large = || Error::TooLarge(Shape(vec![rows, columns]));
        let memory = std::mem::take(&mut self.0);
        let (now, rest) = memory.split_at_mut_checked(rows * columns).ok_or_else(too_large)?;
        self.0 = rest;
        ArrayViewMut2::from_shape((rows, columns), now).map_err(|_| too_large())
    }
}
