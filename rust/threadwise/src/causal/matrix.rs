//! A weight, of whatever type: rows of it times inputs.

use std::ops::Range;

use half::{bf16, f16};
use ndarray::{ArrayView2, ArrayViewMut2};
use threadwise_kernels::quant::panels;

use super::panels::{Cut, Panels};
use super::plain::Plain;
use super::source::Source;
use crate::store::Dtype;
use crate::{Context, Error, Isa};

/// The number types of weights that are not quantized.
pub(super) const FLOATS: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

/// Some rows and columns of a weight.
#[derive(Debug)]
pub(super) enum Matrix {
    F32(Plain<f32>),
    F16(Plain<f16>),
    Bf16(Plain<bf16>),
    Quantized(Panels),
}

/// Rows of inputs, in the forms that weights need.
#[derive(Clone, Copy)]
pub(super) struct X<'a> {
    /// Numbers, from column `lead` on.
    pub(super) floats: ArrayView2<'a, f32>,
    pub(super) lead: usize,
    /// What meets codes.
    pub(super) coded: Option<panels::Inputs<'a>>,
}

impl Matrix {
    /// The cut of the weight of this name.
    pub(super) fn load(
        source: &Source<'_>,
        name: &str,
        cut: &Cut,
        context: &Context<'_>,
    ) -> Result<Self, Error> {
        if let Some(packing) = source.packing(name) {
            return Ok(Self::Quantized(Panels::load(source, name, packing, cut, context)?));
        }
        let found = source.find(name, &cut.shape, &FLOATS)?;
        let (rows, columns) = (cut.rows.clone(), cut.columns.clone());
        Ok(match found.tensor.dtype {
            Dtype::F16 => Self::F16(Plain::new(&found, rows, columns)?),
            Dtype::Bf16 => Self::Bf16(Plain::new(&found, rows, columns)?),
            _ => Self::F32(Plain::new(&found, rows, columns)?),
        })
    }

    /// How many numbers there are.
    pub(super) fn elements(&self) -> usize {
        let (rows, columns) = match self {
            Self::F32(plain) => plain.dim(),
            Self::F16(plain) => plain.dim(),
            Self::Bf16(plain) => plain.dim(),
            Self::Quantized(panels) => panels.dim(),
        };
        rows * columns
    }

    /// Bytes that are read of it.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::F32(_) => 4 * self.elements(),
            Self::F16(_) | Self::Bf16(_) => 2 * self.elements(),
            Self::Quantized(panels) => panels.bytes(),
        }
    }

    /// Products of all inputs with some rows.
    pub(super) fn multiply(
        &self,
        isa: Isa,
        x: X<'_>,
        rows: Range<usize>,
        mut y: ArrayViewMut2<'_, f32>,
    ) -> Result<(), Error> {
        let floats = (x.floats, x.lead);
        match self {
            Self::F32(plain) => plain.multiply(isa, floats, rows, y),
            Self::F16(plain) => plain.multiply(isa, floats, rows, y),
            Self::Bf16(plain) => plain.multiply(isa, floats, rows, y),
            Self::Quantized(panels) => match x.coded {
                Some(coded) => panels.multiply(isa, coded, rows, y)?,
                // There are no inputs.
                None => y.fill(0.0),
            },
        }
        Ok(())
    }

    /// A row as float32.
    pub(super) fn row(&self, row: usize, to: &mut [f32]) {
        match self {
            Self::F32(plain) => plain.row(row, to),
            Self::F16(plain) => plain.row(row, to),
            Self::Bf16(plain) => plain.row(row, to),
            Self::Quantized(panels) => panels.row(row, to),
        }
    }
}
