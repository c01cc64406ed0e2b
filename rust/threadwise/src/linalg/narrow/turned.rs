//! Pieces of products of few rows with a B of contiguous columns, by tiles: Cᵀ = Bᵀ·Aᵀ, of which Bᵀ is read where it lies,
//! and Aᵀ, which is smaller, is packed. Sums are turned back while they are near.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use threadwise_kernels::Element;
use threadwise_kernels::gemm::Epilogue;
use threadwise_kernels::narrow::{Pair, Rounded};
use threadwise_runtime::with_scratch;

use super::finish::finish;
use super::pieces::{Part, block};
use super::plan::BLOCK;
use super::{Summed, matrix};
use crate::{Error, Isa};

/// Rows of sums are filled up to this many, so that all of them are turned in registers.
const SQUARE: usize = 16;

/// Block by block of B's columns, of each all passes over k.
pub(super) fn turned<P: Pair<Sum: Summed>, R: Rounded<P::Sum>>(
    part: &Part<'_, '_, P>,
    b: ArrayView2<'_, P::Right>,
    mut c: ArrayViewMut2<'_, R>,
) -> Result<(), Error> {
    let m = c.nrows();
    let kernel = <P::Swapped as Pair>::kernel(part.isa);
    let room = |terms: &Range<usize>| kernel.packed_right(terms.len(), m);
    let left = b.slice_axis_move(Axis(1), part.columns.clone().into()).reversed_axes();
    let right = part.a.reversed_axes();
    with_scratch(part.passes().map(|terms| room(&terms)).sum(), |packed: &mut [u32]| {
        let mut rest = &mut *packed;
        for terms in part.passes() {
            let (now, later) = rest.split_at_mut(room(&terms));
            kernel.pack_right(right.slice_axis(Axis(0), terms.into()), now);
            rest = later;
        }
        let height = m.next_multiple_of(SQUARE);
        with_scratch(2 * height * BLOCK, |sums: &mut [P::Sum]| {
            let blocks = left.axis_chunks_iter(Axis(0), BLOCK);
            for (i, (left, c)) in blocks.zip(c.axis_chunks_iter_mut(Axis(1), BLOCK)).enumerate() {
                if part.checkpoint.reached() {
                    break;
                }
                let (width, first) = (left.nrows(), i * BLOCK);
                let (sums, rows) = sums[..2 * height * width].split_at_mut(height * width);
                let mut at = 0;
                for terms in part.passes() {
                    let packed = &packed[at..][..room(&terms)];
                    at += packed.len();
                    let accumulate = terms.start > part.terms.start;
                    let left = left.slice_axis(Axis(1), terms.into());
                    let sums =
                        matrix(sums, (width, height))?.slice_axis_move(Axis(1), (..m).into());
                    block(&kernel, left, packed, sums, accumulate)?;
                }
                turn(part.isa, sums, rows, (height, width))?;
                let rows = matrix(&mut rows[..m * width], (m, width))?;
                let bias = part.epilogue.bias.map(|bias| &bias[first..first + width]);
                finish(part.isa, rows, Epilogue { bias, ..part.epilogue }, c);
            }
            Ok(())
        })?
    })?
}

/// The columns of sums, row after row.
fn turn<S: Summed>(
    isa: Isa,
    sums: &mut [S],
    rows: &mut [S],
    (m, n): (usize, usize),
) -> Result<(), Error> {
    // Their bits are those of float32, which are moved as they are.
    let sums = matrix(bytemuck::cast_slice_mut(sums), (n, m))?;
    f32::gemm(isa).copy_left(sums.view().reversed_axes(), bytemuck::cast_slice_mut(rows));
    Ok(())
}
