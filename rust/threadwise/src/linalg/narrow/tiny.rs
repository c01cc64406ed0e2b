//! Many small products: numbers are widened to float32 some products at a time, multiplied there, and rounded, so
//! that none of them pays for a packing of its own.

use ndarray::{ArrayView3, ArrayViewMut2, ArrayViewMut3, Axis};
use threadwise_kernels::Element;
use threadwise_kernels::gemm::Epilogue;
use threadwise_kernels::narrow::{EXACT_TERMS, Pair, Rounded, Single, Sum};
use threadwise_runtime::with_scratch;

use super::Summed;
use super::finish::finish;
use super::plan::{TINY, is_short};
use crate::error::Shape;
use crate::{Error, Isa};

/// Numbers that stay in the nearest cache, those of A, B and C together.
const NEAR: usize = 6144;

/// Whether the sums of products of these sizes are those of float32, term by term, and the products so small that to
/// pack them takes longer.
pub(super) fn fits<P: Pair>((m, k, n): (usize, usize, usize)) -> bool {
    let is_same = if P::Sum::IS_EXACT { k <= EXACT_TERMS } else { is_short::<P>((m, k, n)) };
    is_same && k > 0 && m.saturating_mul(n).saturating_mul(k) <= TINY
}

/// C = A·B for each of some products along the first axes, whose sizes [fit](fits), or whether their numbers do not
/// follow one another.
pub(super) fn products<P: Pair<Sum: Summed>, R: Rounded<P::Sum>>(
    isa: Isa,
    a: ArrayView3<'_, P::Left>,
    b: ArrayView3<'_, P::Right>,
    mut c: ArrayViewMut3<'_, R>,
) -> Result<bool, Error> {
    let ((count, m, n), k) = (c.dim(), a.dim().2);
    let (Some(left), Some(right)) = (Dense::of(&a), Dense::of(&b)) else { return Ok(false) };
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
                let products = ArrayViewMut3::from_shape(c.dim(), &mut *singles);
                let products = products.map_err(|_| too_large(c.dim()))?;
                with_scratch(kernel.turned(b), |room: &mut [f32]| {
                    kernel.multiply_each(a, b, products, room);
                })?;
                P::Sum::of_singles(isa, singles, sums);
                round(isa, sums, c);
                first = some.end;
            }
            Ok(true)
        })
    })??
}

/// Matrices of which each follows the one before, row by row or column by column.
struct Dense<'a, N> {
    numbers: &'a [N],
    /// Rows and columns, as they follow one another.
    size: (usize, usize),
    is_turned: bool,
}

impl<'a, N: Single> Dense<'a, N> {
    fn of(matrices: &'a ArrayView3<'_, N>) -> Option<Self> {
        let (_, rows, columns) = matrices.dim();
        if let Some(numbers) = matrices.as_slice() {
            return Some(Self { numbers, size: (rows, columns), is_turned: false });
        }
        let is_turned = matrices.view().permuted_axes([0, 2, 1]).is_standard_layout();
        let numbers = matrices.as_slice_memory_order().filter(|_| is_turned)?;
        Some(Self { numbers, size: (columns, rows), is_turned })
    }

    /// Some of the matrices, as float32.
    fn widened<'t>(
        &self,
        isa: Isa,
        some: std::ops::Range<usize>,
        to: &'t mut [f32],
    ) -> Result<ArrayView3<'t, f32>, Error> {
        let ((rows, columns), count) = (self.size, some.len());
        let each = rows * columns;
        N::singles(isa, &self.numbers[some.start * each..some.end * each], to);
        let singles = ArrayView3::from_shape((count, rows, columns), &*to);
        let singles = singles.map_err(|_| too_large((count, rows, columns)))?;
        Ok(if self.is_turned { singles.permuted_axes([0, 2, 1]) } else { singles })
    }
}

/// All sums as results.
fn round<S: Summed, R: Rounded<S>>(isa: Isa, sums: &mut [S], mut c: ArrayViewMut3<'_, R>) {
    let plain = Epilogue { bias: None, activation: None };
    if let Some(c) = c.as_slice_mut() {
        return R::finish(isa, sums, plain, c);
    }
    let (_, m, n) = c.dim();
    for (sums, c) in sums.chunks_exact_mut((m * n).max(1)).zip(c.outer_iter_mut()) {
        if let Ok(sums) = ArrayViewMut2::from_shape((m, n), sums) {
            finish(isa, sums, plain, c);
        }
    }
}

/// What ndarray refuses: extents beyond what it can address.
fn too_large((count, rows, columns): (usize, usize, usize)) -> Error {
    Error::TooLarge(Shape(vec![count, rows, columns]))
}
