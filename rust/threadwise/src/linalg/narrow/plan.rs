//! How one product of narrow numbers is cut: into pieces and passes.

use ndarray::ArrayView2;
use threadwise_kernels::narrow::{Kernel, Pair};

use super::super::plan::Form;
use super::cuts;
use crate::Isa;
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

/// Columns of a piece at most where B is read along its rows.
const RUN: usize = 1024;

/// Bytes from a row of B to the next from which on that is done for tiles, too, so many rows in a pass.
const LONG: usize = 2048;
const LONG_DEPTH: usize = 256;

/// Rows of A up to which it is: of bytes, which are packed in half the time, and of wider numbers, of which pieces then
/// have more rows than `KEPT`.
const LONG_ROWS: [usize; 2] = [BLOCK, 4 * BLOCK];

/// Pieces for each thread, so that the last ones do not keep the others waiting for long.
const PIECES: usize = 2;

/// Columns from which on streaming B through is faster than packing it.
const WORTH_STREAMING: usize = 128;

/// Terms of a pass of a product of few rows, so that a wish to stop is heard between passes.
const FEW_DEPTH: usize = 1 << 20;

/// Elements of B in a piece of such a product at most, for the same reason.
const FEW_PIECE: usize = 16 << 20;

/// Where C is small and k is long, k is cut into chunks, which are summed apart: pieces that C alone does not give.
/// Chunks have at least this many multiply-adds, so that they are worth sharing out, ...
const CHUNK_WORK: usize = 1 << 18;

/// ... and there are at most this many of them, and pieces with those that C gives: ...
const CHUNKS: usize = 32;

/// ... so many elements of C in products by tiles, so many columns in others.
const TILES_PIECE: usize = 4096;
const FEW_COLUMNS: usize = 64;

/// Bytes of a B that stays near while several times few rows go past.
pub(super) const NEAR: usize = 32 << 10;

/// Terms up to which sums are [short](Kernel::short): of bytes, whose sums are results, if rows or columns of C are no
/// longer than `SHORT_SIDE`, because tiles write more of one at a time.
pub(super) const SHORT: usize = 8;
const SHORT_SIDE: usize = 512;

/// The same for products of at most `TINY` multiply-adds.
pub(super) const FEW_SHORT: usize = 64;
pub(super) const TINY: usize = 16384;

/// Terms from which on a product of few columns is computed as the transposed one of few rows.
const WORTH_TURNING: usize = 128;

/// Bytes of A up to which it is packed instead of a B of contiguous columns, which has at least so many terms, in all
/// and for each row of A: the fewer there are, the more of the work is to turn sums.
const TURNED: usize = 1 << 20;
const TURNED_TERMS: usize = 768;
const TURNED_TERMS_EACH: usize = 10;

/// Where vectors hold the sums, rows of A leave some of their lanes empty, so many at most; the part of them that may be
/// empty; elements that B has at least, if it cannot be read in place; and elements from which on none of this matters.
const TURNED_LANES: usize = 16;
const TURNED_EMPTY: usize = 8;
const TURNED_FAR: usize = 1 << 20;
const TURNED_FARTHEST: usize = 8 << 20;

/// The size of pieces and of passes, and how many threads share them.
pub(super) struct Plan {
    pub(super) form: Form,
    pub(super) threads: usize,
    /// Terms of a chunk of k, whose sums are added up at the end: whole passes, all of them as a rule.
    pub(super) chunk: usize,
    /// Terms a pass.
    pub(super) depth: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Whether tiles are [turned](super::turned).
    pub(super) is_turned: bool,
    /// Rows of a piece that another thread may take of it, whole blocks; none, where it may not.
    pub(super) band: Option<usize>,
}

/// The kernels for a product of these sizes, which may be swapped.
pub(super) fn kernel<P: Pair>(isa: Isa, (m, k, n): (usize, usize, usize)) -> Kernel<P> {
    let kernel = P::kernel(isa);
    let is_tiny = k <= FEW_SHORT && m > 1 && n > 1 && m.saturating_mul(n).saturating_mul(k) <= TINY;
    let is_short = k <= SHORT && (m.min(n) <= SHORT_SIDE || size_of::<P::Left>() > 1);
    if is_short || is_tiny { kernel.short() } else { kernel }
}

/// Whether a product has so few columns, and A lies so, that the transposed one of few rows is faster.
pub(super) fn is_thin<P: Pair>(
    isa: Isa,
    a: ArrayView2<'_, P::Left>,
    b: ArrayView2<'_, P::Right>,
) -> bool {
    let ((m, k), n) = (a.dim(), b.ncols());
    if k < WORTH_TURNING || n >= m {
        return false;
    }
    let turned = P::Swapped::kernel(isa);
    form(&P::kernel(isa), m, b) == Form::Tiles && form(&turned, n, a.reversed_axes()) != Form::Tiles
}

/// The form of a product of so many rows with `b`.
pub(super) fn form<P: Pair>(kernel: &Kernel<P>, m: usize, b: ArrayView2<'_, P::Right>) -> Form {
    let (k, n) = b.dim();
    let by_columns = b.strides()[0] == 1 || k == 1;
    let by_rows = b.strides()[1] == 1 || n == 1;
    if by_columns && m < kernel.worth_packing() {
        Form::Dots
    } else if by_rows && n >= WORTH_STREAMING && (m <= kernel.few() || m < kernel.worth_packing()) {
        Form::Streams
    } else {
        Form::Tiles
    }
}

/// Whether tiles read the columns of `b`, which are contiguous, where they lie, and pack so many rows of A instead.
pub(super) fn is_turned<P: Pair>(
    kernel: &Kernel<P>,
    m: usize,
    b: ArrayView2<'_, P::Right>,
) -> bool {
    let (k, n) = b.dim();
    let is_near = m.saturating_mul(k).saturating_mul(size_of::<P::Left>()) <= TURNED;
    let is_long = k >= TURNED_TERMS.max(TURNED_TERMS_EACH.saturating_mul(m));
    let (elements, lanes) = (k.saturating_mul(n), m.next_multiple_of(TURNED_LANES));
    let is_full = (lanes - m) * TURNED_EMPTY <= lanes;
    let is_far = is_full && (kernel.takes_in_place(k) || elements >= TURNED_FAR);
    let is_faster = kernel.is_seamless() || is_far || elements >= TURNED_FARTHEST;
    let by_columns = b.strides()[0] == 1;
    by_columns && is_near && is_long && is_faster && n >= m && form(kernel, m, b) == Form::Tiles
}

/// The form of a product of so many rows with a B that is kept.
fn form_of_kept<P: Pair>(kernel: &Kernel<P>, m: usize) -> Form {
    let few = kernel.has_strips() && m < kernel.worth_packing();
    if few { Form::Dots } else { Form::Tiles }
}

/// Terms of a pass over k by tiles, and of a kept B.
pub(super) fn pass<P: Pair>(kernel: &Kernel<P>, k: usize) -> usize {
    even(k, kernel.depth(), CUT)
}

/// Terms of a chunk of k, if C gives this many pieces: a function of the sizes and of the kernel alone.
fn chunk((m, k, n): (usize, usize, usize), pieces: usize, pass: usize) -> usize {
    let terms = pass.max(CHUNK_WORK / m.saturating_mul(n).max(1));
    let most = (k / terms).min(2 * CHUNKS / pieces.max(1)).clamp(1, CHUNKS);
    k.div_ceil(most).max(1).next_multiple_of(pass)
}

impl Plan {
    /// Of the product of m rows with `b`, cut as the caller wants it.
    pub(super) fn of<P: Pair>(
        kernel: &Kernel<P>,
        m: usize,
        b: ArrayView2<'_, P::Right>,
        threads: usize,
        distribution: Option<WorkDistribution>,
    ) -> Self {
        let (k, n) = b.dim();
        if is_turned(kernel, m, b) {
            let turned = Self::turned(kernel, (m, k, n), threads);
            return turned.cut_by(distribution, kernel, (m, n));
        }
        let plan = Self::new(kernel, form(kernel, m, b), (m, k, n), threads);
        let plan = plan.along_rows(kernel, (m, n), b).with_bands(kernel, (m, k, n));
        plan.cut_by(distribution, kernel, (m, n))
    }

    /// The same with a B that is kept.
    pub(super) fn of_kept<P: Pair>(
        kernel: &Kernel<P>,
        (m, k, n): (usize, usize, usize),
        threads: usize,
        distribution: Option<WorkDistribution>,
    ) -> Self {
        let plan = Self::new(kernel, form_of_kept(kernel, m), (m, k, n), threads);
        let plan = plan.with_bands(kernel, (m, k, n));
        plan.cut_by(distribution, kernel, (m, n))
    }

    pub(super) fn new<P: Pair>(
        kernel: &Kernel<P>,
        form: Form,
        (m, k, n): (usize, usize, usize),
        threads: usize,
    ) -> Self {
        let pass = pass(kernel, k);
        if form != Form::Tiles {
            let chunk = chunk((m, k, n), n.div_ceil(FEW_COLUMNS), pass);
            let chunks = k.div_ceil(chunk).max(1);
            // More rows than stream through at a time find B near.
            let goes_past_again = form == Form::Streams && m > kernel.few();
            let depth = if goes_past_again { CUT } else { even(chunk, FEW_DEPTH, pass) };
            let share =
                if threads > 1 { n.div_ceil((PIECES * threads).div_ceil(chunks)) } else { n };
            let most = if goes_past_again { RUN } else { FEW_PIECE / depth };
            let columns = share.min(most).next_multiple_of(CUT).max(CUT);
            return Self {
                form,
                threads,
                chunk,
                depth,
                rows: m,
                columns,
                is_turned: false,
                band: None,
            };
        }
        let chunk = chunk((m, k, n), m.saturating_mul(n).div_ceil(TILES_PIECE), pass);
        let (depth, chunks) = (pass, k.div_ceil(chunk).max(1));
        let (height, width) = (kernel.rows(), kernel.columns());
        let most = if depth < chunk { KEPT } else { m.next_multiple_of(height) };
        let widest = COLUMNS.min(PIECE / (depth * size_of::<P::Right>())).max(width);
        let (rows, columns) =
            cuts::tiles(kernel, (m, chunk.min(k), n), (most, widest), (threads, chunks));
        Self { form, threads, chunk, depth, rows, columns, is_turned: false, band: None }
    }

    /// Tiles that are turned, with the sums of others: pieces have all rows.
    fn turned<P: Pair>(
        kernel: &Kernel<P>,
        (m, k, n): (usize, usize, usize),
        threads: usize,
    ) -> Self {
        let depth = pass(kernel, k);
        let chunk = chunk((m, k, n), m.saturating_mul(n).div_ceil(TILES_PIECE), depth);
        let pieces = (PIECES * threads).div_ceil(k.div_ceil(chunk).max(1));
        let columns = if threads > 1 { n.div_ceil(pieces) } else { n };
        let columns = columns.next_multiple_of(BLOCK);
        Self {
            form: Form::Tiles,
            threads,
            chunk,
            depth,
            rows: m,
            columns,
            is_turned: true,
            band: None,
        }
    }

    /// The same for a B of long rows that is packed for few rows of A: as it is read once, it is read by wide pieces
    /// in short passes, because memory is fast along rows alone. Where sums are the same however k is cut.
    fn along_rows<P: Pair>(
        self,
        kernel: &Kernel<P>,
        (m, n): (usize, usize),
        b: ArrayView2<'_, P::Right>,
    ) -> Self {
        let by_rows = b.strides()[1] == 1;
        let most = LONG_ROWS[usize::from(size_of::<P::Right>() > 1)];
        if self.form != Form::Tiles || !kernel.is_seamless() || m > most || !by_rows {
            return self;
        }
        let row = b.strides()[0].unsigned_abs() * size_of::<P::Right>();
        if self.depth <= LONG_DEPTH || row < LONG {
            return self;
        }
        let parts = n.div_ceil(RUN).next_multiple_of(PIECES * self.threads);
        Self { depth: LONG_DEPTH, columns: split(n, parts, kernel.columns()), ..self }
    }

    /// The same with bands that threads may take, where sums need no room from pass to pass: pieces are small where
    /// they do.
    fn with_bands<P: Pair>(self, kernel: &Kernel<P>, sizes: (usize, usize, usize)) -> Self {
        let is_whole = self.chunk >= sizes.1 && self.depth >= sizes.1;
        if self.threads <= 1 || self.form != Form::Tiles || self.is_turned || !is_whole {
            return self;
        }
        let band = cuts::band(kernel, sizes, self.columns).filter(|band| self.rows >= 2 * band);
        Self { band, ..self }
    }

    /// Into how many pieces it cuts a product.
    pub(super) fn pieces(&self, (m, k, n): (usize, usize, usize)) -> usize {
        m.div_ceil(self.rows) * n.div_ceil(self.columns) * k.div_ceil(self.chunk).max(1)
    }

    /// The same, with pieces as the caller wants them: so many rows of C, or where rows are few, columns.
    fn cut_by<P: Pair>(
        self,
        distribution: Option<WorkDistribution>,
        kernel: &Kernel<P>,
        (m, n): (usize, usize),
    ) -> Self {
        let Some(distribution) = distribution else { return self };
        if self.form == Form::Tiles && !self.is_turned {
            let rows = distribution.extent(m, self.threads, kernel.rows());
            // Nobody takes less than a piece.
            return Self { rows: rows.min(self.rows.max(kernel.rows())), band: None, ..self };
        }
        let columns = distribution.extent(n, self.threads, CUT);
        Self { columns: columns.min((FEW_PIECE / self.depth).next_multiple_of(CUT)), ..self }
    }
}

/// The extent of each of so many parts of `count`, in whole `unit`s.
pub(super) fn split(count: usize, parts: usize, unit: usize) -> usize {
    count.div_ceil(unit).div_ceil(parts).max(1) * unit
}

/// The extent of parts of `count`, at most `limit` and as even as possible, in whole `unit`s.
pub(super) fn even(count: usize, limit: usize, unit: usize) -> usize {
    let units = count.div_ceil(unit).max(1);
    let most = (limit / unit).max(1);
    units.div_ceil(units.div_ceil(most)) * unit
}
