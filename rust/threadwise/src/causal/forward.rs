//! What comes is cut into chunks, each of which is a region.

use std::ops::Range;

use ndarray::{Array2, ArrayViewMut2, Axis};
use threadwise_runtime::with_scratch;

use super::CausalLm;
use super::cache::{Cache, Pages, each};
use super::inputs::{Inputs, Memory, Width};
use super::program::{Begin, Blocks, Chunk, TOGETHER};
use super::rows::{Cuts, Room, Rows};
use super::sizes::Sizes;
use crate::error::Shape;
use crate::nn::attention::{Heads, KvCache, Schedule, Span};
use crate::phased::Region;
use crate::work::{Choice, Kind, Load, calibration};
use crate::{Context, Error, Stored};

/// Tokens of a chunk, at most.
pub(super) const CHUNK: usize = 256;

/// What comes in: for each sequence, one after the other.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Its tokens.
    Ids(&'a [&'a [usize]]),
    /// What the layers before made of them, a row of `hidden_size` numbers for each, and how many tokens each sequence
    /// has.
    Hidden(&'a [f32], &'a [usize]),
}

/// Of which tokens logits are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All.
    All,
    /// The last one of each sequence.
    Last,
}

/// Sums over the ranks that share layers.
pub trait Reduce: Sync {
    /// Makes each number the sum of those of all ranks; rows have `columns` numbers. All ranks call it as often, with as
    /// many numbers.
    ///
    /// # Errors
    ///
    /// If there is no sum, because another rank failed.
    fn sum(&self, numbers: &mut [f32], columns: usize) -> Result<(), Error>;
}

impl Input<'_> {
    fn counts(&self) -> Vec<usize> {
        match self {
            Self::Ids(ids) => ids.iter().map(|ids| ids.len()).collect(),
            Self::Hidden(_, counts) => counts.to_vec(),
        }
    }
}

/// Tokens of one sequence in a chunk.
pub(super) struct Piece {
    pub(super) slot: usize,
    pub(super) sequence: usize,
    /// Which tokens of the sequence, of those that come.
    pub(super) tokens: Range<usize>,
    /// Whether no more come.
    pub(super) is_end: bool,
}

impl CausalLm {
    /// Rows of [`CausalLm::forward`]'s result.
    #[must_use]
    pub fn rows(&self, counts: &[usize], wanted: Wanted) -> usize {
        if self.is_last() && wanted == Wanted::Last { counts.len() } else { counts.iter().sum() }
    }

    /// Takes tokens of some sequences, each in its slot of the cache, to which they are appended, and writes a row of
    /// logits for each that is wanted; or, without the last layer, of what its layers give for each.
    ///
    /// # Errors
    ///
    /// If what is passed does not fit the model or the cache (then nothing has changed); if memory runs out, the
    /// context's interrupt is due, or there is no sum over ranks: then the cache has the chunks that were done.
    #[expect(clippy::too_many_arguments, reason = "what goes in, and where what comes out goes")]
    pub fn forward(
        &self,
        input: Input<'_>,
        slots: &[usize],
        cache: &mut Cache,
        wanted: Wanted,
        mut out: ArrayViewMut2<'_, f32>,
        reduce: Option<&dyn Reduce>,
        context: &Context<'_>,
    ) -> Result<(), Error> {
        let counts = input.counts();
        self.check(input, &counts, slots, cache)?;
        let expected = [self.rows(&counts, wanted), self.outputs()];
        if out.shape() != expected {
            let (actual, expected) = (Shape::from(out.shape()), Shape(expected.to_vec()));
            return Err(Error::Out { actual, expected });
        }
        let mut token = 0;
        for chunk in chunks(&counts, slots) {
            let count: usize = chunk.iter().map(|piece| piece.tokens.len()).sum();
            let picked = picked(&chunk, wanted);
            let rows = match (self.is_last(), wanted) {
                (true, Wanted::Last) => {
                    let ends = chunk.iter().filter(|piece| piece.is_end);
                    let first = ends.map(|piece| piece.sequence).next().unwrap_or(0);
                    first..first + picked.len()
                }
                _ => token..token + count,
            };
            let ids: Vec<usize>;
            let begin = match input {
                Input::Ids(all) => {
                    let some = chunk.iter().flat_map(|it| &all[it.sequence][it.tokens.clone()]);
                    ids = some.copied().collect();
                    Begin::Ids(&ids)
                }
                Input::Hidden(hidden, _) => {
                    let d = self.shape.hidden_size;
                    Begin::Hidden(&hidden[token * d..(token + count) * d])
                }
            };
            let out = out.slice_axis_mut(Axis(0), rows.into());
            each!(&mut cache.pages, pages =>
                self.chunk(begin, &chunk, pages, &picked, out, reduce, context))?;
            token += count;
        }
        Ok(())
    }

    /// Refuses what does not fit the model or the cache.
    pub(super) fn check(
        &self,
        input: Input<'_>,
        counts: &[usize],
        slots: &[usize],
        cache: &Cache,
    ) -> Result<(), Error> {
        let refuse = |name, actual, expected: String| Err(Error::Count { name, actual, expected });
        if cache.shape() != Cache::shape_for(self) {
            let expected = "that of a cache of this model".to_owned();
            return refuse("the number of layers of the cache", cache.shape().layers, expected);
        }
        if counts.len() != slots.len() {
            let expected = format!("{}, one for each sequence", counts.len());
            return refuse("the number of slots", slots.len(), expected);
        }
        for (sequence, (&count, &slot)) in counts.iter().zip(slots).enumerate() {
            if count == 0 {
                let expected = format!("at least 1 for sequence {sequence}");
                return refuse("the number of tokens", 0, expected);
            }
            let length = cache.length(slot)?;
            if slots[..sequence].contains(&slot) {
                return refuse("slot", slot, "one that no other sequence has".to_owned());
            }
            let most = cache.max_context();
            if length + count > most {
                let expected = format!(
                    "at most {most}, the max_context of the cache, for sequence {sequence}: {length} tokens \
                     before and {count} more"
                );
                return refuse("the number of tokens", length + count, expected);
            }
        }
        match input {
            Input::Ids(_) if !self.is_first() => {
                let expected =
                    "0: the first layer takes tokens, the others what it gives".to_owned();
                refuse("the first layer", self.part.layers.start, expected)
            }
            Input::Ids(ids) => {
                let most = self.shape.vocab_size;
                for (sequence, ids) in ids.iter().enumerate() {
                    if let Some((at, &id)) = ids.iter().enumerate().find(|(_, id)| **id >= most) {
                        let expected = format!(
                            "less than {most}, the size of the vocabulary, at {at} of sequence {sequence}"
                        );
                        return refuse("the token", id, expected);
                    }
                }
                Ok(())
            }
            Input::Hidden(hidden, _) => {
                let rows: usize = counts.iter().sum();
                if self.is_first() {
                    let expected = "more than 0: the first layer takes tokens".to_owned();
                    return refuse("the first layer", 0, expected);
                }
                if hidden.len() != rows * self.shape.hidden_size {
                    let expected = Shape(vec![rows, self.shape.hidden_size]);
                    let actual = Shape(vec![hidden.len()]);
                    return Err(Error::Part { name: "hidden", actual, expected });
                }
                Ok(())
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what goes in, and where what comes out goes")]
    fn chunk<S: Stored>(
        &self,
        begin: Begin<'_>,
        pieces: &[Piece],
        pages: &mut KvCache<S>,
        picked: &[usize],
        out: ArrayViewMut2<'_, f32>,
        reduce: Option<&dyn Reduce>,
        context: &Context<'_>,
    ) -> Result<(), Error> {
        let (mut spans, mut places, mut angles) = (Vec::new(), Vec::new(), Vec::new());
        let mut tokens = 0;
        for piece in pieces {
            let (first, count) = (pages.length(piece.slot), piece.tokens.len());
            pages.reserve(piece.slot, count)?;
            spans.push(Span { sequence: piece.slot, first, count, queries: count });
            places.push(tokens..tokens + count);
            tokens += count;
            let e = self.shape.head_dim;
            let from = angles.len();
            angles.resize(from + count * e, 0.0);
            for (position, to) in (first..).zip(angles[from..].chunks_exact_mut(e)) {
                let (cos, sin) = to.split_at_mut(e / 2);
                self.frequencies.fill(position, cos, sin);
            }
        }
        let angles = Array2::from_shape_vec((tokens, self.shape.head_dim), angles);
        let angles = angles.unwrap_or_else(|_| unreachable!("a row for each token"));
        let heads = Heads {
            heads: self.heads.heads.len(),
            kv_heads: self.heads.kv.len(),
            width: self.shape.head_dim,
            scale: (self.shape.head_dim as f32).sqrt().recip(),
            is_causal: true,
            window: self.shape.window,
        };
        let schedule = Schedule::new(heads, spans, pages.page());
        let sizes = Sizes::new(self, tokens, picked.len(), schedule.partials());
        let threads = self.threads(tokens, picked.len(), context);
        let (floats, words) = sizes.all();
        with_scratch(floats, |floats: &mut [f32]| {
            with_scratch(words, |words: &mut [u32]| {
                let mut memory = Memory { floats: Room::new(floats), words: Room::new(words) };
                let region = Region::new();
                let blocks = Blocks::new(self, tokens, picked.len());
                let mut buffer = |dim, columns| {
                    Rows::new(&region, memory.floats.take(dim), Cuts { rows: TOGETHER, columns })
                };
                let x = buffer(sizes.x, sizes.x.1);
                let delta = buffer(sizes.x, blocks.hidden);
                let q = buffer(sizes.q, blocks.heads * self.shape.head_dim);
                let mut inputs = |rows, width: Width, columns| {
                    let cuts = Cuts { rows: TOGETHER, columns };
                    Inputs::new(&region, &mut memory, rows, width, cuts, (self.coding, context.isa))
                };
                let normed = inputs(tokens, sizes.normed, sizes.normed.all);
                let ready =
                    self.coding.map(|_| inputs(tokens, sizes.ready, sizes.ready.all.max(1)));
                let gated = inputs(tokens, sizes.gated, blocks.ffn);
                let last = inputs(picked.len(), sizes.normed, sizes.normed.all);
                let mut room = memory.floats;
                let mut attended = region.share(room.take(sizes.q));
                let places_of = attended.cut(1, (self.heads.group * self.shape.head_dim).max(1));
                let mut partials = region.share(room.take(sizes.partials));
                let partial = partials.cut(1, sizes.partials.1.max(1));
                let out =
                    Rows::new(&region, out, Cuts { rows: TOGETHER, columns: blocks.vocabulary });
                let chunk = Chunk {
                    model: self,
                    isa: context.isa,
                    begin,
                    angles: &angles,
                    schedule,
                    lent: pages.lend(&region),
                    spans: &places,
                    blocks,
                    x,
                    delta,
                    normed,
                    q,
                    attended,
                    places: places_of,
                    partials,
                    partial,
                    ready,
                    gated,
                    picked,
                    last,
                    out,
                    reduce,
                };
                context.run(region, threads, &chunk)
            })?
        })??;
        for piece in pieces {
            pages.advance(piece.slot, piece.tokens.len());
        }
        Ok(())
    }

    /// Threads that so many tokens are worth.
    fn threads(&self, tokens: usize, picked: usize, context: &Context<'_>) -> usize {
        let per_token: usize = self.layers.iter().map(super::Layer::multiply_adds).sum();
        let logits = self.head.as_ref().map_or(0, |head| picked * head.weight.elements());
        let load = Load {
            kind: Kind::Float32,
            multiply_adds: (tokens * per_token + logits) as f64,
            read: self.bytes() as f64,
            written: 0.0,
        };
        let (machine, _) = calibration::current(context.isa);
        Choice::for_call(&machine, load, context.threads, usize::MAX).threads
    }
}

/// Which of a chunk's tokens logits are wanted of.
fn picked(chunk: &[Piece], wanted: Wanted) -> Vec<usize> {
    let mut picked = Vec::new();
    let mut first = 0;
    for piece in chunk {
        let end = first + piece.tokens.len();
        match wanted {
            Wanted::All => picked.extend(first..end),
            Wanted::Last if piece.is_end => picked.push(end - 1),
            Wanted::Last => {}
        }
        first = end;
    }
    picked
}

/// The tokens of all sequences, one after the other, in chunks.
pub(super) fn chunks(counts: &[usize], slots: &[usize]) -> Vec<Vec<Piece>> {
    let (mut chunks, mut chunk, mut room) = (Vec::new(), Vec::new(), CHUNK);
    for (sequence, (&count, &slot)) in counts.iter().zip(slots).enumerate() {
        let mut first = 0;
        while first < count {
            let end = count.min(first + room);
            chunk.push(Piece { slot, sequence, tokens: first..end, is_end: end == count });
            room -= end - first;
            first = end;
            if room == 0 {
                chunks.push(std::mem::take(&mut chunk));
                room = CHUNK;
            }
        }
    }
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
    chunks
}
