//! Products of a layer from pieces of numbers, where these are faster: what is multiplied is packed once for all items
//! that need it. What a layer gives, and derivatives by that, are packed by the item that made them while they are in its
//! cache; inputs and the derivatives by the outputs are packed in phases of their own.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use threadwise_kernels::gemm::{Epilogue, Finish, Right};
use threadwise_kernels::split::{Far, Kernel, SIDE, STEP, packed};
use threadwise_runtime::with_scratch;

use super::cuts::Cells;
use super::network::Network;
use super::pass::Pass;
use super::plane::{Carver, Grid};
use crate::Error;
use crate::linalg::Real;
use crate::phased::{Item, Region};

/// Terms that are packed at a time: with some columns they should stay in the second-level cache.
const DEPTH: usize = 16 * SIDE;

/// Rows from which on products are faster from pieces, packing included.
const ROWS: usize = 128;

/// What is packed.
#[derive(Debug)]
pub(super) struct Pieces<'b, T: 'static> {
    kernel: Kernel<T>,
    /// The rows that each layer is given; backwards, the derivatives by these. The last ones are the outputs'.
    lefts: Vec<Grid<'b, u32>>,
    /// What each layer is given, by columns.
    rights: Vec<Grid<'b, u32>>,
}

/// The kernel for passes of so many rows, if products are made from pieces.
pub(super) fn kernel<T: Real>(isa: crate::Isa, batch: usize) -> Option<Kernel<T>> {
    T::split(isa).filter(|_| batch >= ROWS)
}

/// Units that all operands take.
pub(super) fn units(network: &Network, batch: usize) -> usize {
    let product = |(panels, units)| panels * units;
    let lefts = network.sizes.iter().map(|&columns| product(packed(batch, columns)));
    let rights = network.sizes[..network.layers()].iter();
    lefts.sum::<usize>() + rights.map(|&columns| product(packed(columns, batch))).sum::<usize>()
}

impl<'b, T: Real> Pieces<'b, T> {
    pub(super) fn new(
        region: &Region,
        kernel: Kernel<T>,
        network: &Network,
        batch: usize,
        room: &'b mut [u32],
    ) -> Result<Self, Error> {
        let mut carver = Carver(room);
        let count = network.layers();
        // Panels down and across that an item packs of the rows that layer `l` is given.
        let panels = |l: usize, columns: usize| {
            if l == 0 || l == count {
                return [1, columns.div_ceil(SIDE)];
            }
            let Cells { rows, columns } = Cells::of_panels((batch, columns), SIDE);
            [rows / SIDE, columns / SIDE]
        };
        let sizes = network.sizes.iter().enumerate();
        let sizes: Vec<_> = sizes.map(|(l, &columns)| (columns, panels(l, columns))).collect();
        let mut grid = |(lines, terms): (usize, usize), [down, across]: [usize; 2]| {
            let cells = Cells { rows: down, columns: across * STEP };
            Ok::<_, Error>(Grid::new(region, carver.matrix(packed(lines, terms))?, cells))
        };
        let lefts = sizes.iter().map(|&(columns, cells)| grid((batch, columns), cells));
        let lefts = lefts.collect::<Result<_, _>>()?;
        let rights = sizes[..count]
            .iter()
            .map(|&(columns, [down, across])| grid((columns, batch), [across, down]));
        Ok(Self { kernel, lefts, rights: rights.collect::<Result<_, _>>()? })
    }

    /// Packs cell `number` of the rows that layer `l` is given, or of the derivatives by these.
    pub(super) fn pack_rows(
        &self,
        item: &Item<'_>,
        l: usize,
        number: usize,
        rows: ArrayView2<'_, T>,
    ) {
        self.kernel.pack_left(rows, self.lefts[l].cell(item, number));
    }

    /// Packs cell `number` of what layer `l` is given, by rows and by columns.
    pub(super) fn pack_inputs(
        &self,
        item: &Item<'_>,
        l: usize,
        number: usize,
        x: ArrayView2<'_, T>,
    ) {
        self.pack_rows(item, l, number, x);
        let [down, across] = self.lefts[l].cells();
        let number = number % across * down + number / across;
        self.kernel.pack_right(x, self.rights[l].cell(item, number));
    }

    /// Items that operands of so many rows are packed in.
    pub(super) fn items(batch: usize) -> usize {
        batch.div_ceil(SIDE)
    }

    /// `c = f(a @ b + bias)`, where a is rows `first` and so on of what is packed as number `l`.
    pub(super) fn product(
        &self,
        item: &Item<'_>,
        (l, first): (usize, usize),
        b: ArrayView2<'_, T>,
        c: &mut ArrayViewMut2<'_, T>,
        epilogue: Option<(&threadwise_kernels::gemm::Kernel<T>, Epilogue<'_, T>)>,
    ) -> Result<(), Error> {
        let (k, n) = b.dim();
        let (m, left) = (c.nrows(), self.lefts[l].read(item));
        let panels = first / SIDE..(first + m).div_ceil(SIDE);
        let left = left.slice_axis(Axis(0), panels.into());
        let (rows, columns) = packed(n, k.min(DEPTH));
        with_scratch(rows * columns, |room: &mut [u32]| {
            for first in (0..k).step_by(DEPTH) {
                let terms = first..k.min(first + DEPTH);
                let shape = packed(n, terms.len());
                let room = &mut room[..shape.0 * shape.1];
                let Ok(mut right) = ArrayViewMut2::from_shape(shape, room) else { return };
                let left = left.slice_axis(Axis(1), units_of(&terms).into());
                let b = b.slice_axis(Axis(0), terms.into());
                self.kernel.pack_right(b, right.view_mut());
                self.kernel.multiply(left, right.view(), c.view_mut(), first > 0, Far::Left);
            }
        })?;
        if let (Some((kernel, epilogue)), Ok(a)) = (epilogue, ArrayView2::from_shape((m, 0), &[])) {
            // No terms are added, and the epilogue is applied.
            let finish = Finish { accumulate: true, epilogue: Some(epilogue) };
            kernel.multiply(a, Right::Packed(0, n, &[]), c.view_mut(), finish);
        }
        Ok(())
    }

    /// The gradient of some rows of layer `l`'s weight: derivatives, some outputs' of all rows, by what the layer was
    /// given.
    pub(super) fn weight_gradient(
        &self,
        item: &Item<'_>,
        l: usize,
        deltas: ArrayView2<'_, T>,
        gradient: &mut ArrayViewMut2<'_, T>,
    ) -> Result<(), Error> {
        let (height, batch) = deltas.dim();
        let (right, (rows, columns)) =
            (self.rights[l].read(item), packed(height, batch.min(DEPTH)));
        with_scratch(rows * columns, |room: &mut [u32]| {
            for first in (0..batch).step_by(DEPTH) {
                let terms = first..batch.min(first + DEPTH);
                let shape = packed(height, terms.len());
                let room = &mut room[..shape.0 * shape.1];
                let Ok(mut left) = ArrayViewMut2::from_shape(shape, room) else { return };
                let right = right.slice_axis(Axis(1), units_of(&terms).into());
                let deltas = deltas.slice_axis(Axis(1), terms.into());
                self.kernel.pack_left(deltas, left.view_mut());
                let c = gradient.view_mut();
                self.kernel.multiply(left.view(), right, c, first > 0, Far::Right);
            }
        })?;
        Ok(())
    }
}

/// Where the units of these terms are, which begin with a step.
fn units_of(terms: &Range<usize>) -> Range<usize> {
    terms.start / SIDE * STEP..terms.end.div_ceil(SIDE) * STEP
}

impl<T: Real> Pass<'_, T> {
    /// Packs some rows of the inputs.
    pub(super) fn split_inputs(&self, item: &Item<'_>) {
        if let Some(pieces) = &self.pieces {
            pieces.pack_inputs(item, 0, item.number(), self.panel(item, self.inputs(item, 0)));
        }
    }

    /// Packs some rows of the derivatives by the outputs.
    pub(super) fn split_deltas(&self, item: &Item<'_>) {
        let count = self.network.layers();
        if let Some(pieces) = &self.pieces {
            let deltas = self.panel(item, self.deltas(item, count - 1));
            pieces.pack_rows(item, count, item.number(), deltas);
        }
    }

    /// The rows that an item packs.
    fn panel<'x>(&self, item: &Item<'_>, x: ArrayView2<'x, T>) -> ArrayView2<'x, T> {
        let rows = item.number() * SIDE..self.batch.min((item.number() + 1) * SIDE);
        x.slice_axis_move(Axis(0), rows.into())
    }
}
