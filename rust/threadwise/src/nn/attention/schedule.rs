//! How attention is cut into items, and what each does.
//!
//! Keys and values are stored by pages. Then queries attend: many of them in blocks of positions, each block to
//! all its keys in order; few of them, as when tokens are generated one by one, to chunks of keys, whose
//! results are united in order, as those of chunks that one item attends to are: bits do not depend on how many
//! queries there are. The cut follows from lengths alone, so bits do too.

use std::ops::Range;
use std::slice::ChunksExactMut;

use ndarray::{ArrayView1, ArrayView3, ArrayViewMut2, Axis};
use threadwise_kernels::attention::{Attention, Layout, State, Stored, TILE};
use threadwise_runtime::with_scratch;

use super::cache::Lent;
use crate::phased::{Cut, Item, Shared};
use crate::{Error, Isa};

/// Rows of queries that attend together, about.
const ROWS: usize = 48;

/// Keys of a chunk.
const CHUNK: usize = 256;

/// The heads, and what each query sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values, which divide those of queries.
    pub kv_heads: usize,
    /// Numbers of a query, of a key and of a value.
    pub width: usize,
    /// What q·k is multiplied by.
    pub scale: f32,
    /// Whether a query sees no key behind its own.
    pub is_causal: bool,
    /// How many keys a query sees at most, the last of them its own.
    pub window: Option<usize>,
}

impl Heads {
    /// Heads of queries that share a head of keys.
    fn group(&self) -> usize {
        // There may be none, of a share of a model.
        self.heads / self.kv_heads.max(1)
    }
}

/// What is computed for one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The sequence, by its number in the cache.
    pub sequence: usize,
    /// Position of the first token whose key and value are stored.
    pub first: usize,
    /// How many are.
    pub count: usize,
    /// How many queries there are: they are those of the last tokens.
    pub queries: usize,
}

impl Span {
    /// Keys that there are then.
    fn keys(&self) -> usize {
        self.first + self.count
    }

    /// The keys that query `i` sees.
    fn seen(&self, i: usize, heads: &Heads) -> Range<usize> {
        // Queries beyond the keys, at their beginning, see nothing.
        let end = (self.keys() + i + 1).saturating_sub(self.queries);
        let end = if heads.is_causal { end } else { self.keys() };
        heads.window.map_or(0, |window| end.saturating_sub(window))..end
    }
}

/// Tokens of one page whose keys and values one item stores.
#[derive(Debug)]
struct Store {
    span: usize,
    head: usize,
    tokens: Range<usize>,
}

/// Queries that one item attends with, and to which keys.
#[derive(Debug)]
struct Work {
    span: usize,
    head: usize,
    queries: Range<usize>,
    keys: Range<usize>,
    /// Where its state goes, if others attend to other keys.
    partial: Option<usize>,
}

/// States that are united.
#[derive(Debug)]
struct Union {
    span: usize,
    head: usize,
    queries: usize,
    partials: Range<usize>,
}

/// Attention of some queries of some sequences, in items; the same for each layer.
#[derive(Debug)]
pub struct Schedule {
    heads: Heads,
    spans: Vec<Span>,
    stores: Vec<Store>,
    works: Vec<Work>,
    unions: Vec<Union>,
    partials: usize,
    most_queries: usize,
}

impl Schedule {
    /// For these sequences, each named once, in a cache with pages of so many tokens.
    #[must_use]
    pub fn new(heads: Heads, spans: Vec<Span>, page: usize) -> Self {
        let mut made = Self {
            heads,
            spans: Vec::new(),
            stores: Vec::new(),
            works: Vec::new(),
            unions: Vec::new(),
            partials: 0,
            most_queries: 0,
        };
        for (number, span) in spans.iter().enumerate() {
            for head in 0..heads.kv_heads {
                made.cut(number, *span, head, page);
            }
        }
        made.spans = spans;
        made
    }

    fn cut(&mut self, span: usize, it: Span, head: usize, page: usize) {
        let mut token = it.first;
        while token < it.keys() {
            let end = ((token / page + 1) * page).min(it.keys());
            self.stores.push(Store { span, head, tokens: token..end });
            token = end;
        }
        let together = (ROWS / self.heads.group()).max(1);
        let (heads, queries) = (self.heads, it.queries);
        let seen = |queries: &Range<usize>| {
            let [first, last] = [queries.start, queries.end - 1].map(|i| it.seen(i, &heads));
            first.start.min(first.end)..last.end
        };
        if queries == 0 {
            return;
        }
        let all = seen(&(0..queries));
        let chunks = all.start / CHUNK..all.end.div_ceil(CHUNK);
        if queries > together || chunks.len() <= 1 {
            for first in (0..queries).step_by(together) {
                let queries = first..(first + together).min(queries);
                let keys = seen(&queries);
                self.works.push(Work { span, head, queries, keys, partial: None });
            }
            return;
        }
        let first = self.partials;
        for chunk in chunks {
            let keys = (chunk * CHUNK).max(all.start)..((chunk + 1) * CHUNK).min(all.end);
            let partial = Some(self.partials);
            self.works.push(Work { span, head, queries: 0..queries, keys, partial });
            self.partials += 1;
        }
        self.unions.push(Union { span, head, queries, partials: first..self.partials });
        self.most_queries = self.most_queries.max(queries);
    }

    /// Items that store keys and values.
    #[must_use]
    pub fn stores(&self) -> usize {
        self.stores.len()
    }

    /// Those of them that are of one head of keys.
    pub fn stores_of(&self, head: usize) -> impl Iterator<Item = usize> {
        let stores = self.stores.iter().enumerate();
        stores.filter(move |(_, store)| store.head == head).map(|(number, _)| number)
    }

    /// Items that attend, in a phase after those that store.
    #[must_use]
    pub fn works(&self) -> usize {
        self.works.len()
    }

    /// Items that unite what chunks gave, in a phase after those that attend. There may be none.
    #[must_use]
    pub fn unions(&self) -> usize {
        self.unions.len()
    }

    /// Rows and columns of the buffer between those phases, which is cut into rows.
    #[must_use]
    pub fn partials(&self) -> (usize, usize) {
        let rows = self.most_queries * self.heads.group();
        (self.partials, State::len(rows, Layout::new(self.heads.width, 16)))
    }

    /// Stores the keys and values of item `number`. They are of the tokens from the span's first on, by token, head
    /// and number.
    ///
    /// # Errors
    ///
    /// If memory runs out.
    pub fn store<'i, S: Stored>(
        &self,
        item: &Item<'_>,
        number: usize,
        lent: &Lent<'_, S>,
        layer: usize,
        tokens: impl Fn(usize) -> [ArrayView3<'i, f32>; 2],
    ) -> Result<(), Error> {
        let Store { span, head, tokens: ref range } = self.stores[number];
        let it = self.spans[span];
        let page = range.start / lent.layout.tokens();
        let (width, first) = (self.heads.width, page * lent.layout.tokens());
        let [keys, values] = tokens(span);
        let mut place = lent.write(item, it.sequence, page, (layer, head));
        with_scratch(TILE * width, |narrow: &mut [S]| {
            with_scratch(2 * TILE * width, |copies: &mut [f32]| {
                let mut token = range.start;
                while token < range.end {
                    let end = range.end.min((token / TILE + 1) * TILE);
                    let mut copies = copies.chunks_exact_mut(width);
                    let tokens = token - it.first..end - it.first;
                    let keys = contiguous(keys, tokens.clone(), head, &mut copies);
                    let values = contiguous(values, tokens, head, &mut copies);
                    lent.layout.store(&mut place, token - first, &keys, &values, narrow);
                    token = end;
                }
            })
        })??;
        Ok(())
    }

    /// Attends for item `number`. `queries` are by query of the span, head and number; `place` is where the results
    /// of one of them go, of all heads that share a head of keys, each contiguous.
    ///
    /// # Errors
    ///
    /// If memory runs out.
    #[expect(clippy::too_many_arguments, reason = "what it reads, and where its results go")]
    pub fn attend<'i, S: Stored>(
        &self,
        item: &'i Item<'_>,
        number: usize,
        isa: Isa,
        lent: &Lent<'_, S>,
        layer: usize,
        (partials, rows): (&'i Shared<'_, f32>, Cut),
        queries: impl Fn(usize) -> ArrayView3<'i, f32>,
        place: impl Fn(usize, usize, usize) -> ArrayViewMut2<'i, f32>,
    ) -> Result<(), Error> {
        let work = &self.works[number];
        let (it, group, width) = (self.spans[work.span], self.heads.group(), self.heads.width);
        let (layout, kernel) = (lent.layout, S::attention(isa));
        let rows_here = work.queries.len() * group;
        let state_len = State::len(rows_here, layout);
        let lengths = [rows_here * width, Attention::<S>::scratch(rows_here), state_len, state_len];
        with_scratch(lengths.iter().sum(), |scratch: &mut [f32]| {
            let (scaled, rest) = scratch.split_at_mut(lengths[0]);
            let (scores, rest) = rest.split_at_mut(lengths[1]);
            let (memory, united) = rest.split_at_mut(state_len);
            let from = queries(work.span);
            let mut to = scaled.chunks_exact_mut(width);
            for i in work.queries.clone() {
                for (head, to) in (work.head * group..(work.head + 1) * group).zip(&mut to) {
                    let query = row(from, (i, head));
                    to.iter_mut().zip(query).for_each(|(to, q)| *to = q * self.heads.scale);
                }
            }
            let mut piece;
            let memory = if let Some(partial) = work.partial {
                piece = partials.piece(item, rows, partial);
                &mut piece.as_slice_mut().unwrap_or_default()[..state_len]
            } else {
                memory
            };
            let mut all = State::of(united, rows_here, layout);
            all.clear();
            let (tokens, keys) = (layout.tokens(), &work.keys);
            for chunk in keys.start / CHUNK..keys.end.div_ceil(CHUNK) {
                let keys = keys.start.max(chunk * CHUNK)..keys.end.min((chunk + 1) * CHUNK);
                let mut state = State::of(memory, rows_here, layout);
                state.clear();
                for page in keys.start / tokens..keys.end.div_ceil(tokens) {
                    let here = keys.start.max(page * tokens)..keys.end.min((page + 1) * tokens);
                    let seen = |i: usize| {
                        let seen = it.seen(i, &self.heads);
                        let local =
                            |token: usize| token.clamp(here.start, here.end) - page * tokens;
                        local(seen.start)..local(seen.end)
                    };
                    let seen =
                        work.queries.clone().flat_map(|i| std::iter::repeat_n(seen(i), group));
                    let seen: Vec<Range<usize>> = seen.collect();
                    let page = lent.read(item, it.sequence, page, (layer, work.head));
                    kernel.attend(layout, page, scaled, &seen, state.reborrow(), scores);
                }
                if work.partial.is_none() {
                    all.unite(memory, layout);
                }
            }
            if work.partial.is_none() {
                let place = |i| place(work.span, work.queries.start + i, work.head);
                finish(&all, work.queries.len(), group, place);
            }
        })?;
        Ok(())
    }

    /// Unites the states of item `number`.
    ///
    /// # Errors
    ///
    /// If memory runs out.
    pub fn unite<'i>(
        &self,
        item: &'i Item<'_>,
        number: usize,
        partials: &'i Shared<'_, f32>,
        place: impl Fn(usize, usize, usize) -> ArrayViewMut2<'i, f32>,
    ) -> Result<(), Error> {
        let union = &self.unions[number];
        let group = self.heads.group();
        let (rows, layout) = (union.queries * group, Layout::new(self.heads.width, 16));
        let length = State::len(rows, layout);
        let states = partials.read(item);
        with_scratch(length, |memory: &mut [f32]| {
            let mut state = State::of(memory, rows, layout);
            state.clear();
            for partial in union.partials.clone() {
                let other = states.row(partial).to_slice().unwrap_or_default();
                state.unite(&other[..length], layout);
            }
            let place = |i| place(union.span, i, union.head);
            finish(&state, union.queries, group, place);
        })?;
        Ok(())
    }
}

/// The numbers of one token and one head.
fn row(x: ArrayView3<'_, f32>, (token, head): (usize, usize)) -> ArrayView1<'_, f32> {
    x.index_axis_move(Axis(0), token).index_axis_move(Axis(0), head)
}

/// The rows of some tokens: each as it lies, or its copy in the next of the places.
fn contiguous<'a>(
    x: ArrayView3<'a, f32>,
    tokens: Range<usize>,
    head: usize,
    places: &mut ChunksExactMut<'a, f32>,
) -> Vec<&'a [f32]> {
    let mut rows = Vec::with_capacity(tokens.len());
    for token in tokens {
        let row = row(x, (token, head));
        rows.push(row.to_slice().unwrap_or_else(|| {
            let place = places.next().unwrap_or_default();
            place.iter_mut().zip(row).for_each(|(to, from)| *to = *from);
            place
        }));
    }
    rows
}

/// Sends the results of some queries to their places.
fn finish<'i>(
    state: &State<'_>,
    queries: usize,
    group: usize,
    place: impl Fn(usize) -> ArrayViewMut2<'i, f32>,
) {
    for i in 0..queries {
        let mut place = place(i);
        for (head, mut to) in place.rows_mut().into_iter().enumerate() {
            state.finish(i * group + head, to.as_slice_mut().unwrap_or_default());
        }
    }
}
