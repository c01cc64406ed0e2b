//! How one product is computed, as data: a function of its sizes and of the threads at hand.
//!
//! Only the number of threads and the size of the pieces depend on the threads: neither changes a bit
//! of the result. Where k is cut follows from sizes and layouts alone.

mod bands;
mod chunk;
mod dotted;
mod few;
mod left;
mod right;
mod wanted;

use std::mem::size_of;

use threadwise_kernels::gemm::Kernel;

use super::way::Layout;
use super::{Real, load};
use bands::WORTH_HELPING;
pub use chunk::WORTH_DETACHING;
use chunk::chunk;
pub(super) use chunk::{CHUNKS, is_small};
use dotted::DOTTED;
pub(super) use left::Left;
use right::Right;
pub(super) use right::{NEAREST, STREAMED, WORTH_STREAMING};

/// Terms that are summed in registers before the sum meets the result: as many as let a sliver of B
/// and a block of A share the second-level cache.
const DEPTH: usize = 512;

/// Rows of A that are multiplied with a sliver of B while they are in the second-level cache.
const BLOCK: usize = 192;

/// Blocks that are one where columns, or terms, are so few that A need not stay near: no more of them, and of no
/// more multiply-adds, so that a wish to stop is heard in between.
const BLOCKS: usize = 32;
const BLOCK_WORK: usize = 1 << 28;

/// Columns of C that a piece has at most: its packed part of B then fills less than the second-level
/// cache.
const COLUMNS: usize = 512;

/// Pieces for each thread: enough that the last ones to finish do not keep the others waiting for
/// long, and few enough that A is not read again and again.
const PIECES: usize = 2;

/// Pieces for each thread where rows are so few that A stays near, and threads can take none, or few, of another's: see
/// `help`.
const LOW_PIECES: usize = 4;

/// The last pieces may take at most a part in so many of the time of all.
const EVEN: usize = 16;

/// Pieces for each thread where memory is the limit: each thread then has the same part of it in its
/// caches from call to call.
const MEMORY_PIECES: usize = 1;

/// Rows of a piece at least, where each thread has one already and each piece copies its columns of B.
const WORTH_COPYING: usize = 72;

/// Terms up to which writing C is most of the work.
const FLAT: usize = 32;

/// Terms up to which threads had better write whole rows of C, if each has [`WORTH_COPYING`]: where they share rows, each
/// fetches lines ahead that the other is about to write.
const SHALLOW: usize = 128;

/// Bytes of B that threads pack together at a time, ...
const TOGETHER: usize = 16 << 20;

/// ... if each would else pack at least this many elements that others pack too.
const WORTH_TOGETHER: usize = 1 << 18;

/// Sums of chunks from which on threads add them up together: half of them are in the caches of others.
const WORTH_ADDING: usize = 1 << 15;

/// Elements of C that make a piece, in products by tiles.
const TILES_PIECE: usize = 1024;

/// Elements of B that a piece of a product of few rows has in a pass at most, so that a wish to stop is heard between
/// passes.
const FEW_PIECE: usize = 16 << 20;

/// Rows up to which it is not worth packing a B of contiguous columns, of which there are at least four
/// times as many, if it has at least this many terms.
const WIDE_ROWS: usize = 128;
const WIDE_TERMS: usize = 256;

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

impl Form {
    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tiles => "gemm",
            Self::Dots => "dots",
            Self::Streams => "streams",
        }
    }
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
    /// Whether all threads do that together, before they multiply.
    pub(super) pack_together: bool,
    /// Where tiles find A.
    pub(super) left: Left,
    /// Terms of a chunk of k, whose sums are added up at the end: all of them as a rule.
    pub(super) chunk: usize,
    /// Terms a pass.
    pub(super) depth: usize,
    /// Rows of a piece of work, a multiple of the kernel's height.
    pub(super) rows: usize,
    /// Columns of a piece of work, a multiple of the kernel's width.
    pub(super) columns: usize,
    /// Rows of A at a time within a piece, a multiple of the kernel's height.
    pub(super) block: usize,
    /// Rows of a piece that another thread may take of it, a multiple of the kernel's height; none, where it may not.
    pub(super) band: Option<usize>,
    /// Whether rows are few: each piece has all of them.
    pub(super) is_few: bool,
}

impl Plan {
    pub(super) fn new<T: Real>(
        kernel: &Kernel<T>,
        (m, k, n): (usize, usize, usize),
        layout: Layout,
        threads: usize,
    ) -> Self {
        if Self::is_dotted::<T>((m, k, n), layout) {
            return Self::dots(kernel, (m, k, n), threads);
        }
        let (height, width) = (kernel.rows(), kernel.columns());
        let right = Right::of(layout, (k, n), (width, size_of::<T>()));
        if layout.right_is_row_major && right.is_streamed(m, n) {
            let is_tiled = right.is_tiled(m, threads) && layout.left_is_row_major;
            let form = if is_tiled { Form::Tiles } else { Form::Streams };
            return Self::few(form, kernel, (m, k, n), threads);
        }
        let chunk = chunk((m, k, n), m.saturating_mul(n).div_ceil(TILES_PIECE));

        let depth = depth(chunk);
        // Each thread writes rows of C that are its own from end to end.
        let is_flat = k <= FLAT;
        let is_shallow = k <= SHALLOW && m / threads.max(1) >= WORTH_COPYING;
        // Else every column of pieces would transpose A anew.
        let by_rows = is_flat || is_shallow || !layout.left_is_row_major;
        let pack_right = !layout.right_is_row_major || right.is_packed(m);
        let left_bytes = m.saturating_mul(k).saturating_mul(size_of::<T>());
        let left = Left::of(layout, left_bytes, (k, n / width));

        let columns = if is_flat { n.next_multiple_of(width) } else { even(n, COLUMNS, width) };
        let size = (m.next_multiple_of(height).max(height), columns);
        let in_place = Self::in_place(Form::Tiles, threads, (chunk, depth), size);
        let mut plan = Self { pack_right, left, ..in_place };
        let least = match (pack_right, layout.right_is_row_major) {
            (true, true) => WORTH_COPYING,
            (true, false) => usize::MAX,
            (false, _) => 0,
        };
        plan.cut::<T>((m, k, n), (height, width), by_rows, least);
        plan.pack_together = plan.is_worth_together::<T>((m, k, n), width);
        plan.with_bands((m, k, n), height)
    }

    /// Pieces of so many rows, in one block, and columns, of operands that are not copied.
    fn in_place(
        form: Form,
        threads: usize,
        (chunk, depth): (usize, usize),
        (rows, columns): (usize, usize),
    ) -> Self {
        Self {
            form,
            threads,
            pack_right: false,
            pack_together: false,
            left: Left::InPlace,
            chunk,
            depth,
            rows,
            columns,
            block: rows,
            band: None,
            is_few: false,
        }
    }

    /// Whether B, whose rows are contiguous, is streamed through for few rows.
    pub(super) fn is_streamed<T: Real>(
        kernel: &Kernel<T>,
        (m, k, n): (usize, usize, usize),
        layout: Layout,
    ) -> bool {
        let right = Right::of(layout, (k, n), (kernel.columns(), size_of::<T>()));
        layout.right_is_row_major && right.is_streamed(m, n)
    }

    /// Whether to pack the columns of B, which are contiguous, costs so much that the transposed product is
    /// faster, although C must then be transposed.
    pub(super) fn is_wide((m, k, n): (usize, usize, usize), layout: Layout) -> bool {
        let fits = m > DOTTED && m <= WIDE_ROWS && k >= WIDE_TERMS && n / 4 >= m;
        fits && layout.right_is_column_major && layout.left_is_row_major
    }

    /// For a B that was packed before, in passes as [`depth`] says.
    pub(super) fn packed<T: Real>(
        kernel: &Kernel<T>,
        (m, k, n): (usize, usize, usize),
        threads: usize,
    ) -> Self {
        let (height, width) = (kernel.rows(), kernel.columns());
        let depth = depth(k);
        let chunk = chunk((m, k, n), m.saturating_mul(n).div_ceil(TILES_PIECE));
        let chunk = chunk.next_multiple_of(depth.max(1));
        let columns = even(n, FEW_PIECE / depth.max(1), width);
        let size = (m.next_multiple_of(height).max(height), columns);
        let mut plan = Self::in_place(Form::Tiles, threads, (chunk, depth), size);
        plan.cut::<T>((m, k, n), (height, width), false, 0);
        plan.with_bands((m, k, n), height)
    }

    /// Cuts pieces until there are enough for all threads, and about as many for each. Where each thread has
    /// one, they keep at least so many rows: each packs its columns of B, which takes long where it transposes.
    fn cut<T>(
        &mut self,
        (m, k, n): (usize, usize, usize),
        (height, width): (usize, usize),
        by_rows: bool,
        least: usize,
    ) {
        let (mut rows, mut columns, threads) = (self.rows, self.columns, self.threads);
        let stays_near =
            m <= BLOCK && self.pack_right && load::multiply_adds((m, k, n)) >= WORTH_HELPING;
        let each = if stays_near { LOW_PIECES } else { pieces::<T>((m, k, n)) };
        let enough = each * threads;
        // Of few slivers one of which is narrow, threads would not have equal shares.
        let is_ragged = n < 2 * threads * width && (1..=width - width / 4).contains(&(n % width));
        let are_shared = is_ragged && least < usize::MAX;
        loop {
            let count = k.div_ceil(self.chunk).max(1) * m.div_ceil(rows) * n.div_ceil(columns);
            let is_even = count.next_multiple_of(threads) * EVEN <= count * (EVEN + 1);
            if threads <= 1 || count >= 4 * enough || (count >= enough && is_even) {
                break;
            }
            // Every row of pieces packs B anew, so columns are cut first as a rule.
            let is_low = rows <= BLOCK || least > rows / 2;
            let wide = columns > 2 * width || (columns > width && is_low);
            let by_rows = by_rows || (are_shared && count < threads);
            if wide && !(by_rows && rows > 2 * height) {
                columns = half(columns, width);
            } else if rows > height && (count < threads || rows / 2 >= least) {
                rows = half(rows, height);
            } else {
                break;
            }
        }
        // A single sliver of B is read again for each tile, an A in place but once; one of few columns stays near.
        let is_once = (columns <= width || k <= FLAT) && self.left == Left::InPlace;
        let most = BLOCK_WORK / (k * columns).max(1);
        let block = if is_once { most.clamp(BLOCK, BLOCKS * BLOCK) } else { BLOCK };
        (self.rows, self.columns, self.block) = (rows, columns, even(rows, block, height));
    }

    /// Into how many pieces it cuts a product.
    pub(super) fn pieces(&self, (m, k, n): (usize, usize, usize)) -> usize {
        m.div_ceil(self.rows) * n.div_ceil(self.columns) * k.div_ceil(self.chunk).max(1)
    }

    /// Columns of C of which a thread adds up the sums of all chunks.
    pub(super) fn added<T: Real>(
        &self,
        kernel: &Kernel<T>,
        (m, k, n): (usize, usize, usize),
    ) -> usize {
        let sums = k.div_ceil(self.chunk).max(1) * m * n;
        let parts = if sums >= WORTH_ADDING { self.threads } else { 1 };
        n.div_ceil(parts.max(1)).next_multiple_of(kernel.columns())
    }

    /// Pieces of work that threads take: those of the product in each of its turns, those of B where they pack it
    /// together, and those of C where they add up chunks.
    pub(super) fn tasks<T: Real>(
        &self,
        kernel: &Kernel<T>,
        (m, k, n): (usize, usize, usize),
    ) -> usize {
        let pieces = self.pieces((m, k, n));
        if self.chunk < k {
            let parts = n.div_ceil(self.added(kernel, (m, k, n)).max(1));
            return pieces + if parts > 1 { parts } else { 0 };
        }
        if !self.pack_together {
            return pieces;
        }
        let turns = k.div_ceil(self.turn(kernel, n)).max(1);
        let slivers = k.div_ceil(self.depth) * n.div_ceil(kernel.columns());
        // There is nothing to share of a single one.
        turns * pieces + if slivers > 1 { slivers } else { 0 }
    }

    /// Terms of which B is packed together at a time: whole passes.
    pub(super) fn turn<T: Real>(&self, kernel: &Kernel<T>, n: usize) -> usize {
        let pass = kernel.packed_right(self.depth, n) * size_of::<T>();
        (TOGETHER / pass.max(1)).max(1) * self.depth
    }

    /// Whether so many rows of pieces would pack the same columns of B that they had better do it once.
    fn is_worth_together<T>(&self, (m, k, n): (usize, usize, usize), width: usize) -> bool {
        let is_whole = self.pack_right && self.chunk >= k;
        let again = m.div_ceil(self.rows).saturating_sub(1).saturating_mul(k).saturating_mul(n);
        let fits = n.next_multiple_of(width) * self.depth * size_of::<T>() <= TOGETHER;
        is_whole && again >= WORTH_TOGETHER && fits
    }
}

/// Pieces for each thread.
fn pieces<T>(sizes: (usize, usize, usize)) -> usize {
    let is_moved = load::moving::<T>(sizes) > load::multiply_adds(sizes);
    if is_moved { MEMORY_PIECES } else { PIECES }
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

/// The extent of two or three pieces of `count`, more than one `unit`: two of many units, which are about as
/// even as those of one more or less; of few, as even ones as whole units allow.
fn half(count: usize, unit: usize) -> usize {
    let units = count.div_ceil(unit);
    even(count, if units >= EVEN { units.div_ceil(2) * unit } else { count / 2 }, unit)
}

#[cfg(test)]
mod tests;
