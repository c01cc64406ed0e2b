//! Work in phases, which share one set of threads: a region of the runtime, whose items may fail.

use std::sync::{Mutex, PoisonError};

pub use threadwise_runtime::{Cut, Item, Region, Shared};

use crate::work::places;
use crate::{Context, Error};

/// Work in phases, each of which needs what the one before it made.
pub trait Phased: Sync {
    /// How many phases there are.
    fn phases(&self) -> usize;

    /// How many items the phase has. It may have none.
    fn items(&self, phase: usize) -> usize;

    /// Does an item. Those of one phase are done in any order and at once, all of them after those of the phases
    /// before.
    ///
    /// # Errors
    ///
    /// What kept it from being done; the others are done all the same.
    fn run(&self, item: &Item<'_>) -> Result<(), Error>;
}

/// Notes the first error.
struct Noted<'a, P> {
    work: &'a P,
    error: Mutex<Option<Error>>,
}

impl<P: Phased> threadwise_runtime::Program for Noted<'_, P> {
    fn phases(&self) -> usize {
        self.work.phases()
    }

    fn items(&self, phase: usize) -> usize {
        self.work.items(phase)
    }

    fn run(&self, item: &Item<'_>) {
        if let Err(error) = self.work.run(item) {
            self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}

impl Context<'_> {
    /// Does all the work, on up to `threads` threads, which are where the caller wants them. `region` is the one
    /// whose buffers it uses.
    ///
    /// # Errors
    ///
    /// The first of an item; if the caller's hint names a node without CPUs (then nothing is done), or the
    /// interrupt is due.
    pub fn run<P: Phased>(&self, region: Region, threads: usize, work: &P) -> Result<(), Error> {
        let hint = self.distribution.and_then(|distribution| distribution.numa());
        let places = hint.map(|hint| places(hint, threads)).transpose()?;
        let noted = Noted { work, error: Mutex::new(None) };
        region.run(places.flatten().as_deref(), threads, &self.interrupt, &noted)?;
        noted.error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}
