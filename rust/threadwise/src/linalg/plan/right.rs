//! How B is read if its rows are contiguous: where it lies, packed, or streamed.

use std::ops::RangeInclusive;

use crate::linalg::way::Layout;

/// Rows of C from which on B is packed where it lies badly: every row begins at the same place of a page, so
/// that the rows of a strip drive each other out of the nearest cache, ...
pub(super) const WORTH_PACKING: usize = 32;
const PAGE: usize = 4096;

/// ... or if it does not stay in the second-level cache, ...
pub(super) const WORTH_PACKING_FAR: usize = 12;

/// ... or if it does, but its rows do not begin at cache lines, so that vectors lie across two of them: more rows if
/// it is tiny, ...
pub(super) const WORTH_ALIGNING: usize = 36;
pub(super) const WORTH_ALIGNING_TINY: usize = 256;
const TINY: usize = 8 << 10;

/// ... or if they do, and its rows are far apart: packing is read and written once more than the product needs.
pub(super) const WORTH_GATHERING: usize = 256;

/// Bytes of an operand that stays in the first-level cache.
pub(in crate::linalg) const NEAREST: usize = 32 << 10;

/// Bytes of a B that stays in the first and second-level caches even where it lies.
const NEAR: usize = 128 << 10;

/// Bytes of a B that second-level caches hold, half of them if every row begins at the same place of a page, and of
/// those for each byte of a row that a tile reads at a time: the fewer it reads, the longer each takes.
const SECOND: usize = 2 << 20;
const SECOND_STRIP: usize = 16 << 10;

/// Bytes of a B that they hold where they are large, if threads share it.
const SECOND_LARGE: usize = 4 << 20;

/// Bytes from a row of B to the next up to which strips of it are read as fast as slivers: several rows
/// lie in a page, and the rows of a strip spread over all places of the first-level cache.
const CLOSE: usize = 1024;

/// Columns from which on streaming B through is faster than reading it in strips.
pub(in crate::linalg) const WORTH_STREAMING: usize = 128;

/// Rows up to which streaming B through is faster than packing it, fewer of up to so many terms, half as many of a
/// larger B: a sliver of these stays near. And rows up to which it is faster than tiles that read B where it lies, in
/// the second-level cache: more of them if every other row begins at the same place of a page.
pub(in crate::linalg) const STREAMED: usize = 32;
pub(super) const STREAMED_SHORT: usize = 11;
pub(super) const SHORT: usize = 256;
pub(super) const STREAMED_NEAR: usize = 3;
pub(super) const STREAMED_HALVES: usize = 11;

/// Rows of which each thread computes tiles of its part of such a B: they fill a single tile, ...
pub(super) const ONE_TILE: RangeInclusive<usize> = 4..=6;

/// ... or are so many that arithmetic is most of the work, by one thread, too.
pub(super) const SOME_TILES: usize = 12;

/// What decides about a B whose rows are contiguous.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Right {
    /// Whether its rows begin at the same place of a page, ...
    aliases: bool,
    /// ... or every other one does.
    halves: bool,
    /// Whether strips of it are read as fast as slivers, from the second-level cache.
    is_near: bool,
    /// Whether they are if the threads' caches are large.
    is_rather_near: bool,
    /// Whether its columns are so short that packed ones stay near.
    is_short: bool,
    /// Whether its rows are far from one another.
    is_apart: bool,
    /// Whether vectors lie across lines, ...
    is_across: bool,
    /// ... of a B so small that hardly any time goes into that.
    is_tiny: bool,
}

impl Right {
    /// For a B of `k` rows and `n` columns of so many bytes an element, and tiles of `width` columns.
    pub(super) fn of(
        layout: Layout,
        (k, n): (usize, usize),
        (width, size): (usize, usize),
    ) -> Self {
        let bytes = k.saturating_mul(n).saturating_mul(size);
        let pages = |page: usize| bytes > NEAR && layout.right_stride.is_multiple_of(page);
        let (aliases, halves) = (pages(PAGE), pages(PAGE / 2));
        let strips = width * size * SECOND_STRIP;
        Self {
            aliases,
            halves,
            is_near: bytes <= strips.min(if aliases { SECOND / 2 } else { SECOND }),
            is_rather_near: bytes <= SECOND_LARGE.min(strips) && !halves,
            is_short: k <= if bytes <= SECOND_LARGE { SHORT } else { SHORT / 2 },
            is_apart: bytes > NEAR && layout.right_stride > CLOSE,
            // Half a tile of columns, and few terms, are computed without tiles.
            is_across: !layout.right_is_aligned && (bytes > TINY || n > width / 2),
            is_tiny: bytes <= TINY,
        }
    }

    /// Whether a product of `m` rows and `n` columns streams it through.
    pub(super) fn is_streamed(self, m: usize, n: usize) -> bool {
        let most = match (self.is_near, self.halves, self.is_short) {
            (true, false, _) => STREAMED_NEAR,
            (true, true, _) => STREAMED_HALVES,
            (false, _, true) => STREAMED_SHORT,
            (false, _, false) => STREAMED,
        };
        m <= most && n >= WORTH_STREAMING
    }

    /// Whether tiles of all terms are faster than streams of a B that is streamed else, with the same sums.
    pub(super) fn is_tiled(self, m: usize, threads: usize) -> bool {
        let is_shared = threads > 1 && ONE_TILE.contains(&m);
        self.is_rather_near && (is_shared || m >= SOME_TILES)
    }

    /// Whether tiles for `m` rows had better read a packed copy.
    pub(super) fn is_packed(self, m: usize) -> bool {
        (m >= WORTH_PACKING && self.aliases)
            || (m >= WORTH_PACKING_FAR && self.is_apart && !self.is_near)
            || (m >= if self.is_tiny { WORTH_ALIGNING_TINY } else { WORTH_ALIGNING }
                && self.is_across)
            || (m >= WORTH_GATHERING && self.is_apart)
    }
}
