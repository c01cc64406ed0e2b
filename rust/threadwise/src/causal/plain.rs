//! A weight of plain numbers, read where its file is mapped.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;
use ndarray::{ArrayView2, ArrayViewMut2, Axis, Slice};
use threadwise_kernels::dense::Weight;
use threadwise_runtime::{Mapped, Owned};

use super::source::Found;
use crate::{Error, Isa};

/// Some rows and columns of a weight.
#[derive(Debug)]
pub(super) struct Plain<S> {
    memory: Memory<S>,
    /// Elements of a row of the whole weight.
    stride: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

#[derive(Debug)]
enum Memory<S> {
    /// Where the file is mapped.
    Mapped(Arc<Mapped>, Range<usize>),
    /// A copy of numbers that do not lie at multiples of their size in the file.
    Copied(Owned<S>),
}

impl<S: Pod> Plain<S> {
    pub(super) fn new(
        found: &Found<'_>,
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> Result<Self, Error> {
        let (memory, place) = found.memory();
        let stride = found.tensor.shape[1];
        let is_aligned = bytemuck::try_cast_slice::<u8, S>(&memory[place.clone()]).is_ok();
        let memory = if is_aligned {
            Memory::Mapped(memory, place)
        } else {
            let mut copy = Owned::<S>::zeros(place.len() / size_of::<S>())?;
            bytemuck::cast_slice_mut(&mut copy).copy_from_slice(&memory[place]);
            Memory::Copied(copy)
        };
        Ok(Self { memory, stride, rows, columns })
    }

    /// Rows and columns.
    pub(super) fn dim(&self) -> (usize, usize) {
        (self.rows.len(), self.columns.len())
    }

    fn view(&self) -> ArrayView2<'_, S> {
        let numbers = match &self.memory {
            Memory::Mapped(memory, place) => {
                bytemuck::try_cast_slice(&memory[place.clone()]).unwrap_or_default()
            }
            Memory::Copied(numbers) => numbers,
        };
        let shape = (numbers.len().checked_div(self.stride).unwrap_or(0), self.stride);
        let whole = ArrayView2::from_shape(shape, numbers);
        let whole = whole.unwrap_or_else(|_| unreachable!("whole rows"));
        let rows = whole.slice_axis_move(Axis(0), self.rows.clone().into());
        rows.slice_axis_move(Axis(1), self.columns.clone().into())
    }
}

impl<S: Weight + Pod + Into<f32>> Plain<S> {
    /// Products of rows of inputs, from column `lead` on, with some rows.
    pub(super) fn multiply(
        &self,
        isa: Isa,
        (x, lead): (ArrayView2<'_, f32>, usize),
        rows: Range<usize>,
        y: ArrayViewMut2<'_, f32>,
    ) {
        let columns = Slice::from(lead..lead + self.columns.len());
        S::dense(isa).multiply(x.slice_axis_move(Axis(1), columns), self.view(), rows, y);
    }

    /// A row as float32.
    pub(super) fn row(&self, row: usize, to: &mut [f32]) {
        to.iter_mut().zip(self.view().row(row)).for_each(|(to, from)| *to = (*from).into());
    }
}
