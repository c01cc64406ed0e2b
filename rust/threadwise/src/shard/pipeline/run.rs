//! Stages on threads, or in turns.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread::ScopedJoinHandle;

use threadwise_runtime::{Interrupt, Interrupted, budget};

use super::{Line, PipelineConfig, PipelineReport};
use crate::Error;
use crate::shard::TensorParallelConfig;

/// What is done with each micro-batch.
pub type Stage<'a, I, E> = Box<dyn FnMut(I) -> Result<I, E> + Send + 'a>;

/// Sends each micro-batch through all stages and returns them in the order in which they came.
///
/// Each stage has a thread, and all share the calling thread's budget of threads; or, where the configuration
/// says so, the caller's thread does it all. `bytes` says how large a micro-batch is.
///
/// # Errors
///
/// If there are no stages; the first error of a stage, after which no other begins anything; if `interrupt` is due.
pub fn run<I: Send, E: From<Error> + Send>(
    stages: &mut [Stage<'_, I, E>],
    batches: impl IntoIterator<Item = I>,
    config: &PipelineConfig,
    bytes: impl Fn(&I) -> usize + Sync,
    interrupt: &Interrupt<'_>,
) -> Result<(Vec<I>, PipelineReport), E> {
    let last = stages.len();
    // One that is worked on, and one that waits, so that nobody waits for a hand.
    let line = Line::new(last, 1, config.memory_budget())?;
    if config.async_execution {
        on_threads(stages, batches, &line, bytes, interrupt)?;
    } else {
        in_turns(stages, batches, &line, bytes, interrupt)?;
    }
    let results = line.results()?;
    Ok((results.into_iter().map(|(_, item)| item).collect(), line.report()))
}

fn on_threads<I: Send, E: From<Error> + Send>(
    stages: &mut [Stage<'_, I, E>],
    batches: impl IntoIterator<Item = I>,
    line: &Line<I>,
    bytes: impl Fn(&I) -> usize + Sync,
    interrupt: &Interrupt<'_>,
) -> Result<(), E> {
    let count = stages.len();
    let (threads, _) = budget::threads().map_err(Error::from)?;
    let (first, bytes) = (Mutex::new(None), &bytes);
    let fail = |error| {
        let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the others hear of it: what they say then is a consequence.
        first.get_or_insert(error);
        line.stop();
    };
    let work = |number: usize, stage: &mut Stage<'_, I, E>| {
        let guard = StopOnPanic(line);
        let share = TensorParallelConfig::new(count, number).map_or(1, |c| c.local_size(threads));
        let _ = budget::swap_context(NonZeroUsize::new(share.max(1)));
        let outcome = (|| {
            while let Some((id, item)) = line.take(number)? {
                let item = stage(item)?;
                let bytes = bytes(&item);
                line.give(number, id, item, bytes)?;
            }
            line.end(number + 1);
            Ok(())
        })();
        std::mem::forget(guard);
        outcome.unwrap_or_else(fail);
    };
    let mut is_due = false;
    std::thread::scope(|scope| {
        let work = &work;
        let spawn = |(number, stage)| scope.spawn(move || work(number, stage));
        let threads: Vec<ScopedJoinHandle<'_, ()>> =
            stages.iter_mut().enumerate().map(spawn).collect();
        let guard = StopOnPanic(line);
        let mut ask = || {
            is_due |= interrupt.is_due();
            is_due
        };
        let feed = (|| {
            for (id, item) in (0..).zip(batches) {
                let size = bytes(&item);
                line.feed(id, item, size, &mut ask)?;
            }
            line.end(0);
            line.wait_for_end(&mut ask)
        })();
        std::mem::forget(guard);
        // A stop has a reason, which is known by now or is the interruption.
        if feed.is_err() {
            line.stop();
        }
        for thread in threads {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
    match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
        _ if is_due => Err(Error::from(Interrupted).into()),
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Tick by tick: a micro-batch comes in, and each stage that has one does its work.
fn in_turns<I, E: From<Error>>(
    stages: &mut [Stage<'_, I, E>],
    batches: impl IntoIterator<Item = I>,
    line: &Line<I>,
    bytes: impl Fn(&I) -> usize,
    interrupt: &Interrupt<'_>,
) -> Result<(), E> {
    let mut batches = (0..).zip(batches).peekable();
    loop {
        if interrupt.is_due() {
            return Err(Error::from(Interrupted).into());
        }
        if let Some((id, item)) = batches.next_if(|(_, item)| line.has_room(bytes(item))) {
            let size = bytes(&item);
            line.feed(id, item, size, || false)?;
        }
        let mut is_idle = true;
        // The last one first, so that each has room for its result.
        for (number, stage) in stages.iter_mut().enumerate().rev() {
            if line.is_ready(number)
                && let Some((id, item)) = line.take(number)?
            {
                let item = stage(item)?;
                let size = bytes(&item);
                line.give(number, id, item, size)?;
                is_idle = false;
            }
        }
        if is_idle && batches.peek().is_none() {
            line.end(stages.len());
            return Ok(());
        }
    }
}

/// Stops the line if it is dropped, which a stage that panics does.
struct StopOnPanic<'a, I>(&'a Line<I>);

impl<I> Drop for StopOnPanic<'_, I> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
