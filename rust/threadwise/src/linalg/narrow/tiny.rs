//! Many small products: numbers are widened to float32 some products at a time, multiplied there, and rounded, so
//! that none of them pays for a packing of its own.

use std::ops::Range;

use ndarray::{ArrayView3, ArrayViewMut3, Axis, ShapeBuilder};
use threadwise_kernels::Element;
use threadwise_kernels::gemm::Epilogue;
use threadwise_kernels::narrow::{EXACT_TERMS, Narrow, Pair, Rounded, Sum};
use threadwise_runtime::with_scratch;

use super::super::batch::unfit;
use super::finish::finish;
use super::plan::{FEW_SHORT, TINY};
use super::{Summed, matrix};
use crate::{Error, Isa};

/// Numbers that stay in the nearest cache, those of A, B and C together.
const NEAR: usize = 6144;

/// Numbers that are widened at a time where they do not follow one another.
const SOME: usize = 256;

/// Terms from which on a product of one column is computed as the transposed one.
const WORTH_TURNING: usize = 8;

/// Whether products of these sizes are so small that to pack them takes longer, and their sums few enough to be exact
/// in float32, or taken there term by term if they are not.
pub(super) fn fits<P: Pair>((m, k, n): (usize, usize, usize)) -> bool {
    let is_few = if P::Sum::IS_EXACT { k <= EXACT_TERMS } else { k <= FEW_SHORT };
    is_few && k > 0 && m.saturating_mul(n).saturating_mul(k) <= TINY
}

/// C = A·B for each of some products along the first axes, whose sizes [fit](fits), or whether there are none.
pub(super) fn products<P: Pair<Sum: Summed>, R: Rounded<P::Sum>>(
    isa: Isa,
    a: ArrayView3<'_, P::Left>,
    b: ArrayView3<'_, P::Right>,
    mut c: ArrayViewMut3<'_, R>,
) -> Result<bool, Error> {
    let ((count, m, n), k) = (c.dim(), a.dim().2);
    let (Some(left), Some(right)) = (Alike::of(a), Alike::of(b)) else { return Ok(false) };
    let group = (NEAR / (m * k + k * n + m * n).max(1)).clamp(1, count.max(1));
    let kernel = f32::gemm(isa);
    with_scratch(group * (m * k + k * n + m * n), |scratch: &mut [f32]| {
        with_scratch(group * m * n, |sums: &mut [P::Sum]| {
            let mut first = 0;
            for c in c.axis_chunks_iter_mut(Axis(0), group) {
                let some = first..first + c.len_of(Axis(0));
                let (a, rest) = scratch.split_at_mut(some.len() * m * k);
                let (b, rest) = rest.split_at_mut(some.len() * k * n);
                let (singles, sums) = (&mut rest[..c.len()], &mut sums[..c.len()]);
                let a = left.widened(isa, some.clone(), a)?;
                let b = right.widened(isa, some.clone(), b)?;
                // A column is a row of the transposed product, which has vectors.
                let (a, b, size) = if n == 1 && k >= WORTH_TURNING {
                    let [a, b] = [a, b].map(|matrices| matrices.permuted_axes([0, 2, 1]));
                    (b, a, (c.len_of(Axis(0)), 1, m))
                } else {
                    (a, b, c.dim())
                };
                let products = ArrayViewMut3::from_shape(size, &mut *singles);
                let products = products.map_err(|_| unfit(&[size.0, m, n]))?;
                with_scratch(kernel.turned(b), |room: &mut [f32]| {
                    kernel.multiply_each(a, b, products, room);
                })?;
                P::Sum::of_singles(isa, singles, sums);
                round(isa, sums, c)?;
                first = some.end;
            }
            Ok(true)
        })
    })??
}

/// Matrices that are alike in how they lie.
struct Alike<'a, N> {
    matrices: ArrayView3<'a, N>,
    /// Whether each is dense, ...
    is_dense: bool,
    /// ... its columns following one another, not its rows.
    is_turned: bool,
    /// Whether all are the same one.
    is_one: bool,
}

impl<'a, N: Narrow> Alike<'a, N> {
    fn of(matrices: ArrayView3<'a, N>) -> Option<Self> {
        let first = matrices.outer_iter().next()?;
        let by_rows = first.is_standard_layout();
        let is_turned = !by_rows && first.reversed_axes().is_standard_layout();
        let is_one = matrices.strides()[0] == 0;
        Some(Self { matrices, is_dense: by_rows || is_turned, is_turned, is_one })
    }

    /// Some of the matrices, as float32.
    fn widened<'t>(
        &self,
        isa: Isa,
        some: Range<usize>,
        to: &'t mut [f32],
    ) -> Result<ArrayView3<'t, f32>, Error> {
        let count = some.len();
        let matrices = self.matrices.slice_axis(Axis(0), some.into());
        let matrices = if self.is_turned { matrices.permuted_axes([0, 2, 1]) } else { matrices };
        let (_, rows, columns) = matrices.dim();
        if let Some(numbers) = matrices.as_slice() {
            N::singles(isa, numbers, to);
        } else if !self.is_dense {
            let (mut some, mut numbers) = ([N::default(); SOME], matrices.iter());
            for to in to.chunks_mut(SOME) {
                some.iter_mut().zip(&mut numbers).for_each(|(to, from)| *to = *from);
                N::singles(isa, &some[..to.len()], to);
            }
        } else {
            let distinct = if self.is_one { 1 } else { count };
            let places = to.chunks_exact_mut((rows * columns).max(1));
            for (matrix, to) in matrices.outer_iter().zip(places).take(distinct) {
                if let Some(numbers) = matrix.as_slice() {
                    N::singles(isa, numbers, to);
                }
            }
        }
        let apart = if self.is_one { 0 } else { rows * columns };
        let shape = (count, rows, columns).strides((apart, columns, 1));
        let singles = ArrayView3::from_shape(shape, &*to);
        let singles = singles.map_err(|_| unfit(&[count, rows, columns]))?;
        Ok(if self.is_turned { singles.permuted_axes([0, 2, 1]) } else { singles })
    }
}

/// All sums as results.
fn round<S: Summed, R: Rounded<S>>(
    isa: Isa,
    sums: &mut [S],
    mut c: ArrayViewMut3<'_, R>,
) -> Result<(), Error> {
    let plain = Epilogue { bias: None, activation: None };
    if let Some(c) = c.as_slice_mut() {
        R::finish(isa, sums, plain, c);
        return Ok(());
    }
    let (_, m, n) = c.dim();
    for (sums, c) in sums.chunks_exact_mut((m * n).max(1)).zip(c.outer_iter_mut()) {
        finish(isa, matrix(sums, (m, n))?, plain, c);
    }
    Ok(())
}
