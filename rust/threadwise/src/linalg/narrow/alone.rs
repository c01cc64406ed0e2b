//! Products of one pass over k on the calling thread: small ones, and pieces of larger ones.

use ndarray::{ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3, Axis};
use threadwise_kernels::gemm::Epilogue;
use threadwise_kernels::narrow::{Kernel, Left, Pair, Rounded};
use threadwise_runtime::with_scratch;

use super::super::plan::Form;
use super::Summed;
use super::finish::finish;
use super::plan::{BLOCK, Plan, form};
use crate::{Error, Isa};

/// Columns of C up to which sums of contiguous rows are rounded as one, because each by itself would not fill vectors.
const SLIM: usize = 64;

/// Multiply-adds of a block of an A that is read where it lies, about, and sums of one that are kept: to begin a block
/// takes as long as some thousands.
const BLOCK_WORK: usize = 1 << 19;
const BLOCK_SUMS: usize = 4096;

/// Rows of A at a time.
fn block_rows(is_in_place: bool, is_direct: bool, (k, n): (usize, usize)) -> usize {
    let rows = if is_in_place { BLOCK_WORK / (k * n).max(1) } else { 0 };
    let most = if is_direct { usize::MAX } else { BLOCK_SUMS / n.max(1) };
    (rows.min(most) / BLOCK).max(1) * BLOCK
}

/// Where a block of A is packed, and its sums are kept.
pub(super) struct Room<'a, S> {
    pub(super) left: &'a mut [u32],
    pub(super) sums: &'a mut [S],
}

/// Calls `work` with the room that [`blocks`] needs for products of these sizes.
pub(super) fn with_room<P: Pair<Sum: Summed>, T>(
    kernel: &Kernel<P>,
    (m, k, n): (usize, usize, usize),
    work: impl FnOnce(Room<'_, P::Sum>) -> T,
) -> Result<T, Error> {
    let sums = block_rows(true, false, (1, n)).min(m) * n;
    Ok(with_scratch(kernel.packed_left(BLOCK.min(m), k), |left: &mut [u32]| {
        with_scratch(sums, |sums: &mut [P::Sum]| work(Room { left, sums }))
    })??)
}

/// C, block by block of A's rows, with the columns of B that were packed; no further ones once `stop` says so.
pub(super) fn blocks<P: Pair<Sum: Summed>, R: Rounded<P::Sum>>(
    kernel: &Kernel<P>,
    a: ArrayView2<'_, P::Left>,
    packed: &[u32],
    mut c: ArrayViewMut2<'_, R>,
    (isa, epilogue): (Isa, Epilogue<'_, P::Sum>),
    room: &mut Room<'_, P::Sum>,
    stop: impl Fn() -> bool,
) {
    let (k, n) = (a.ncols(), c.ncols());
    let is_plain = epilogue.bias.is_none() && epilogue.activation.is_none();
    let is_direct = is_plain && c.strides()[1] == 1 && R::sums(&mut c).is_some();
    let is_in_place = kernel.takes_in_place(k) && a.strides()[1] == 1;
    let rows = block_rows(is_in_place, is_direct, (k, n));
    let blocks = a.axis_chunks_iter(Axis(0), rows);
    for (a, mut c) in blocks.zip(c.axis_chunks_iter_mut(Axis(0), rows)) {
        if stop() {
            return;
        }
        let m = a.nrows();
        let left = if is_in_place {
            Left::InPlace(a)
        } else {
            let left = &mut room.left[..kernel.packed_left(m, k)];
            kernel.pack_left(a, left);
            Left::Packed(m, k, left)
        };
        if is_direct && let Some(sums) = R::sums(&mut c) {
            kernel.multiply(left, packed, sums, false);
            continue;
        }
        if c.strides()[1] == 1 && !(n <= SLIM && c.is_standard_layout()) {
            kernel.multiply_rounded(isa, left, packed, c, epilogue);
            continue;
        }
        let sums = &mut room.sums[..m * n];
        if let Ok(mut sums) = ArrayViewMut2::from_shape((m, n), sums) {
            kernel.multiply(left, packed, sums.view_mut(), false);
            finish(isa, sums, epilogue, c);
        }
    }
}

/// Whether products of these sizes with such a B are one piece of one pass, by tiles.
fn is_at_once<P: Pair>(
    kernel: &Kernel<P>,
    (m, k, n): (usize, usize, usize),
    b: ArrayView2<'_, P::Right>,
) -> bool {
    let form = form(kernel, m, b);
    let plan = Plan::new(kernel, form, (m, k, n), 1);
    form == Form::Tiles && plan.depth >= k && plan.chunk >= k && plan.columns >= n
}

/// The product, if it is [at once](is_at_once) and has at most `most` multiply-adds, or whether it was not.
pub(super) fn product<P: Pair<Sum: Summed>, R: Rounded<P::Sum>>(
    kernel: &Kernel<P>,
    a: ArrayView2<'_, P::Left>,
    b: ArrayView2<'_, P::Right>,
    c: ArrayViewMut2<'_, R>,
    finish: (Isa, Epilogue<'_, P::Sum>),
    most: usize,
) -> Result<bool, Error> {
    let ((m, k), n) = (a.dim(), b.ncols());
    if m.saturating_mul(n).saturating_mul(k) > most || !is_at_once(kernel, (m, k, n), b) {
        return Ok(false);
    }
    with_scratch(kernel.packed_right(k, n), |packed: &mut [u32]| {
        kernel.pack_right(b, packed);
        with_room(kernel, (m, k, n), |mut room| {
            blocks(kernel, a, packed, c, finish, &mut room, || false);
        })
    })??;
    Ok(true)
}

/// Some products that are alike, if they are [at once](is_at_once), or whether they were not.
pub(super) fn products<P: Pair<Sum: Summed>, R: Rounded<P::Sum>>(
    kernel: &Kernel<P>,
    a: ArrayView3<'_, P::Left>,
    b: ArrayView3<'_, P::Right>,
    mut c: ArrayViewMut3<'_, R>,
    finish: (Isa, Epilogue<'_, P::Sum>),
) -> Result<bool, Error> {
    let ((_, m, k), n) = (a.dim(), b.len_of(Axis(2)));
    let is_at_once = |b| is_at_once(kernel, (m, k, n), b);
    if !b.outer_iter().next().is_some_and(is_at_once) {
        return Ok(false);
    }
    with_scratch(kernel.packed_right(k, n), |packed: &mut [u32]| {
        with_room(kernel, (m, k, n), |mut room| {
            for ((a, b), c) in a.outer_iter().zip(b.outer_iter()).zip(c.outer_iter_mut()) {
                kernel.pack_right(b, packed);
                blocks(kernel, a, packed, c, finish, &mut room, || false);
            }
        })
    })??;
    Ok(true)
}
