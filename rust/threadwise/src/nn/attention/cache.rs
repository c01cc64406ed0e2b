//! The keys and values of tokens that were seen, in pages.
//!
//! A page has the keys and values of some tokens that follow one another, for every layer and head; a sequence
//! has a list of pages. With a window, pages that no later query sees are given back.

use std::collections::VecDeque;

use ndarray::{ArrayViewMut2, Axis};
use threadwise_kernels::attention::{Layout, Page, PageMut, Stored};
use threadwise_runtime::Owned;

use crate::Error;
use crate::phased::{Cut, Item, Region, Shared};

/// Tokens of a page; of one in a cache for few tokens.
const PAGES: [usize; 2] = [256, 64];

/// Tokens that are few.
const FEW: usize = 1024;

/// What a cache is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheShape {
    /// Layers of the model.
    pub layers: usize,
    /// Heads of keys and values in each.
    pub kv_heads: usize,
    /// Numbers of a key, and of a value.
    pub width: usize,
    /// How many keys a query sees at most, the last of them its own.
    pub window: Option<usize>,
}

/// The pages of a sequence.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// Number of the first page: those before it were given back.
    pub(super) first: usize,
    pub(super) pages: VecDeque<usize>,
}

#[derive(Clone, Debug, Default)]
struct Sequence {
    length: usize,
    table: Table,
}

/// Keys and values of any number of sequences. Memory is taken when pages are first used.
#[derive(Debug)]
pub struct KvCache<S> {
    shape: CacheShape,
    layout: Layout,
    numbers: Owned<S>,
    scales: Owned<f32>,
    free: Vec<usize>,
    /// Pages that were in use at the same time, at most.
    used: usize,
    pages: usize,
    sequences: Vec<Sequence>,
}

impl<S> KvCache<S> {
    /// Tokens of a page, at most.
    pub const LONGEST_PAGE: usize = PAGES[0];
}

impl<S: Stored> KvCache<S> {
    /// A cache with room for `sequences` sequences of up to `tokens` tokens.
    ///
    /// # Errors
    ///
    /// If the system has no memory left.
    pub fn new(shape: CacheShape, tokens: usize, sequences: usize) -> Result<Self, Error> {
        let held = shape.window.unwrap_or(tokens).min(tokens);
        let layout = Layout::new(shape.width, PAGES[usize::from(held < FEW)]);
        let pages = tokens.div_ceil(layout.tokens()).saturating_mul(sequences);
        let slabs = pages.saturating_mul(shape.layers).saturating_mul(shape.kv_heads);
        Ok(Self {
            shape,
            layout,
            numbers: Owned::zeros(slabs.saturating_mul(layout.numbers()))?,
            scales: Owned::zeros(slabs.saturating_mul(layout.scales::<S>()))?,
            free: (0..pages).rev().collect(),
            used: 0,
            pages,
            sequences: vec![Sequence::default(); sequences],
        })
    }

    /// What it is for.
    #[must_use]
    pub fn shape(&self) -> CacheShape {
        self.shape
    }

    /// Tokens of a page.
    #[must_use]
    pub fn page(&self) -> usize {
        self.layout.tokens()
    }

    /// How many sequences there is room for.
    #[must_use]
    pub fn sequences(&self) -> usize {
        self.sequences.len()
    }

    /// Tokens that a sequence has, those given back included: the position of the next one.
    ///
    /// # Panics
    ///
    /// If there is no such sequence.
    #[must_use]
    pub fn length(&self, sequence: usize) -> usize {
        self.sequences[sequence].length
    }

    /// Bytes of memory that pages took so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let slabs = self.used * self.shape.layers * self.shape.kv_heads;
        slabs
            * (self.layout.numbers() * size_of::<S>()
                + self.layout.scales::<S>() * size_of::<f32>())
    }

    /// Sees to pages for the next `count` tokens of a sequence.
    ///
    /// # Errors
    ///
    /// If there is no room left for them.
    ///
    /// # Panics
    ///
    /// If there is no such sequence.
    pub fn reserve(&mut self, sequence: usize, count: usize) -> Result<(), Error> {
        let Sequence { length, table } = &mut self.sequences[sequence];
        let end = (*length + count).div_ceil(self.layout.tokens());
        let wanted = end.saturating_sub(table.first + table.pages.len());
        if wanted > self.free.len() {
            let room = (self.free.len() + table.first + table.pages.len()) * self.layout.tokens();
            let expected = format!("at most {room}, which is what the cache has room for");
            return Err(Error::Count { name: "tokens", actual: *length + count, expected });
        }
        for _ in 0..wanted {
            table.pages.extend(self.free.pop());
        }
        self.used = self.used.max(self.pages - self.free.len());
        Ok(())
    }

    /// A sequence has `count` tokens more, for which there were pages. Pages that no later query sees are given
    /// back.
    ///
    /// # Panics
    ///
    /// If there is no such sequence.
    pub fn advance(&mut self, sequence: usize, count: usize) {
        let Sequence { length, table } = &mut self.sequences[sequence];
        *length += count;
        if let Some(window) = self.shape.window {
            let seen = (*length + 1).saturating_sub(window);
            while (table.first + 1) * self.layout.tokens() <= seen
                && let Some(page) = table.pages.pop_front()
            {
                table.first += 1;
                self.free.push(page);
            }
        }
    }

    /// Forgets the tokens of a sequence from `length` on.
    ///
    /// # Errors
    ///
    /// If it has fewer, or those that the next one would see were given back.
    ///
    /// # Panics
    ///
    /// If there is no such sequence.
    pub fn truncate(&mut self, sequence: usize, length: usize) -> Result<(), Error> {
        let Sequence { length: now, table } = &mut self.sequences[sequence];
        let seen = self.shape.window.map_or(0, |window| (length + 1).saturating_sub(window));
        let given_back = table.first * self.layout.tokens();
        if length > *now || seen < given_back {
            let what = if length > *now { "the tokens there are" } else { "what the window left" };
            let first = given_back + self.shape.window.map_or(0, |window| window - 1);
            let first = if given_back == 0 { 0 } else { first };
            let expected = format!("from {first} to {now}, {what}");
            return Err(Error::Count { name: "length", actual: length, expected });
        }
        *now = length;
        let kept = length.div_ceil(self.layout.tokens()).saturating_sub(table.first);
        self.free.extend(table.pages.drain(kept.min(table.pages.len())..));
        Ok(())
    }

    /// Forgets a sequence.
    ///
    /// # Panics
    ///
    /// If there is no such sequence.
    pub fn clear(&mut self, sequence: usize) {
        let Sequence { table, .. } = std::mem::take(&mut self.sequences[sequence]);
        self.free.extend(table.pages);
    }

    /// Lends it to the items of a region.
    pub fn lend(&mut self, region: &Region) -> Lent<'_, S> {
        let tables = self.sequences.iter().map(|sequence| sequence.table.clone()).collect();
        Lent::new(region, self.shape, self.layout, &mut self.numbers, &mut self.scales, tables)
    }
}

/// Pages that the items of a region write and read.
#[derive(Debug)]
pub struct Lent<'a, S> {
    pub(super) layout: Layout,
    shape: CacheShape,
    numbers: Shared<'a, S>,
    scales: Shared<'a, f32>,
    cuts: [Cut; 2],
    tables: Vec<Table>,
}

impl<'a, S: Stored> Lent<'a, S> {
    /// The pages in this memory, of which the `tables` have some.
    pub(super) fn new(
        region: &Region,
        shape: CacheShape,
        layout: Layout,
        numbers: &'a mut [S],
        scales: &'a mut [f32],
        tables: Vec<Table>,
    ) -> Self {
        let (wide, scaled) = (layout.numbers(), layout.scales::<S>());
        let slabs = numbers.len().checked_div(wide).unwrap_or(0);
        let mut numbers = region.share(matrix(slabs, wide, numbers));
        let mut scales = region.share(matrix(slabs, scaled, scales));
        let cuts = [numbers.cut(1, wide.max(1)), scales.cut(1, scaled.max(1))];
        Self { layout, shape, numbers, scales, cuts, tables }
    }

    /// Which of the memory's rows has the page.
    fn slab(&self, sequence: usize, page: usize, layer: usize, head: usize) -> usize {
        let table = &self.tables[sequence];
        let page = table.pages[page - table.first];
        (page * self.shape.layers + layer) * self.shape.kv_heads + head
    }

    /// The page of some tokens of a sequence, in one layer, for one head, to be read.
    pub(super) fn read<'i>(
        &'i self,
        item: &'i Item<'_>,
        sequence: usize,
        page: usize,
        (layer, head): (usize, usize),
    ) -> Page<'i, S> {
        let slab = self.slab(sequence, page, layer, head);
        let numbers = self.numbers.read(item).index_axis_move(Axis(0), slab);
        let scales = if S::IS_SCALED {
            self.scales.read(item).index_axis_move(Axis(0), slab).to_slice()
        } else {
            None
        };
        Page { numbers: numbers.to_slice().unwrap_or_default(), scales: scales.unwrap_or_default() }
    }

    /// The same, to be written, by one item in a phase.
    pub(super) fn write<'i>(
        &'i self,
        item: &'i Item<'_>,
        sequence: usize,
        page: usize,
        (layer, head): (usize, usize),
    ) -> PageMut<'i, S> {
        let slab = self.slab(sequence, page, layer, head);
        let numbers = self.numbers.piece(item, self.cuts[0], slab).index_axis_move(Axis(0), 0);
        let scales = if S::IS_SCALED {
            self.scales.piece(item, self.cuts[1], slab).index_axis_move(Axis(0), 0).into_slice()
        } else {
            None
        };
        let numbers = numbers.into_slice().unwrap_or_default();
        PageMut { numbers, scales: scales.unwrap_or_default() }
    }
}

/// Memory as rows of so many numbers.
pub(super) fn matrix<T>(rows: usize, columns: usize, memory: &mut [T]) -> ArrayViewMut2<'_, T> {
    let memory = &mut memory[..rows * columns];
    ArrayViewMut2::from_shape((rows, columns), memory).unwrap_or_else(|_| unreachable!("as long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(window: Option<usize>, tokens: usize) -> KvCache<f32> {
        KvCache::new(CacheShape { layers: 2, kv_heads: 3, width: 5, window }, tokens, 2).unwrap()
    }

    fn windowed() -> KvCache<f32> {
        cache(Some(70), 300)
    }

    #[test]
    fn pages_are_taken_as_tokens_come_and_given_back_with_the_sequence() {
        let mut cache = cache(None, 500);
        assert_eq!(cache.bytes(), 0, "none is used");
        cache.reserve(0, 65).unwrap();
        cache.advance(0, 65);
        let page = 64 * (5 + 16) * 4 * 2 * 3;
        assert_eq!((cache.length(0), cache.bytes()), (65, 2 * page), "two pages of 64 tokens");
        cache.reserve(0, 63).unwrap();
        assert_eq!(cache.bytes(), 2 * page, "there was room");
        cache.clear(0);
        cache.reserve(1, 128).unwrap();
        assert_eq!((cache.length(0), cache.bytes()), (0, 2 * page), "the same pages again");
    }

    #[test]
    fn more_tokens_than_there_is_room_for_are_refused() {
        let mut cache = cache(None, 100);
        let sentence = cache.reserve(0, 300).unwrap_err().to_string();
        let expected = "tokens is 300, expected at most 256, which is what the cache has room for";
        assert_eq!(sentence, expected);
        assert_eq!(cache.bytes(), 0, "nothing was taken");
        cache.reserve(0, 256).unwrap();
        assert!(cache.reserve(1, 1).is_err(), "nothing is left for the other");
    }

    #[test]
    fn tokens_at_the_end_can_be_forgotten_but_not_what_is_gone() {
        let mut cache = cache(None, 300);
        cache.reserve(0, 200).unwrap();
        cache.advance(0, 200);
        cache.truncate(0, 65).unwrap();
        assert_eq!(cache.length(0), 65);
        cache.reserve(1, 300).unwrap();
        assert!(cache.truncate(0, 66).is_err(), "more than there are");
        let mut cache = windowed();
        cache.reserve(0, 250).unwrap();
        cache.advance(0, 250);
        let sentence = cache.truncate(0, 100).unwrap_err().to_string();
        let expected = "length is 100, expected from 197 to 250, what the window left";
        assert_eq!(sentence, expected);
        cache.truncate(0, 197).unwrap();
        assert_eq!(cache.length(0), 197);
    }

    #[test]
    fn with_a_window_a_sequence_goes_on_for_ever_in_a_few_pages() {
        let mut cache = cache(Some(70), 256);
        for _ in 0..10_000 {
            cache.reserve(0, 1).unwrap();
            cache.advance(0, 1);
        }
        let page = 64 * (5 + 16) * 4 * 2 * 3;
        assert_eq!((cache.length(0), cache.bytes()), (10_000, 3 * page), "as many as can be seen");
    }
}
