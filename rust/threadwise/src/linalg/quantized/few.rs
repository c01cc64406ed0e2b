//! Few rows: packed codes are read once, where they lie.

use ndarray::{ArrayViewD, ArrayViewMutD};
use threadwise_kernels::Isa;
use threadwise_kernels::gemm::Epilogue;
use threadwise_kernels::quant::dots::{Inputs, Kernel};
use threadwise_runtime::with_scratch;

use super::{Piece, QuantizedWeight, Single, prepare, threads};
use crate::{Context, Error};

/// Bytes of codes in a piece, about: some ten microseconds of reading.
const PIECE: usize = 96 << 10;

/// Rows of a piece are a multiple of this.
const ROWS: usize = 16;

/// The product that reads codes where they lie.
pub(super) fn few<T: Single>(
    inputs: Inputs,
    x: ArrayViewD<'_, T>,
    weight: &QuantizedWeight<'_>,
    epilogue: Epilogue<'_, f32>,
    mut out: ArrayViewMutD<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let kernel = Kernel::new(context.isa, weight.layout, inputs);
    let [n, _] = weight.shape();
    let m = out.len() / n;
    let mut columns = (PIECE / weight.row_bytes().max(1)).next_multiple_of(ROWS).max(ROWS);
    if let Some(distribution) = context.distribution {
        columns = distribution.extent(n, context.threads, ROWS);
    }
    let mut pieces = Piece::cut(&mut out, columns);
    let threads = threads::<T>(m, weight, pieces.len(), context);
    let isa = context.isa;
    with_scratch(m * kernel.prepared(), |prepared: &mut [u32]| {
        prepare(&kernel, x, prepared, threads, context)?;
        let prepared = &*prepared;
        context.share(&mut pieces, threads, |piece, _| {
            piece.outcome = compute(&kernel, prepared, weight, epilogue, piece, isa);
        })
    })??;
    pieces.into_iter().try_for_each(|piece| piece.outcome)
}

/// One piece: all rows of inputs with its rows of the weight.
fn compute<T: Single>(
    kernel: &Kernel,
    prepared: &[u32],
    weight: &QuantizedWeight<'_>,
    epilogue: Epilogue<'_, f32>,
    piece: &mut Piece<'_, T>,
    isa: Isa,
) -> Result<(), Error> {
    with_scratch(piece.c.len(), |sums: &mut [f32]| {
        with_scratch(kernel.scratch(), |scratch: &mut [f32]| {
            kernel.multiply(prepared, &weight.weights, piece.columns(), scratch, sums);
        })?;
        piece.fill(isa, sums, epilogue);
        Ok(())
    })?
}
