//! Products of a layer, on one thread: by tiles, whatever the sizes, so that an element of the result has the same
//! bits in every batch.

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use threadwise_kernels::gemm::{Epilogue, Finish, Kernel, Right};
use threadwise_runtime::with_scratch;

use crate::Error;
use crate::linalg::Real;

/// Terms that are summed in registers before the sum meets the result.
const DEPTH: usize = 512;

/// Rows of A that are multiplied while they are in the second-level cache.
const BLOCK: usize = 192;

/// Rows of A up to which it is better to pack them than B: the transposed product is computed.
const FEW: usize = 32;

/// Terms a pass, as even as possible.
pub(super) fn depth(k: usize) -> usize {
    k.div_ceil(k.div_ceil(DEPTH).max(1)).max(1)
}

/// `c = f(a @ b + bias)`, where B is packed pass by pass.
pub(super) fn product<T: Real>(
    kernel: &Kernel<T>,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    c: &mut ArrayViewMut2<'_, T>,
    epilogue: Epilogue<'_, T>,
) -> Result<(), Error> {
    let ((m, k), n) = (a.dim(), b.ncols());
    if m <= FEW && 2 * m <= n && b.strides()[0] == 1 {
        return transposed(kernel, a, b, c, epilogue);
    }
    let depth = depth(k);
    with_scratch(kernel.packed_right(depth.min(k), n), |packed: &mut [T]| {
        for first in (0..k.max(1)).step_by(depth) {
            let terms = first..k.min(first + depth);
            let packed = &mut packed[..kernel.packed_right(terms.len(), n)];
            kernel.pack_right(b.slice_axis(Axis(0), terms.clone().into()), packed);
            let right = Right::Packed(terms.len(), n, packed);
            let epilogue = (terms.end == k).then_some(epilogue);
            let finish = Finish { accumulate: first > 0, epilogue };
            blocks(kernel, a.slice_axis(Axis(1), terms.into()), right, c, finish);
        }
    })?;
    Ok(())
}

/// One pass, block by block of A's rows.
pub(super) fn blocks<T: Real>(
    kernel: &Kernel<T>,
    a: ArrayView2<'_, T>,
    b: Right<'_, T>,
    c: &mut ArrayViewMut2<'_, T>,
    finish: Finish<'_, T>,
) {
    let rows = a.axis_chunks_iter(Axis(0), BLOCK);
    for (a, c) in rows.zip(c.axis_chunks_iter_mut(Axis(0), BLOCK)) {
        kernel.multiply(a, b, c, finish);
    }
}

/// The same sums, row for column: B's columns are contiguous and read where they lie.
fn transposed<T: Real>(
    kernel: &Kernel<T>,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    c: &mut ArrayViewMut2<'_, T>,
    epilogue: Epilogue<'_, T>,
) -> Result<(), Error> {
    let (m, n) = c.dim();
    let none = Epilogue { bias: None, activation: None };
    with_scratch(m * n, |scratch: &mut [T]| {
        let Ok(mut columns) = ArrayViewMut2::from_shape((n, m), scratch) else { return Ok(()) };
        let (b, a) = (b.reversed_axes(), a.reversed_axes());
        product(kernel, b, a, &mut columns, none)?;
        c.assign(&columns.t());
        let a = ArrayView2::from_shape((m, 0), &[]);
        if let Ok(a) = a {
            // No terms are added, and the epilogue is applied.
            let finish = Finish { accumulate: true, epilogue: Some(epilogue) };
            kernel.multiply(a, Right::Packed(0, n, &[]), c.view_mut(), finish);
        }
        Ok(())
    })?
}
