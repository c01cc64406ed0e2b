//! A region: one call's work in phases, each of which needs what the one before it made.
//!
//! The caller begins at once and workers join in while it lasts, as in `team`. The items of a phase are
//! given out by [`Phases`]; the next phase begins when all items are done, by the hands of whoever did the last
//! one. So there is no barrier: nobody waits for a thread that does not come, and to go on costs a few
//! exchanges of a cache line between the threads that do.
//!
//! Buffers that one phase writes and another reads are [`Shared`](crate::Shared): the [`Item`] that a program
//! is given is what it reaches them with.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ndarray::ArrayViewMut2;

use crate::checkpoint::Checkpoint;
use crate::cpus::CpuSet;
use crate::interrupt::{Interrupt, Interrupted};
use crate::phases::{END, Phases};
use crate::shared::Shared;
use crate::stats::Counters;
use crate::team::{self, Tally};

/// Looks at the phase before a member lets others have its CPU: some tens of microseconds.
const LOOKS: u32 = 1000;

/// Times that it lets them before it sleeps in between.
const YIELDS: u32 = 500;

/// How long it sleeps then: little beside an item that takes so long.
const NAP: Duration = Duration::from_micros(100);

/// Work in phases.
pub trait Program: Sync {
    /// How many phases there are.
    fn phases(&self) -> usize;

    /// How many items the phase has. It may have none.
    fn items(&self, phase: usize) -> usize;

    /// Does an item. Those of one phase are done in any order and at once, all of them after those of the phases
    /// before.
    fn run(&self, item: &Item<'_>);
}

/// Which item of which phase is being done, and the right to reach the region's buffers meanwhile.
#[derive(Debug)]
pub struct Item<'a> {
    phase: usize,
    number: usize,
    checkpoint: Checkpoint<'a>,
    pub(crate) region: u64,
    /// The phase, by a number that no other phase of any region has.
    pub(crate) epoch: u64,
}

impl<'a> Item<'a> {
    /// The phase, from 0.
    #[must_use]
    pub fn phase(&self) -> usize {
        self.phase
    }

    /// The item's number in its phase, from 0.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// How an item that takes long learns that it should stop.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint<'a> {
        self.checkpoint
    }
}

/// A region that has not begun.
#[derive(Debug)]
pub struct Region {
    id: u64,
}

impl Default for Region {
    fn default() -> Self {
        Self::new()
    }
}

impl Region {
    /// Phases that a region can have.
    pub const MOST_PHASES: usize = Phases::LAST as usize;
    /// Items that a phase can have.
    pub const MOST_ITEMS: usize = Phases::MOST_ITEMS;

    /// A region, which knows its buffers from those of others.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Lends a buffer to the items of this region.
    ///
    /// # Panics
    ///
    /// If its rows or columns run backwards.
    #[must_use]
    pub fn share<'b, T: Send + Sync>(&self, buffer: ArrayViewMut2<'b, T>) -> Shared<'b, T> {
        Shared::new(self.id, buffer)
    }

    /// Runs the program on the calling thread and up to `threads - 1` workers, which are where `places` says,
    /// as for [`for_each_in`](crate::for_each_in). With `threads` equal to 1, with at most one item in
    /// every phase, and from inside another call's work, it is the plain loop.
    ///
    /// # Errors
    ///
    /// If `interrupt` was due before all was done. Nothing is said then about what was.
    ///
    /// # Panics
    ///
    /// If the program does, with the same payload, after all threads have left the region. If it has more
    /// than [`MOST_PHASES`](Self::MOST_PHASES), or a phase more than [`MOST_ITEMS`](Self::MOST_ITEMS).
    pub fn run<P: Program>(
        self,
        places: Option<&[CpuSet]>,
        threads: usize,
        interrupt: &Interrupt<'_>,
        program: &P,
    ) -> Result<(), Interrupted> {
        let phases = program.phases();
        assert!(phases <= Self::MOST_PHASES, "{phases} phases");
        let items = (0..phases).map(|phase| program.items(phase));
        let (all, widest) = items.fold((0, 0), |(all, widest), n| (all + n, n.max(widest)));
        assert!(widest <= Self::MOST_ITEMS, "{widest} items");
        let order = Order { region: self.id, epoch: epochs(phases), phases, program };
        let threads = threads.min(widest);
        if threads <= 1 || team::is_at_work() {
            let stop = AtomicBool::new(false);
            return order.alone(Checkpoint::new(&stop, interrupt));
        }
        let Some(first) = order.from(0) else { return Ok(()) };
        let shared = Phases::new(threads);
        shared.begin(first.0, first.1);
        team::call(places, threads, all, interrupt, |member, counters, checkpoint| {
            order.take_part(&shared, member, counters, checkpoint)
        })
    }
}

/// The first of so many numbers that no other phase has.
fn epochs(phases: usize) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(phases as u64, Ordering::Relaxed)
}

/// A program that is run.
struct Order<'a, P> {
    region: u64,
    /// Of phase 0.
    epoch: u64,
    phases: usize,
    program: &'a P,
}

impl<P: Program> Order<'_, P> {
    fn item<'c>(&self, phase: usize, number: usize, checkpoint: Checkpoint<'c>) -> Item<'c> {
        let (region, epoch) = (self.region, self.epoch + phase as u64);
        Item { phase, number, checkpoint, region, epoch }
    }

    fn alone(&self, checkpoint: Checkpoint<'_>) -> Result<(), Interrupted> {
        for phase in 0..self.phases {
            for number in 0..self.program.items(phase) {
                self.program.run(&self.item(phase, number, checkpoint));
                if checkpoint.reached() {
                    return Err(Interrupted);
                }
            }
        }
        Ok(())
    }

    /// The first phase from `phase` on that has items, by its number in [`Phases`], and how many.
    fn from(&self, phase: usize) -> Option<(u32, usize)> {
        let items = (phase..self.phases).map(|phase| (phase, self.program.items(phase)));
        let (phase, items) = items.into_iter().find(|&(_, items)| items > 0)?;
        #[expect(clippy::cast_possible_truncation, reason = "`run` has seen that they are few")]
        Some((phase as u32 + 1, items))
    }

    /// What a member does, until the region is over or stopped. Returns how long it waited.
    fn take_part(
        &self,
        shared: &Phases,
        member: usize,
        counters: &Counters,
        checkpoint: Checkpoint<'_>,
    ) -> Duration {
        let mut tally = Tally::new(counters);
        let mut waited = Duration::ZERO;
        let mut phase = shared.now();
        while phase != END {
            let mut count = 0;
            while !checkpoint.reached() {
                let Some(claim) = shared.claim(phase, member) else { break };
                tally.count(claim.is_stolen);
                self.program.run(&self.item(phase as usize - 1, claim.item, checkpoint));
                count += 1;
            }
            if checkpoint.is_set() {
                break;
            }
            if shared.done(count) {
                match self.from(phase as usize) {
                    Some((next, items)) => shared.begin(next, items),
                    None => shared.end(),
                }
            }
            match next(shared, phase, checkpoint, &mut waited) {
                Some(next) => phase = next,
                None => break,
            }
        }
        waited
    }
}

/// Waits for the phase after `phase`; nothing, if the region is stopped.
fn next(
    shared: &Phases,
    phase: u32,
    checkpoint: Checkpoint<'_>,
    waited: &mut Duration,
) -> Option<u32> {
    for _ in 0..LOOKS {
        let now = shared.now();
        if now != phase {
            return Some(now);
        }
        if checkpoint.is_set() {
            return None;
        }
        std::hint::spin_loop();
    }
    let begin = Instant::now();
    let mut yields = 0;
    let next = loop {
        if checkpoint.reached() {
            break None;
        }
        let now = shared.now();
        if now != phase {
            break Some(now);
        }
        if yields < YIELDS {
            yields += 1;
            thread::yield_now();
        } else {
            thread::sleep(NAP);
        }
    };
    *waited += begin.elapsed();
    next
}

#[cfg(test)]
mod tests;
