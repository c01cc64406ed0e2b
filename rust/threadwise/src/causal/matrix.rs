//! A weight, of whatever type: rows of it times inputs.

use std::ops::Range;
use std::sync::Arc;

use half::{bf16, f16};
use ndarray::{ArrayView2, ArrayViewMut2, Axis, Slice};
use threadwise_kernels::dense::Weight;
use threadwise_runtime::{Mapped, Owned};

use super::source::{Found, Source};
use crate::store::Dtype;
use crate::{Error, Isa};

/// The number types of weights that are not quantized.
pub(super) const FLOATS: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

/// Some rows and columns of a weight.
#[derive(Debug)]
pub(super) enum Matrix {
    F32(Plain<f32>),
    F16(Plain<f16>),
    Bf16(Plain<bf16>),
}

/// Numbers in a file.
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

impl<S: bytemuck::Pod> Plain<S> {
    fn new(found: &Found<'_>, rows: Range<usize>, columns: Range<usize>) -> Result<Self, Error> {
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

impl<S: Weight + bytemuck::Pod> Plain<S> {
    fn multiply(
        &self,
        isa: Isa,
        x: ArrayView2<'_, f32>,
        rows: Range<usize>,
        y: ArrayViewMut2<'_, f32>,
    ) {
        let x = x.slice_axis_move(Axis(1), Slice::from(..self.columns.len()));
        S::dense(isa).multiply(x, self.view(), rows, y);
    }
}

impl Matrix {
    /// Some rows and columns of the weight of this name and shape.
    pub(super) fn load(
        source: &Source<'_>,
        name: &str,
        shape: [usize; 2],
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> Result<Self, Error> {
        let found = source.find(name, &shape, &FLOATS)?;
        Ok(match found.tensor.dtype {
            Dtype::F16 => Self::F16(Plain::new(&found, rows, columns)?),
            Dtype::Bf16 => Self::Bf16(Plain::new(&found, rows, columns)?),
            _ => Self::F32(Plain::new(&found, rows, columns)?),
        })
    }

    /// Rows and columns.
    pub(super) fn dim(&self) -> (usize, usize) {
        let dim = |rows: &Range<usize>, columns: &Range<usize>| (rows.len(), columns.len());
        match self {
            Self::F32(plain) => dim(&plain.rows, &plain.columns),
            Self::F16(plain) => dim(&plain.rows, &plain.columns),
            Self::Bf16(plain) => dim(&plain.rows, &plain.columns),
        }
    }

    /// How many numbers there are.
    pub(super) fn elements(&self) -> usize {
        let (rows, columns) = self.dim();
        rows * columns
    }

    /// Bytes that are read of it.
    pub(super) fn bytes(&self) -> usize {
        self.elements() * if matches!(self, Self::F32(_)) { 4 } else { 2 }
    }

    /// Products of all inputs with some rows.
    pub(super) fn multiply(
        &self,
        isa: Isa,
        x: ArrayView2<'_, f32>,
        rows: Range<usize>,
        y: ArrayViewMut2<'_, f32>,
    ) -> Result<(), Error> {
        match self {
            Self::F32(plain) => plain.multiply(isa, x, rows, y),
            Self::F16(plain) => plain.multiply(isa, x, rows, y),
            Self::Bf16(plain) => plain.multiply(isa, x, rows, y),
        }
        Ok(())
    }

    /// A row as float32.
    pub(super) fn row(&self, row: usize, to: &mut [f32]) {
        match self {
            Self::F32(plain) => widen(plain, row, to),
            Self::F16(plain) => widen(plain, row, to),
            Self::Bf16(plain) => widen(plain, row, to),
        }
    }
}

fn widen<S: bytemuck::Pod + Into<f32>>(plain: &Plain<S>, row: usize, to: &mut [f32]) {
    to.iter_mut().zip(plain.view().row(row)).for_each(|(to, from)| *to = (*from).into());
}
