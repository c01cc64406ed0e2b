//! How one product of narrow numbers is cut: into pieces and passes.

use ndarray::ArrayView2;
use threadwise_kernels::narrow::{Kernel, Pair};

use super::super::plan::Form;
use crate::work::WorkDistribution;

/// Where k may be cut: whole units of any kernel, filled up.
pub(super) const CUT: usize = 64;

/// Rows of A that are multiplied with all of a piece's B while they, and their sums, are near.
pub(super) const BLOCK: usize = 96;

/// Columns of a piece at most, and bytes of its part of B in a pass: packed, it then fills less than the second-level
/// cache.
const COLUMNS: usize = 512;
const PIECE: usize = 1 << 20;

/// Rows of a piece at most where its sums must be kept from pass to pass.
const KEPT: usize = 288;

/// Pieces for each thread, so that the last ones do not keep the others waiting for long.
const PIECES: usize = 2;

/// Columns from which on streaming B through is faster than packing it.
const WORTH_STREAMING: usize = 128;

/// Terms of a pass of a product of few rows, so that a wish to stop is heard between passes.
const FEW_DEPTH: usize = 1 << 20;

/// Elements of B in a piece of such a product at most, for the same reason.
const FEW_PIECE: usize = 16 << 20;

/// Bytes of a B that stays near while several times few rows go past.
pub(super) const NEAR: usize = 32 << 10;

/// The size of pieces and of passes, and how many threads share them.
pub(super) struct Plan {
    pub(super) form: Form,
    pub(super) threads: usize,
    pub(super) depth: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// The form of a product of so many rows with `b`.
pub(super) fn form<P: Pair>(kernel: &Kernel<P>, m: usize, b: ArrayView2<'_, P::Right>) -> Form {
    let (k, n) = b.dim();
    let by_columns = b.strides()[0] == 1 || k == 1;
    let by_rows = b.strides()[1] == 1 || n == 1;
    if by_columns && m < kernel.worth_packing() {
        Form::Dots
    } else if by_rows && m <= kernel.few() && n >= WORTH_STREAMING {
        Form::Streams
    } else {
        Form::Tiles
    }
}

impl Plan {
    pub(super) fn new<P: Pair>(
        kernel: &Kernel<P>,
        form: Form,
        (m, k, n): (usize, usize, usize),
        threads: usize,
    ) -> Self {
        if form != Form::Tiles {
            let depth = even(k, FEW_DEPTH, 1);
            let share = if threads > 1 { n.div_ceil(PIECES * threads) } else { n };
            let columns = share.min(FEW_PIECE / depth).next_multiple_of(CUT).max(CUT);
            return Self { form, threads, depth, rows: m, columns };
        }
        let depth = even(k, kernel.depth(), CUT);
        let (height, width) = (kernel.rows(), kernel.columns());
        let most = if depth < k { KEPT } else { m };
        let widest = COLUMNS.min(PIECE / (depth * size_of::<P::Right>())).max(width);
        let (mut rows, mut columns) = (even(m, most, height), even(n, widest, width));
        // Every row of pieces packs B anew, so columns are cut first.
        while threads > 1 && m.div_ceil(rows) * n.div_ceil(columns) < PIECES * threads {
            if columns > 2 * width || (columns > width && rows <= BLOCK) {
                columns = even(columns, columns / 2, width);
            } else if rows > height {
                rows = even(rows, rows / 2, height);
            } else {
                break;
            }
        }
        Self { form, threads, depth, rows, columns }
    }

    /// The same, with pieces as the caller wants them: so many rows of C, or where rows are few, columns.
    pub(super) fn cut_by<P: Pair>(
        self,
        distribution: Option<WorkDistribution>,
        kernel: &Kernel<P>,
        (m, n): (usize, usize),
    ) -> Self {
        let Some(distribution) = distribution else { return self };
        if self.form == Form::Tiles {
            let rows = distribution.extent(m, self.threads, kernel.rows());
            return Self { rows: rows.min(self.rows.max(kernel.rows())), ..self };
        }
        let columns = distribution.extent(n, self.threads, CUT);
        Self { columns: columns.min((FEW_PIECE / self.depth).next_multiple_of(CUT)), ..self }
    }
}

/// The extent of parts of `count`, at most `limit` and as even as possible, in whole `unit`s.
fn even(count: usize, limit: usize, unit: usize) -> usize {
    let units = count.div_ceil(unit).max(1);
    let most = (limit / unit).max(1);
    units.div_ceil(units.div_ceil(most)) * unit
}
