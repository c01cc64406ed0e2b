//! Into how many pieces a row of things is cut, and where.

use std::iter::FusedIterator;
use std::ops::Range;

use threadwise_runtime::nodes::Hint;

use crate::Error;

/// Elements of a row of a matrix, as many as are worth a piece of work by themselves: 32 KiB of `f32`.
const WORTH_A_PIECE: usize = 8192;

/// How work is cut into pieces, and where the threads that do them should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkDistribution {
    min_chunk: usize,
    max_chunk: usize,
    tasks_per_thread: usize,
    numa: Option<Hint>,
    cache_line: usize,
}

impl Default for WorkDistribution {
    /// From 64 to 4096 things a piece, four pieces a thread, lines of 64 bytes.
    fn default() -> Self {
        let (min_chunk, max_chunk, tasks_per_thread) = (64, 4096, 4);
        Self { min_chunk, max_chunk, tasks_per_thread, numa: None, cache_line: 64 }
    }
}

impl WorkDistribution {
    /// Pieces from `min_chunk` to `max_chunk` long, `tasks_per_thread` for each thread if that lies
    /// between, which begin at multiples of `cache_line` bytes where the size of an element is known.
    ///
    /// # Errors
    ///
    /// If a number is 0, `max_chunk` is less than `min_chunk`, or `cache_line` is no power of two.
    pub fn new(
        min_chunk: usize,
        max_chunk: usize,
        tasks_per_thread: usize,
        numa: Option<Hint>,
        cache_line: usize,
    ) -> Result<Self, Error> {
        let refuse = |name, actual, expected| Err(Error::Count { name, actual, expected });
        for (name, actual) in [("min_chunk", min_chunk), ("tasks_per_thread", tasks_per_thread)] {
            if actual == 0 {
                return refuse(name, actual, "at least 1".to_owned());
            }
        }
        if max_chunk < min_chunk {
            return refuse("max_chunk", max_chunk, format!("at least min_chunk, {min_chunk}"));
        }
        if !cache_line.is_power_of_two() {
            return refuse("cache_line", cache_line, "a power of two".to_owned());
        }
        Ok(Self { min_chunk, max_chunk, tasks_per_thread, numa, cache_line })
    }

    /// For the rows of a matrix: four pieces a thread, of 64 to 1024 rows, where the rows are long. Many
    /// short ones make a piece, because it is elements that take time; a long row is worth one itself.
    #[must_use]
    pub fn for_matmul(rows: usize, cols: usize, threads: usize) -> Self {
        let fair = rows.div_ceil(threads.max(1).saturating_mul(4)).clamp(64, 1024);
        let min_chunk = WORTH_A_PIECE.div_ceil(cols.max(1)).clamp(1, 64);
        Self { min_chunk, max_chunk: fair.max(128), ..Self::default() }
    }

    /// For the heads of attention over `seq` positions: by single heads if need be, at most an even share
    /// in a piece, and two pieces a thread where the sequence is so long that they take unequal time.
    #[must_use]
    pub fn for_attention(heads: usize, seq: usize, threads: usize) -> Self {
        let max_chunk = heads.div_ceil(threads.max(1)).max(1);
        let tasks_per_thread = if seq > 512 { 2 } else { 1 };
        Self { min_chunk: 1, max_chunk, tasks_per_thread, ..Self::default() }
    }

    /// The fewest things in a piece.
    #[must_use]
    pub fn min_chunk(&self) -> usize {
        self.min_chunk
    }

    /// The most things in a piece.
    #[must_use]
    pub fn max_chunk(&self) -> usize {
        self.max_chunk
    }

    /// Pieces for each thread.
    #[must_use]
    pub fn tasks_per_thread(&self) -> usize {
        self.tasks_per_thread
    }

    /// Where threads should be.
    #[must_use]
    pub fn numa(&self) -> Option<Hint> {
        self.numa
    }

    /// Bytes that a CPU cannot write to but as a whole.
    #[must_use]
    pub fn cache_line(&self) -> usize {
        self.cache_line
    }

    /// How long a piece should be: an even share of `total` for each task of each thread, within the
    /// bounds.
    #[must_use]
    pub fn chunk(&self, total: usize, threads: usize) -> usize {
        let tasks = threads.max(1).saturating_mul(self.tasks_per_thread);
        total.div_ceil(tasks).clamp(self.min_chunk, self.max_chunk)
    }

    /// The fewest elements of `itemsize` bytes that fill whole cache lines.
    #[must_use]
    pub fn line(&self, itemsize: usize) -> usize {
        // The greatest common divisor with a power of two.
        let shared = itemsize.trailing_zeros().min(self.cache_line.trailing_zeros());
        self.cache_line >> shared
    }

    /// Cuts `0..total` into pieces of whole `unit`s, but for the last that ends at `total`. They are as
    /// even as possible, about [`Self::chunk`] long, and
    ///
    /// * no longer than `max_chunk`, or one unit where that is more;
    /// * no shorter than `min_chunk`, or than as many units as `max_chunk` holds where these are less:
    ///   where the bounds leave no whole number of units between them, the upper one counts. Shorter is
    ///   only the last, by less than a unit, or where there is no such cut: then all others have just
    ///   the least length.
    #[must_use]
    pub fn ranges(&self, total: usize, threads: usize, unit: usize) -> Ranges {
        let unit = unit.max(1);
        let units = total.div_ceil(unit);
        let most = (self.max_chunk / unit).max(1);
        let least = self.min_chunk.div_ceil(unit).min(most);
        let wanted = units.div_ceil(self.chunk(total, threads).div_ceil(unit));
        // With no fewer pieces the longest, and with no more the shortest are within the bounds.
        let (fewest, fullest) = (units.div_ceil(most), units / least);
        let (count, short, longer) = if fewest > fullest {
            (fewest, least, 0)
        } else {
            let count = wanted.clamp(fewest, fullest);
            (count, units / count.max(1), units % count.max(1))
        };
        Ranges { next: 0, count, short, longer, unit, total }
    }

    /// The length of the longest of [`Self::ranges`], in whole units: at least one.
    #[must_use]
    pub fn extent(&self, total: usize, threads: usize, unit: usize) -> usize {
        let Ranges { short, longer, unit, .. } = self.ranges(total, threads, unit);
        (short + usize::from(longer > 0)).max(1).saturating_mul(unit)
    }
}

/// The pieces of [`WorkDistribution::ranges`], in order.
#[derive(Clone, Debug)]
pub struct Ranges {
    next: usize,
    count: usize,
    /// Units of most pieces.
    short: usize,
    /// How many, from the first on, have one unit more.
    longer: usize,
    unit: usize,
    total: usize,
}

impl Iterator for Ranges {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if self.next == self.count {
            return None;
        }
        let units = |i: usize| i.saturating_mul(self.short).saturating_add(i.min(self.longer));
        let begin = |i: usize| units(i).saturating_mul(self.unit);
        let (start, end) = (begin(self.next), begin(self.next + 1));
        self.next += 1;
        let is_last = self.next == self.count;
        Some(start..if is_last { self.total } else { end })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.count - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Ranges {}
impl FusedIterator for Ranges {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(min: usize, max: usize, tasks: usize) -> WorkDistribution {
        WorkDistribution::new(min, max, tasks, None, 64).unwrap()
    }

    fn lengths(distribution: WorkDistribution, total: usize, threads: usize) -> Vec<usize> {
        distribution.ranges(total, threads, 1).map(|range| range.len()).collect()
    }

    fn covered(pieces: &[Range<usize>], total: usize) -> bool {
        let ends = std::iter::once(0).chain(pieces.iter().map(|piece| piece.end));
        let follows = pieces.iter().zip(ends).all(|(piece, end)| piece.start == end);
        follows && pieces.last().map_or(0, |piece| piece.end) == total
    }

    #[test]
    fn the_chunk_is_an_even_share_within_the_bounds() {
        let default = WorkDistribution::default();
        assert_eq!(default.chunk(10_000, 2), 1250, "eight pieces");
        assert_eq!(default.chunk(10_001, 2), 1251, "rounded up");
        assert_eq!(default.chunk(100, 2), 64, "at least");
        assert_eq!(default.chunk(1_000_000, 2), 4096, "at most");
        assert_eq!(default.chunk(0, 2), 64, "of nothing");
        assert_eq!(default.chunk(usize::MAX, usize::MAX), 64, "of the largest numbers");
    }

    #[test]
    fn pieces_are_even_and_both_bounds_hold() {
        assert_eq!(
            lengths(of(64, 4096, 4), 10_001, 2),
            [1251, 1250, 1250, 1250, 1250, 1250, 1250, 1250]
        );
        assert_eq!(lengths(of(1, 3, 1), 10, 1), [3, 3, 2, 2], "at most three");
        assert_eq!(lengths(of(4, 9, 8), 10, 4), [5, 5], "at least four");
        assert_eq!(lengths(of(64, 4096, 4), 5, 2), [5], "fewer than a piece has");
        assert_eq!(lengths(of(64, 100, 4), 110, 2), [64, 46], "no even cut holds both");
        assert_eq!(lengths(of(64, 64, 4), 0, 2), [0; 0], "nothing");
    }

    #[test]
    fn each_option_changes_the_pieces() {
        let base = lengths(of(8, 64, 2), 200, 2);
        assert_eq!(base, [50; 4], "two pieces for each of two threads");
        assert_eq!(lengths(of(60, 64, 2), 200, 2), [60, 60, 60, 20], "longer ones");
        assert_eq!(lengths(of(8, 20, 2), 200, 2), [20; 10], "shorter ones");
        assert_eq!(lengths(of(8, 64, 5), 200, 2), [20; 10], "more");
        assert_eq!(lengths(of(8, 64, 2), 200, 4), [25; 8], "for more threads");
        let by_lines: Vec<_> = of(8, 64, 2).ranges(200, 2, 16).map(|piece| piece.end).collect();
        assert_eq!(by_lines, [64, 112, 160, 200], "at lines of 16 elements");
    }

    #[test]
    fn where_lines_do_not_fit_the_bounds_the_upper_one_counts_and_then_the_line() {
        let ends = |distribution: WorkDistribution, total, unit| -> Vec<usize> {
            distribution.ranges(total, 1, unit).map(|piece| piece.end).collect()
        };
        assert_eq!(
            ends(of(65, 70, 1), 200, 16),
            [64, 128, 192, 200],
            "64 is below the lower bound"
        );
        assert_eq!(ends(of(1, 10, 1), 40, 16), [16, 32, 40], "16 is above the upper bound");
    }

    #[test]
    fn lines_are_filled_by_the_fewest_elements() {
        let line = |itemsize| WorkDistribution::default().line(itemsize);
        assert_eq!([1, 2, 4, 8, 16, 64, 128].map(line), [64, 32, 16, 8, 4, 1, 1], "powers of two");
        assert_eq!([3, 12, 24, 96].map(line), [64, 16, 8, 2], "records");
    }

    #[test]
    fn rows_of_a_product_make_pieces_by_how_long_they_are() {
        let of = |rows, cols, threads| {
            let distribution = WorkDistribution::for_matmul(rows, cols, threads);
            (distribution.min_chunk, distribution.max_chunk)
        };
        assert_eq!(of(4096, 4096, 2), (2, 512), "a piece of two rows has 32 KiB");
        assert_eq!(of(4096, 16, 2), (64, 512), "short rows");
        assert_eq!(of(100, 4096, 8), (2, 128), "few rows");
        assert_eq!(of(1_000_000, 100_000, 2), (1, 1024), "long rows, and many");
        assert_eq!(of(0, 0, 0), (64, 128), "nothing");
        let pieces = WorkDistribution::for_matmul(100, 4096, 8).ranges(100, 8, 1).len();
        assert_eq!(pieces, 25, "every thread has some");
    }

    #[test]
    fn heads_are_shared_out_so_that_each_thread_has_some() {
        let of = WorkDistribution::for_attention;
        assert_eq!(lengths(of(32, 512, 4), 32, 4), [8; 4], "one piece a thread");
        assert_eq!(lengths(of(32, 513, 4), 32, 4), [4; 8], "two, of a long sequence");
        assert_eq!(lengths(of(3, 2048, 4), 3, 4), [1; 3], "single heads");
        assert_eq!(lengths(of(32, 64, 4), 32, 1), [8; 4], "a share was for four threads");
        assert_eq!(of(0, 0, 0).chunk(0, 1), 1, "nothing");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |min, max, tasks, line| {
            WorkDistribution::new(min, max, tasks, None, line).unwrap_err().to_string()
        };
        assert_eq!(refused(0, 1, 1, 64), "min_chunk is 0, expected at least 1");
        assert_eq!(refused(9, 8, 1, 64), "max_chunk is 8, expected at least min_chunk, 9");
        assert_eq!(refused(1, 1, 0, 64), "tasks_per_thread is 0, expected at least 1");
        assert_eq!(refused(1, 1, 1, 48), "cache_line is 48, expected a power of two");
        assert_eq!(refused(1, 1, 1, 0), "cache_line is 0, expected a power of two");
    }

    #[test]
    fn the_largest_numbers_are_cut_too() {
        let total = isize::MAX.unsigned_abs();
        let pieces: Vec<_> = of(1, usize::MAX, 3).ranges(total, 1024, 1 << 62).collect();
        assert!(covered(&pieces, total), "whole units near the end of addresses: {pieces:?}");
        let most = usize::MAX / 3 * 2;
        let pieces: Vec<_> = of(most, most, 1).ranges(usize::MAX, 1, 1).collect();
        assert_eq!(pieces, [0..most, most..usize::MAX], "the last is shorter");
    }

    proptest! {
        #[test]
        fn pieces_cover_all_in_order_within_both_bounds(
            (min, more) in (1_usize..200, 0_usize..300),
            (tasks, threads, total, unit) in (1_usize..9, 1_usize..20, 0_usize..5000, 1_usize..40),
        ) {
            let distribution = of(min, min + more, tasks);
            let pieces: Vec<_> = distribution.ranges(total, threads, unit).collect();
            prop_assert!(covered(&pieces, total), "{pieces:?}");
            prop_assert_eq!(pieces.len(), distribution.ranges(total, threads, unit).len());
            let most = ((min + more) / unit * unit).max(unit);
            let least = min.next_multiple_of(unit).min(most);
            for (i, piece) in pieces.iter().enumerate() {
                prop_assert!(piece.start % unit == 0, "{piece:?}");
                prop_assert!(!piece.is_empty() && piece.len() <= most, "{piece:?} > {most}");
                prop_assert!(piece.len() >= least || i + 1 == pieces.len(), "{piece:?} < {least}");
            }
            // Whatever can be cut evenly within the bounds is.
            let units = total.div_ceil(unit);
            if units.div_ceil(most / unit) <= units / (least / unit) {
                let lengths = pieces.iter().map(|piece| piece.len().div_ceil(unit));
                let (low, high) = (lengths.clone().min(), lengths.max());
                prop_assert!(high.unwrap_or(0) - low.unwrap_or(0) <= 1, "{pieces:?}");
                prop_assert!(low.is_none_or(|low| low * unit >= least), "{pieces:?}");
            }
            let longest = pieces.iter().map(|piece| piece.len().div_ceil(unit)).max();
            let extent = distribution.extent(total, threads, unit);
            prop_assert!(extent >= longest.unwrap_or(0) * unit && extent <= most, "{extent}");
        }
    }
}
