//! Into what pieces C is cut for tiles, so that all threads together are done soonest.
//!
//! Every piece packs its columns of B by itself: memory that one thread has written takes another one longer to
//! read than to pack anew. So pieces of few rows pack much, those of few columns go through A often, and pieces that are
//! no multiple of the threads let some of them wait. A model of what a piece takes weighs these; its constants were
//! measured on Sapphire Rapids, and none of them changes a bit of the result.

use std::ops::RangeInclusive;

use threadwise_kernels::narrow::{Kernel, Pair};

use super::plan::{BLOCK, even, split};

/// Pieces for each thread at most, if C is not so large that it has more anyway.
const PIECES: usize = 4;

/// Multiply-adds in whose time an element of B is packed: so many, and so many more for each multiply-add that the kernel
/// does in the time of one of float32, ...
const PACKED: usize = 16;
const PACKED_FAST: usize = 14;
const FAST: usize = 8;

/// ... and one of A is brought near by a kernel that takes it in place, once for so many columns.
const FETCHED: usize = 8;
const FETCHED_COLUMNS: usize = 256;

/// The same where threads meet in a row of C, in float32: what each asks ahead there are lines of the other one.
const MEETING: usize = 5000;

/// The same for the beginning of a row of a piece, wherever it is.
const ROW: usize = 1500;

/// The part of a piece for which threads wait at the end because others came late.
const LATE: usize = 16;

/// Multiply-adds of float32 in whose time threads help one another, and in whose time a band is done: see
/// [`help`](super::super::help).
const WORTH_HELPING: usize = 1 << 24;
const BAND: usize = 1 << 22;

/// Rows of bands of pieces of so many columns, whole blocks that take at least as long as to pack their part of B; none
/// for products that are done sooner than threads help one another.
pub(super) fn band<P: Pair>(
    kernel: &Kernel<P>,
    (m, k, n): (usize, usize, usize),
    columns: usize,
) -> Option<usize> {
    let work = m.saturating_mul(k).saturating_mul(n) / kernel.speed();
    let least = BAND * kernel.speed() / k.saturating_mul(columns).max(1);
    (work >= WORTH_HELPING).then(|| least.max(packed(kernel)).next_multiple_of(BLOCK))
}

/// The rows and columns of pieces, at most `most`, in whole tiles.
pub(super) fn tiles<P: Pair>(
    kernel: &Kernel<P>,
    (m, k, n): (usize, usize, usize),
    most: (usize, usize),
    (threads, chunks): (usize, usize),
) -> (usize, usize) {
    let (height, width) = (kernel.rows(), kernel.columns());
    let (rows, columns) = (even(m, most.0, height), even(n, most.1, width));
    let least = (m.div_ceil(rows), n.div_ceil(columns));
    let limit = PIECES * threads;
    if threads <= 1 || m == 0 || n == 0 || least.0 * least.1 * chunks >= limit {
        return (rows, columns);
    }
    let mut best = (f64::INFINITY, (rows, columns));
    for (down, rows) in extents(m, least.0..=limit / chunks / least.1, height) {
        for (across, columns) in extents(n, least.1..=limit / chunks / down, width) {
            let each = (down * across * chunks).div_ceil(threads);
            let is_whole = each.is_multiple_of(across);
            let meetings = if is_whole { 0 } else { rows * each.div_ceil(across) };
            let piece = time(kernel, (rows, k, columns));
            let all = piece * (each as f64 + 1.0 / LATE as f64)
                + (meetings * MEETING * kernel.speed()) as f64;
            if all < best.0 {
                best = (all, (rows, columns));
            }
        }
    }
    best.1
}

/// The numbers of parts that `count` can be cut into as evenly as whole units allow, and the extent of each.
fn extents(
    count: usize,
    parts: RangeInclusive<usize>,
    unit: usize,
) -> impl Iterator<Item = (usize, usize)> {
    let mut last = 0;
    let extents = parts.map(move |parts| split(count, parts, unit));
    let new = extents.filter(move |&extent| std::mem::replace(&mut last, extent) != extent);
    new.map(move |extent| (count.div_ceil(extent), extent))
}

/// Rows in whose time B is packed for them.
fn packed<P: Pair>(kernel: &Kernel<P>) -> usize {
    PACKED + PACKED_FAST * kernel.speed().min(FAST)
}

/// What a piece takes, in multiply-adds of the kernel.
fn time<P: Pair>(kernel: &Kernel<P>, (rows, k, columns): (usize, usize, usize)) -> f64 {
    let packed = packed(kernel);
    let left = if kernel.takes_in_place(k) {
        FETCHED * kernel.speed() * columns.div_ceil(FETCHED_COLUMNS)
    } else {
        packed
    };
    let [rows, k, columns] = [rows, k, columns].map(|extent| extent as f64);
    let (packed, left) = (packed as f64, left as f64);
    let begin = rows * (ROW * kernel.speed()) as f64;
    k * (rows * columns + packed * columns + left * rows) + begin
}
