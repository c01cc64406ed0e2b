//! What a piece of work that takes long asks now and then.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::interrupt::Interrupt;
use crate::stats::Counters;

/// How a piece of work learns that it should stop.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint<'a> {
    stop: &'a AtomicBool,
    /// On the calling thread, what to ask.
    interrupt: Option<&'a Interrupt<'a>>,
    /// The thread's, if others take part.
    counters: Option<&'a Counters>,
}

impl<'a> Checkpoint<'a> {
    /// The calling thread's, which asks `interrupt`.
    pub(crate) fn new(stop: &'a AtomicBool, interrupt: &'a Interrupt<'a>) -> Self {
        Self { stop, interrupt: Some(interrupt), counters: None }
    }

    /// That of a member of a team, who counts what it does; `interrupt` is the caller's alone.
    pub(crate) fn of_member(
        stop: &'a AtomicBool,
        interrupt: Option<&'a Interrupt<'a>>,
        counters: &'a Counters,
    ) -> Self {
        Self { stop, interrupt, counters: Some(counters) }
    }

    /// Whether somebody has found that it is reached.
    pub(crate) fn is_set(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether to stop. To be asked every few milliseconds; it costs next to nothing.
    #[must_use]
    pub fn reached(&self) -> bool {
        if self.interrupt.is_some_and(Interrupt::is_due) {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.is_set()
    }

    /// Counts a part that the calling thread took of an item that another is at.
    pub fn count_taken(&self) {
        if let Some(counters) = self.counters {
            counters.taken(1);
        }
    }
}
