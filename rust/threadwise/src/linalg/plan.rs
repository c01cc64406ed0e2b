//! How one product is computed, as data: a function of its sizes and of the threads at hand.
//!
//! Only the number of threads and the size of the pieces depend on the threads: neither changes a bit
//! of the result. Where k is cut depends on k alone.

use std::mem::size_of;

use threadwise_kernels::gemm::Kernel;

use super::Real;

/// Terms that are summed in registers before the sum meets the result: as many as let a sliver of B
/// and a block of A share the second-level cache.
const DEPTH: usize = 384;

/// Bytes of packed B in use at a time: they stay in the third-level cache while all of A goes past.
const PANEL: usize = 8 << 20;

/// Rows of A that are multiplied with a sliver of B while it is in the second-level cache.
const ROWS: usize = 192;

/// Columns of B that a piece of work takes: eight slivers of the widest kernel.
const COLUMNS: usize = 512;

/// Multiply-adds below which a product runs on the calling thread. Waking a worker costs some ten
/// microseconds, in which one core does this many.
pub(super) const WORTH_A_THREAD: usize = 2_000_000;

/// Multiply-adds above which a piece is cut, so that a request to stop is soon heard by the slowest
/// instruction set too.
const LARGEST_PIECE: usize = 32_000_000;

/// Rows of C from which on B is packed. Packing B costs as much as multiplying it with about this many.
const WORTH_PACKING: usize = 12;

/// Bytes of a B that stays in the first and second-level caches even where it lies.
const NEAR: usize = 128 << 10;

/// Multiply-adds above which Python's lock is released while they are done: about ten microseconds,
/// for which another thread's wait is longer than the cost of releasing and taking the lock.
pub const WORTH_DETACHING: usize = 500_000;

/// The choice for a product of m×k by k×n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Threads that take part.
    pub(super) threads: usize,
    /// Whether B is copied into slivers.
    pub(super) pack_right: bool,
    /// Whether A is copied piece by piece.
    pub(super) pack_left: bool,
    /// Terms a pass.
    pub(super) depth: usize,
    /// Columns of B that are packed at a time, a multiple of the kernel's width.
    pub(super) panel: usize,
    /// Rows of a piece of work, a multiple of the kernel's height.
    pub(super) rows: usize,
    /// Columns of a piece of work, a multiple of the kernel's width.
    pub(super) columns: usize,
}

/// What decides about packing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Whether adjacent columns of B are adjacent in memory.
    pub(super) right_is_row_major: bool,
    /// Whether adjacent columns of A are.
    pub(super) left_is_row_major: bool,
    /// Bytes from a row of A to the next.
    pub(super) left_stride: usize,
}

impl Plan {
    pub(super) fn new<T: Real>(
        kernel: &Kernel<T>,
        (m, k, n): (usize, usize, usize),
        layout: Layout,
        threads: usize,
    ) -> Self {
        let (height, width) = (kernel.rows(), kernel.columns());
        let work = m.saturating_mul(k).saturating_mul(n);
        let threads = threads.min(work / WORTH_A_THREAD).max(1);

        let depth = depth(k);
        let right_bytes = k.saturating_mul(n).saturating_mul(size_of::<T>());
        let pack_right = !layout.right_is_row_major || (m >= WORTH_PACKING && right_bytes > NEAR);
        // Rows whose starts lie a multiple of a page apart fall into the same few places of a cache.
        let crowded = layout.left_stride.is_multiple_of(4096) && m > 2 * height;
        let pack_left = pack_right && n > 4 * width && (!layout.left_is_row_major || crowded);

        let panel = (PANEL / (depth.max(1) * size_of::<T>())).max(width) / width * width;
        let (mut rows, mut columns) = (even(m, ROWS, height), even(n, COLUMNS, width));
        // Enough pieces that the last ones to finish do not keep the others waiting for long.
        while m.div_ceil(rows) * n.div_ceil(columns) < 4 * threads && threads > 1 {
            if columns > width && (columns / width >= rows / height || rows <= height) {
                columns = even(columns, columns / 2, width);
            } else if rows > height {
                rows = even(rows, rows / 2, height);
            } else {
                break;
            }
        }
        while rows > height && rows * columns.min(n) * depth > LARGEST_PIECE {
            rows = even(rows, rows / 2, height);
        }
        Self { threads, pack_right, pack_left, depth, panel, rows, columns }
    }
}

/// Terms a pass over k: as even as possible, at most [`DEPTH`].
pub(super) fn depth(k: usize) -> usize {
    k.div_ceil(k.div_ceil(DEPTH).max(1))
}

/// The extent of pieces of `count`, at most `limit` and as even as possible, in whole `unit`s.
fn even(count: usize, limit: usize, unit: usize) -> usize {
    let units = count.div_ceil(unit).max(1);
    let most = (limit / unit).max(1);
    units.div_ceil(units.div_ceil(most)) * unit
}

#[cfg(test)]
mod tests {
    use threadwise_kernels::{Element, Isa};

    use super::*;

    const ROW_MAJOR: Layout =
        Layout { right_is_row_major: true, left_is_row_major: true, left_stride: 1000 };

    fn plan(m: usize, k: usize, n: usize, threads: usize) -> Plan {
        Plan::new(&f32::gemm(Isa::Scalar), (m, k, n), ROW_MAJOR, threads)
    }

    #[test]
    fn small_products_stay_on_the_calling_thread() {
        assert_eq!(plan(64, 64, 64, 8).threads, 1, "0.26 M multiply-adds");
        assert_eq!(plan(256, 256, 256, 2).threads, 2, "17 M multiply-adds");
        assert_eq!(plan(0, 5, 5, 4).threads, 1, "nothing to do");
    }

    #[test]
    fn where_k_is_cut_depends_on_k_alone() {
        for k in [0, 1, 383, 384, 385, 1000, 65_536] {
            let depths: Vec<usize> =
                [(1, 1, 1), (2000, 2000, 4)].map(|(m, n, t)| plan(m, k, n, t).depth).into();
            assert_eq!(depths, [depth(k), depth(k)], "k = {k}");
            assert!(depth(k) <= DEPTH, "{} terms at once", depth(k));
        }
    }

    #[test]
    fn pieces_are_whole_tiles_not_too_large_and_enough_for_all_threads() {
        let kernel = f32::gemm(Isa::Scalar);
        for (m, k, n) in [(1, 1, 1), (1024, 1024, 1024), (8, 4096, 4096), (10_000, 16, 16)] {
            for threads in [1, 2, 16] {
                let plan = plan(m, k, n, threads);
                assert_eq!(plan.rows % kernel.rows(), 0, "{plan:?}");
                assert_eq!(plan.columns % kernel.columns(), 0, "{plan:?}");
                assert_eq!(plan.panel % kernel.columns(), 0, "{plan:?}");
                assert!(plan.rows.min(m) * plan.columns.min(n) * plan.depth <= LARGEST_PIECE);
                let pieces = m.div_ceil(plan.rows) * n.div_ceil(plan.columns);
                assert!(pieces >= 2 * plan.threads || plan.threads == 1, "{pieces}: {plan:?}");
            }
        }
    }
}
