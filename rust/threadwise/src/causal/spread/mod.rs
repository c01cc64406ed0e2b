//! A model in parts: stages, one behind the other, whose layers ranks share.
//!
//! Each stage has threads of its own and works on another micro-batch: some tokens of a prompt, or of some sequences.
//! Each rank has its heads and its columns of every layer of the stage, and the keys and values of those heads;
//! what ranks compute of a row is summed in their order.
//!
//! **Bits.** Those of one stage for any number of stages and micro-batches: `batches` cuts only where a row
//! is computed as it would be without the cut. Ranks add in an order of their own, and give the same bits on every
//! run; another number of them differs by rounding.
//!
//! `batches` says what passes through together, `ranks` computes layers that ranks share.

mod batches;
mod ranks;

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use ndarray::{ArrayViewMut2, Axis};
use threadwise_runtime::Interrupt;

use super::{Cache, CausalLm, Input, Wanted};
use crate::error::Shape;
use crate::shard::TensorParallelConfig;
use crate::shard::pipeline::{self, PipelineConfig, PipelineReport};
use crate::{Context, Error};
use batches::Batch;

/// A rank's share of some layers, and of the keys and values that they keep.
#[derive(Debug)]
pub struct Share<'a> {
    /// The layers.
    pub model: &'a CausalLm,
    /// What they have seen.
    pub cache: &'a mut Cache,
}

/// Layers that follow one another: the share of each rank.
pub type Span<'a> = Vec<Share<'a>>;

/// Spans that follow one another, computed by one group of threads.
pub type Stage<'a> = Vec<Span<'a>>;

/// Takes tokens of some sequences through all stages, as [`CausalLm::forward`] does through all layers, and says
/// what that took. The context's threads are shared out to stages, and in each to its ranks; where stages do not
/// work at the same time, because there is one micro-batch only or the configuration says so, each has them all.
///
/// # Errors
///
/// If the stages are not all of a model, or what is passed does not fit it (then nothing has changed); the first
/// error of a rank or stage, after which the others begin nothing more; if the context's interrupt is due. Sequences
/// are then as they were before, or forgotten where a window has no room for what was.
pub fn forward(
    stages: &mut [Stage<'_>],
    ids: &[&[usize]],
    slots: &[usize],
    wanted: Wanted,
    mut out: ArrayViewMut2<'_, f32>,
    config: &PipelineConfig,
    context: &Context<'_>,
) -> Result<PipelineReport, Error> {
    let counts: Vec<usize> = ids.iter().map(|ids| ids.len()).collect();
    let first = expect_whole(stages)?;
    first.model.check(Input::Ids(ids), &counts, slots, first.cache)?;
    let rows = if wanted == Wanted::Last { counts.len() } else { counts.iter().sum() };
    let expected = [rows, first.model.shape().vocab_size];
    if out.shape() != expected {
        let (actual, expected) = (Shape::from(out.shape()), Shape(expected.to_vec()));
        return Err(Error::Out { actual, expected });
    }
    let lengths = expect_alike(stages, slots)?;
    let wish = match stages.len() {
        1 => 1,
        // Who reads all weights for few tokens reads them often.
        count => {
            config.num_micro_batches().min(count.max(counts.iter().sum::<usize>() / batches::LEAST))
        }
    };
    let batches = batches::cut(ids, slots, wanted, wish);
    let outcome = if config.async_execution && stages.len() > 1 && batches.len() > 1 {
        at_once(stages, batches, wanted, config, context)
    } else {
        in_turns(stages, batches, wanted, context)
    };
    if outcome.is_err() {
        for (&slot, &length) in slots.iter().zip(&lengths) {
            restore(stages, slot, length);
        }
    }
    let (batches, report) = outcome?;
    for batch in batches {
        for (from, &to) in batch.numbers.chunks_exact(expected[1]).zip(&batch.rows) {
            let Some(to) = to else { continue };
            let mut row = out.index_axis_mut(Axis(0), to);
            row.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
    }
    Ok(report)
}

/// Each stage on a thread of its own, with its part of the others.
fn at_once<'a>(
    stages: &mut [Stage<'_>],
    batches: Vec<Batch<'a>>,
    wanted: Wanted,
    config: &PipelineConfig,
    context: &Context<'_>,
) -> Result<(Vec<Batch<'a>>, PipelineReport), Error> {
    let (count, isa, is_due) = (stages.len(), context.isa, AtomicBool::new(false));
    let mut works = Vec::with_capacity(count);
    for (number, stage) in stages.iter_mut().enumerate() {
        let threads = TensorParallelConfig::new(count, number)?.local_size(context.threads).max(1);
        let is_due = &is_due;
        let work = move |mut batch: Batch<'a>| {
            let interrupt = Interrupt::told(is_due);
            let context = Context { isa, threads, interrupt, distribution: None };
            ranks::through(stage, &mut batch, wanted, &context)?;
            Ok(batch)
        };
        works.push(Box::new(work) as pipeline::Stage<'_, Batch<'a>, Error>);
    }
    // Only this thread may ask whether to stop; it tells the stages.
    let interrupt = context.interrupt.telling(&is_due);
    pipeline::run(&mut works, batches, config, Batch::bytes, &interrupt)
}

/// All stages on this thread and those that the context allows it.
fn in_turns<'a>(
    stages: &mut [Stage<'_>],
    mut batches: Vec<Batch<'a>>,
    wanted: Wanted,
    context: &Context<'_>,
) -> Result<(Vec<Batch<'a>>, PipelineReport), Error> {
    let begin = Instant::now();
    let (mut busy, mut peak_bytes) = (vec![Duration::ZERO; stages.len()], 0);
    for batch in &mut batches {
        for (stage, busy) in stages.iter_mut().zip(&mut busy) {
            let begin = Instant::now();
            ranks::through(stage, batch, wanted, context)?;
            *busy += begin.elapsed();
            peak_bytes = peak_bytes.max(batch.bytes());
        }
    }
    let (micro_batches, elapsed) = (batches.len(), begin.elapsed());
    Ok((batches, PipelineReport { micro_batches, elapsed, busy, peak_bytes }))
}

/// That the stages have all layers of a model, one after the other, and all ranks of each; the first share.
fn expect_whole<'s, 'a>(stages: &'s [Stage<'a>]) -> Result<&'s Share<'a>, Error> {
    let refuse = |name, actual, expected: String| Err(Error::Count { name, actual, expected });
    let mut next = 0;
    for span in stages.iter().flatten() {
        for (rank, share) in span.iter().enumerate() {
            let part = share.model.part();
            if part.world != span.len() {
                return refuse("the number of ranks", span.len(), part.world.to_string());
            }
            if part.rank != rank {
                return refuse("the rank of a share", part.rank, rank.to_string());
            }
            if part.layers.start != next {
                return refuse("the first layer of a share", part.layers.start, next.to_string());
            }
        }
        next = span.first().map_or(next, |share| share.model.part().layers.end);
    }
    let Some(first) = stages.iter().flatten().flatten().next() else {
        return refuse("the number of stages", 0, "at least 1, of at least one share".to_owned());
    };
    let layers = first.model.shape().layers;
    if next != layers {
        return refuse("the number of layers", next, layers.to_string());
    }
    Ok(first)
}

/// How long the sequences are, which all shares must have read alike.
fn expect_alike(stages: &[Stage<'_>], slots: &[usize]) -> Result<Vec<usize>, Error> {
    let mut lengths: Option<Vec<usize>> = None;
    for share in stages.iter().flatten().flatten() {
        let here: Result<Vec<usize>, Error> =
            slots.iter().map(|&slot| share.cache.length(slot)).collect();
        let (here, first) = (here?, lengths.take());
        for (&actual, &expected) in here.iter().zip(first.iter().flatten()) {
            if actual != expected {
                let (name, expected) =
                    ("the length of a sequence", format!("{expected}, as before"));
                return Err(Error::Count { name, actual, expected });
            }
        }
        lengths = Some(here);
    }
    Ok(lengths.unwrap_or_default())
}

/// Brings a sequence back to a length that it had.
fn restore(stages: &mut [Stage<'_>], slot: usize, length: usize) {
    let mut shares: Vec<_> = stages.iter_mut().flatten().flatten().collect();
    let is_restored = shares.iter_mut().all(|share| share.cache.truncate(slot, length).is_ok());
    if !is_restored {
        for share in shares {
            let _ = share.cache.free(slot);
        }
    }
}
