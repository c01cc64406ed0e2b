//! Pieces of products of few rows, which are summed in another order than tiles.

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use threadwise_kernels::narrow::{Pair, Rounded};
use threadwise_runtime::with_scratch;

use super::super::plan::Form;
use super::Summed;
use super::finish::finish;
use super::pieces::{Part, slivers};
use super::plan::{CUT, NEAR};
use crate::Error;

/// Pass by pass over k, a block of columns at a time, which stay near while the rows go past, few at a time.
pub(super) fn plain<P: Pair<Sum: Summed>, R: Rounded<P::Sum>>(
    part: &Part<'_, '_, P>,
    b: ArrayView2<'_, P::Right>,
    c: ArrayViewMut2<'_, R>,
) -> Result<(), Error> {
    let &Part { kernel, plan, .. } = part;
    let (m, n) = c.dim();
    let b = b.slice_axis(Axis(1), part.columns.clone().into());
    let width = kernel.few_columns(n);
    let near = NEAR / (plan.depth * size_of::<P::Right>());
    // Where few rows at a time are all rows, B goes past once anyway, and streams take what is near in a pass.
    let is_near = m <= kernel.few() || plan.form == Form::Streams;
    let near = if is_near { width } else { near.next_multiple_of(CUT) };
    with_scratch(m * width, |sums: &mut [P::Sum]| {
        for terms in part.passes() {
            if part.checkpoint.reached() {
                return Ok(());
            }
            let accumulate = terms.start > part.terms.start;
            let a = part.a.slice_axis(Axis(1), terms.clone().into());
            let b = b.slice_axis(Axis(0), terms.into());
            with_scratch(kernel.packed_few(m, a.ncols()), |packed: &mut [u32]| {
                kernel.pack_few(a, packed);
                for (j, b) in b.axis_chunks_iter(Axis(1), near).enumerate() {
                    for start in (0..m).step_by(kernel.few()) {
                        let rows = kernel.few().min(m - start);
                        let row = kernel.packed_few(1, a.ncols());
                        let a = &packed[start * row..(start + rows) * row];
                        let begin = start * width + j * near;
                        let end = begin + (rows - 1) * width + kernel.few_columns(b.ncols());
                        let sums = &mut sums[begin..end];
                        if plan.form == Form::Dots {
                            kernel.dots(a, b, sums, width, accumulate);
                        } else {
                            kernel.streams(a, b, sums, width, accumulate);
                        }
                    }
                }
            })?;
        }
        if let Ok(sums) = ArrayViewMut2::from_shape((m, width), sums) {
            finish(part.isa, sums, part.epilogue, c);
        }
        Ok(())
    })?
}

/// Sliver by sliver of a kept B: the sums of dots.
pub(super) fn kept<P: Pair<Sum: Summed>, R: Rounded<P::Sum>>(
    part: &Part<'_, '_, P>,
    (kept, k, n): (&[u32], usize, usize),
    c: ArrayViewMut2<'_, R>,
) -> Result<(), Error> {
    let kernel = part.kernel;
    let (m, width) = (c.nrows(), kernel.columns());
    let wide = c.ncols().next_multiple_of(width);
    let (pass, each) = (super::plan::pass(kernel, k), kernel.lanes());
    with_scratch(m * (wide + each), |scratch: &mut [P::Sum]| {
        let (sums, lanes) = scratch.split_at_mut(m * wide);
        for terms in part.passes() {
            let accumulate = terms.start > part.terms.start;
            let a = part.a.slice_axis(Axis(1), terms.clone().into());
            let a_row = kernel.packed_few(1, terms.len());
            with_scratch(kernel.packed_few(m, terms.len()), |packed: &mut [u32]| {
                kernel.pack_few(a, packed);
                for j in (0..wide).step_by(width) {
                    if part.checkpoint.reached() {
                        return;
                    }
                    let column = part.columns.start + j;
                    for first in terms.clone().step_by(pass) {
                        let now = first..terms.end.min(first + pass);
                        let sliver = slivers(kernel, kept, (k, n), &now, &(column..column + width));
                        let at = kernel.packed_few(1, first - terms.start);
                        for (i, lanes) in lanes.chunks_mut(kernel.few() * each).enumerate() {
                            let a = &packed[i * kernel.few() * a_row + at..];
                            kernel.strip(
                                (a, a_row),
                                (sliver, now.len()),
                                lanes,
                                first == terms.start,
                            );
                        }
                    }
                    for (i, lanes) in lanes.chunks_exact(each).enumerate() {
                        let sums = &mut sums[i * wide + j..][..width];
                        kernel.total(lanes, sums, accumulate);
                    }
                }
            })?;
        }
        if part.checkpoint.reached() {
            return Ok(());
        }
        if let Ok(sums) = ArrayViewMut2::from_shape((m, wide), sums) {
            finish(part.isa, sums, part.epilogue, c);
        }
        Ok(())
    })?
}
