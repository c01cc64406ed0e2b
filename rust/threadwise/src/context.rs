//! What an operation needs to know besides its operands.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use threadwise_kernels::Isa;
use threadwise_runtime::{Checkpoint, Interrupt, budget, for_each_then};

use crate::Error;
use crate::work::{WorkDistribution, places};

/// The instruction set, the number of threads and the way to be stopped.
pub struct Context<'a> {
    /// What kernels run on.
    pub isa: Isa,
    /// How many threads may take part, the caller among them: at least 1.
    pub threads: usize,
    /// Asked between pieces of work.
    pub interrupt: Interrupt<'a>,
    /// How the caller wants work to be cut, where it does not leave that to the operation.
    pub distribution: Option<WorkDistribution>,
}

impl Context<'_> {
    /// The same, with work cut as the caller wants it.
    #[must_use]
    pub fn distributed(&self, distribution: Option<WorkDistribution>) -> Context<'_> {
        let Self { isa, threads, ref interrupt, .. } = *self;
        Context { isa, threads, interrupt: interrupt.part(), distribution }
    }

    /// Calls `work` for each item, on up to `threads` threads, which are where the caller wants them.
    ///
    /// # Errors
    ///
    /// If the caller's hint names a node without CPUs (then nothing is done), or the interrupt is due.
    pub(crate) fn share<T: Send>(
        &self,
        items: &mut [T],
        threads: usize,
        work: impl Fn(&mut T, Checkpoint<'_>) + Sync,
    ) -> Result<(), Error> {
        self.share_then(items, threads, work, |_| ())
    }

    /// [`Context::share`] for work that can fail: one of the errors, if there are any. The other items are done all the
    /// same.
    ///
    /// # Errors
    ///
    /// As [`Context::share`], and as `work`.
    pub(crate) fn try_share<T: Send>(
        &self,
        items: &mut [T],
        threads: usize,
        work: impl Fn(&mut T, Checkpoint<'_>) -> Result<(), Error> + Sync,
    ) -> Result<(), Error> {
        let failure = Mutex::new(None);
        self.share(items, threads, |item, checkpoint| {
            if let Err(error) = work(item, checkpoint) {
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        })?;
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// [`Context::share`], where each thread that finds no item left calls `help` before it leaves.
    ///
    /// # Errors
    ///
    /// As [`Context::share`].
    pub(crate) fn share_then<T: Send>(
        &self,
        items: &mut [T],
        threads: usize,
        work: impl Fn(&mut T, Checkpoint<'_>) + Sync,
        help: impl Fn(Checkpoint<'_>) + Sync,
    ) -> Result<(), Error> {
        let hint = self.distribution.and_then(|distribution| distribution.numa());
        // As many as take part: each node should have some of few.
        let places = hint.map(|hint| places(hint, threads.min(items.len()))).transpose()?;
        let places = places.flatten();
        for_each_then(places.as_deref(), items, threads, &self.interrupt, work, help)?;
        Ok(())
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("isa", &self.isa).field("threads", &self.threads).finish()
    }
}

impl Context<'static> {
    /// One thread, and no interruption.
    #[must_use]
    pub const fn alone(isa: Isa) -> Self {
        Self { isa, threads: 1, interrupt: Interrupt::never(), distribution: None }
    }

    /// The widest instruction set allowed, the calling thread's budget, and no interruption.
    ///
    /// # Errors
    ///
    /// If an environment variable of threadwise has a value that makes no sense.
    pub fn new() -> Result<Self, Error> {
        let (threads, _) = budget::threads()?;
        Ok(Self {
            isa: Isa::current()?,
            threads,
            interrupt: Interrupt::never(),
            distribution: None,
        })
    }
}
