//! How one product is computed, as data: a function of its sizes and of the threads at hand.
//!
//! Only the number of threads and the size of the pieces depend on the threads: neither changes a bit
//! of the result. Where k is cut depends on k alone.

use std::mem::size_of;

use threadwise_kernels::gemm::Kernel;

use super::Real;
use crate::work::WorkDistribution;

/// Terms that are summed in registers before the sum meets the result: as many as let a sliver of B
/// and a block of A share the second-level cache.
const DEPTH: usize = 384;

/// Rows of A that are multiplied with a sliver of B while they are in the second-level cache.
const BLOCK: usize = 192;

/// Columns of C that a piece has at most: its packed part of B then fills less than the second-level
/// cache.
const COLUMNS: usize = 512;

/// Pieces for each thread: enough that the last ones to finish do not keep the others waiting for
/// long, and few enough that A is not read again and again.
const PIECES: usize = 2;

/// Multiply-adds below which a product runs on the calling thread. Waking a worker costs some ten
/// microseconds, in which one core does this many.
pub(super) const WORTH_A_THREAD: usize = 2_000_000;

/// Multiply-adds that take as long as to write an element of C, which is new memory as a rule.
const STORE: usize = 16;

/// Rows of C from which on B is packed. Packing B costs as much as multiplying it with about this many.
const WORTH_PACKING: usize = 12;

/// Bytes of a B that stays in the first and second-level caches even where it lies.
const NEAR: usize = 128 << 10;

/// Bytes from a row of B to the next up to which strips of it are read as fast as slivers: several rows
/// lie in a page, and the rows of a strip spread over all places of the first-level cache.
const CLOSE: usize = 1024;

/// Multiply-adds above which Python's lock is released while they are done: about ten microseconds,
/// for which another thread's wait is longer than the cost of releasing and taking the lock.
pub const WORTH_DETACHING: usize = 500_000;

/// Terms a pass over k of a product of few rows, so that a wish to stop is heard between passes.
const FEW_DEPTH: usize = 1 << 20;

/// Elements of B that a piece of a product of few rows has in a pass at most, for the same reason.
const FEW_PIECE: usize = 16 << 20;

/// Bytes of a row of B that a stream reads on end at least, if there are as many for each thread.
const RUN: usize = 8 << 10;

/// Columns from which on streaming B through is faster than reading it in strips.
const WORTH_STREAMING: usize = 128;

/// The kernel for a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Tiles of C in registers.
    Tiles,
    /// Some rows against contiguous columns of B.
    Dots,
    /// Few rows against contiguous rows of B.
    Streams,
}

/// The choice for a product of m×k by k×n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The kernel.
    pub(super) form: Form,
    /// Threads that take part.
    pub(super) threads: usize,
    /// Whether B is copied into slivers.
    pub(super) pack_right: bool,
    /// Whether A is copied piece by piece.
    pub(super) pack_left: bool,
    /// Terms a pass.
    pub(super) depth: usize,
    /// Rows of a piece of work, a multiple of the kernel's height.
    pub(super) rows: usize,
    /// Columns of a piece of work, a multiple of the kernel's width.
    pub(super) columns: usize,
    /// Rows of A at a time within a piece, a multiple of the kernel's height; for dots, columns of B.
    pub(super) block: usize,
}

/// What decides about packing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Whether adjacent columns of B are adjacent in memory.
    pub(super) right_is_row_major: bool,
    /// Whether adjacent rows of B are.
    pub(super) right_is_column_major: bool,
    /// Bytes from a row of B to the next.
    pub(super) right_stride: usize,
    /// Whether adjacent columns of A are.
    pub(super) left_is_row_major: bool,
}

impl Plan {
    pub(super) fn new<T: Real>(
        kernel: &Kernel<T>,
        (m, k, n): (usize, usize, usize),
        layout: Layout,
        threads: usize,
    ) -> Self {
        if m < WORTH_PACKING && layout.right_is_column_major && layout.left_is_row_major {
            return Self::few(Form::Dots, kernel, (m, k, n), threads);
        }
        if m <= kernel.few() && layout.right_is_row_major && n >= WORTH_STREAMING {
            return Self::few(Form::Streams, kernel, (m, k, n), threads);
        }
        let (height, width) = (kernel.rows(), kernel.columns());
        let work = m.saturating_mul(n).saturating_mul(k.saturating_add(STORE));
        let threads = threads.min(work / WORTH_A_THREAD).max(1);

        let depth = depth(k);
        let right_bytes = k.saturating_mul(n).saturating_mul(size_of::<T>());
        let far = right_bytes > NEAR && layout.right_stride > CLOSE;
        let pack_right = !layout.right_is_row_major || (m >= WORTH_PACKING && far);
        let pack_left = pack_right && n > 4 * width && !layout.left_is_row_major;

        let (mut rows, mut columns) = (m.next_multiple_of(height), even(n, COLUMNS, width));
        // Every row of pieces packs B anew, so columns are cut first.
        let halve_columns = |columns: usize| even(columns, columns / 2, width);
        let halve_rows = |rows: usize| even(rows, rows / 2, height);
        while threads > 1 && m.div_ceil(rows) * n.div_ceil(columns) < PIECES * threads {
            if columns > 2 * width || (columns > width && rows <= BLOCK) {
                columns = halve_columns(columns);
            } else if rows > height {
                rows = halve_rows(rows);
            } else {
                break;
            }
        }
        let block = even(rows, BLOCK, height);
        Self { form: Form::Tiles, threads, pack_right, pack_left, depth, rows, columns, block }
    }

    /// Few rows: B is read once, by columns that threads share out in whole cache lines.
    fn few<T: Real>(
        form: Form,
        kernel: &Kernel<T>,
        (m, k, n): (usize, usize, usize),
        threads: usize,
    ) -> Self {
        // As long as to read an element of B, a core takes for several multiply-adds.
        let work = k.saturating_mul(n).saturating_mul(kernel.few().max(m));
        let threads = threads.min(work / WORTH_A_THREAD).max(1);
        let line = kernel.columns();
        // Streams want long runs of each row.
        let runs = if form == Form::Dots { n } else { n * size_of::<T>() / RUN };
        let pieces = runs.clamp(threads, PIECES * threads);
        let share = n.div_ceil(if threads > 1 { pieces } else { 1 });
        let depth = even_depth(k, FEW_DEPTH);
        let columns = share.min(FEW_PIECE / depth.max(1)).next_multiple_of(line).max(line);
        let block = (NEAR / (depth.max(1) * size_of::<T>())).max(kernel.few());
        let (pack_right, pack_left) = (false, false);
        Self { form, threads, pack_right, pack_left, depth, rows: m.max(1), columns, block }
    }
}

/// Terms a pass over k: as even as possible, at most [`DEPTH`].
pub(super) fn depth(k: usize) -> usize {
    even_depth(k, DEPTH)
}

fn even_depth(k: usize, most: usize) -> usize {
    k.div_ceil(k.div_ceil(most).max(1))
}

/// The extent of pieces of `count`, at most `limit` and as even as possible, in whole `unit`s.
fn even(count: usize, limit: usize, unit: usize) -> usize {
    let units = count.div_ceil(unit).max(1);
    let most = (limit / unit).max(1);
    units.div_ceil(units.div_ceil(most)) * unit
}

impl Plan {
    /// The same, with pieces as the caller wants them: so many rows of C, or where rows are few, columns.
    pub(super) fn cut_by<T: Real>(
        self,
        distribution: Option<WorkDistribution>,
        kernel: &Kernel<T>,
        (m, n): (usize, usize),
    ) -> Self {
        let Some(distribution) = distribution else { return self };
        let (height, width) = (kernel.rows(), kernel.columns());
        if self.form == Form::Tiles {
            let rows = distribution.extent(m, self.threads, height);
            return Self { rows, block: self.block.min(rows), ..self };
        }
        let most = (FEW_PIECE / self.depth.max(1)).next_multiple_of(width).max(width);
        Self { columns: distribution.extent(n, self.threads, width).min(most), ..self }
    }
}

#[cfg(test)]
mod tests {
    use threadwise_kernels::{Element, Isa};

    use super::*;

    const ROW_MAJOR: Layout = Layout {
        right_is_row_major: true,
        right_is_column_major: false,
        right_stride: 4096,
        left_is_row_major: true,
    };

    fn plan(m: usize, k: usize, n: usize, threads: usize) -> Plan {
        Plan::new(&f32::gemm(Isa::Scalar), (m, k, n), ROW_MAJOR, threads)
    }

    #[test]
    fn there_are_as_many_pieces_as_the_caller_wants() {
        let kernel = f32::gemm(Isa::Scalar);
        let (height, width) = (kernel.rows(), kernel.columns());
        let (m, n) = (96 * height, 64 * width);
        for (min, max, tasks, pieces) in
            [(1, m, 1, 2), (1, m, 4, 8), (1, m, 24, 48), (1, 2 * height, 1, 48), (m / 3, m, 9, 3)]
        {
            let wanted = WorkDistribution::new(min, max, tasks, None, 64).unwrap();
            let plan = plan(m, 512, n, 2).cut_by(Some(wanted), &kernel, (m, n));
            assert_eq!(m.div_ceil(plan.rows), pieces, "rows: {wanted:?}");
            assert_eq!(wanted.ranges(m, 2, height).len(), pieces, "as they are counted there");
            assert_eq!(plan.block % height, 0, "{plan:?}");
            assert!(plan.block <= plan.rows, "{plan:?}");
        }
        let wanted = WorkDistribution::new(width, 16 * width, 2, None, 64).unwrap();
        let few = plan(2, 65_536, n, 2).cut_by(Some(wanted), &kernel, (2, n));
        assert_eq!((few.rows, n.div_ceil(few.columns)), (2, 4), "columns, of few rows: {few:?}");
        assert_eq!(plan(m, 512, n, 2).cut_by(None, &kernel, (m, n)), plan(m, 512, n, 2), "none");
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
                [(5, 1, 1), (2000, 2000, 4)].map(|(m, n, t)| plan(m, k, n, t).depth).into();
            assert_eq!(depths, [depth(k), depth(k)], "k = {k}");
            assert!(depth(k) <= DEPTH, "{} terms at once", depth(k));
        }
    }

    #[test]
    fn long_sums_of_few_rows_are_cut_so_that_a_wish_to_stop_is_heard() {
        let layout = Layout { right_is_column_major: true, ..ROW_MAJOR };
        for (m, k, n) in [(1, 100_000_000, 1), (1, 5_000_000, 300), (8, 3_000_000, 64)] {
            for layout in [layout, ROW_MAJOR] {
                let plan = Plan::new(&f32::gemm(Isa::Scalar), (m, k, n), layout, 2);
                assert!(plan.depth <= FEW_DEPTH, "{} terms at once: {plan:?}", plan.depth);
            }
        }
    }

    #[test]
    fn pieces_are_whole_tiles_not_too_large_and_enough_for_all_threads() {
        let kernel = f32::gemm(Isa::Scalar);
        for (m, k, n) in
            [(1, 1, 1), (1024, 1024, 1024), (2, 4096, 4096), (8, 4096, 4096), (10_000, 16, 16)]
        {
            for threads in [1, 2, 16] {
                let plan = plan(m, k, n, threads);
                assert_eq!(plan.columns % kernel.columns(), 0, "{plan:?}");
                if plan.form == Form::Tiles {
                    assert_eq!(plan.rows % kernel.rows(), 0, "{plan:?}");
                    assert_eq!(plan.block % kernel.rows(), 0, "{plan:?}");
                    assert!(plan.block <= BLOCK && plan.columns <= COLUMNS, "{plan:?}");
                }
                let pieces = m.div_ceil(plan.rows) * n.div_ceil(plan.columns);
                assert!(pieces >= plan.threads, "{pieces}: {plan:?}");
            }
        }
    }
}
