//! Layers that ranks share, each of which is a thread.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use ndarray::ArrayViewMut2;
use threadwise_runtime::Interrupt;

use super::batches::Batch;
use super::{Share, Stage};
use crate::causal::{Input, Reduce, Wanted};
use crate::shard::{Communicator, TensorParallelConfig, ThreadComm};
use crate::{Context, Error};

/// Takes a micro-batch through the layers of a stage.
pub(super) fn through(
    stage: &mut Stage<'_>,
    batch: &mut Batch<'_>,
    wanted: Wanted,
    context: &Context<'_>,
) -> Result<(), Error> {
    for span in stage {
        batch.numbers = match span.as_mut_slice() {
            [alone] => forward(alone, batch, wanted, None, context)?,
            shares => together(shares, batch, wanted, context)?,
        };
    }
    Ok(())
}

/// What a share makes of a micro-batch.
fn forward(
    share: &mut Share<'_>,
    batch: &Batch<'_>,
    wanted: Wanted,
    reduce: Option<&dyn Reduce>,
    context: &Context<'_>,
) -> Result<Vec<f32>, Error> {
    let model = share.model;
    let (rows, columns) = (model.rows(&batch.counts, wanted), model.outputs());
    let mut numbers = Vec::new();
    let room = numbers.try_reserve_exact(rows * columns);
    room.map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
    numbers.resize(rows * columns, 0.0);
    let out = ArrayViewMut2::from_shape((rows, columns), &mut numbers);
    let out = out.unwrap_or_else(|_| unreachable!("as many numbers"));
    let input = if model.is_first() {
        Input::Ids(&batch.ids)
    } else {
        Input::Hidden(&batch.numbers, &batch.counts)
    };
    model.forward(input, &batch.slots, share.cache, wanted, out, reduce, context)?;
    Ok(numbers)
}

/// What all ranks together make of it. The first is the calling thread, which alone may ask whether to stop, and tells
/// the others; who fails stops the others at their next sum.
fn together(
    shares: &mut [Share<'_>],
    batch: &Batch<'_>,
    wanted: Wanted,
    context: &Context<'_>,
) -> Result<Vec<f32>, Error> {
    let (isa, all, count) = (context.isa, context.threads, shares.len());
    let (error, is_due) = (Mutex::new(None), AtomicBool::new(false));
    // A rank that panics is dropped with its `comm`, and then the others do not wait for it.
    let work = |comm: ThreadComm, share: &mut Share<'_>, interrupt: Interrupt<'_>| {
        let config = TensorParallelConfig::new(count, comm.rank());
        let threads = config.map_or(1, |config| config.local_size(all)).max(1);
        let context = Context { isa, threads, interrupt, distribution: None };
        let keep = |mine| {
            let mut error = error.lock().unwrap_or_else(PoisonError::into_inner);
            // Before the others hear of it: what they say then is a consequence.
            error.get_or_insert(mine);
            comm.stop();
        };
        forward(share, batch, wanted, Some(&Sum(&comm)), &context).map_err(keep).ok()
    };
    let (work, is_due) = (&work, &is_due);
    let first = std::thread::scope(|scope| {
        let mut ranks = ThreadComm::world(count).into_iter().zip(shares);
        let first = ranks.next();
        let others: Vec<_> = ranks
            .map(|(comm, share)| scope.spawn(move || work(comm, share, Interrupt::told(is_due))))
            .collect();
        let first = first.map(|(comm, share)| work(comm, share, context.interrupt.telling(is_due)));
        for other in others {
            other.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        first
    });
    match error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(first.flatten().unwrap_or_default()),
    }
}

/// The sum over ranks that are threads.
struct Sum<'a>(&'a ThreadComm);

impl Reduce for Sum<'_> {
    fn sum(&self, numbers: &mut [f32], _columns: usize) -> Result<(), Error> {
        self.0.all_reduce_in_place(numbers)
    }
}
