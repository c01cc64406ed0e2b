//! Ranks that wait for one another: how they sleep, how they are stopped, and how they find out that
//! nobody can go on.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use threadwise_runtime::topology;

use super::group::Group;
use crate::error::{Error, RankError};

/// Looks at what is waited for before a rank sleeps: some tens of microseconds.
const LOOKS: u32 = 1000;

/// The same where there are more ranks than CPUs: the others need this one's.
const YIELDS: u32 = 4;

/// How long a rank sleeps at most before it looks again.
const NAP: Duration = Duration::from_millis(50);

/// The ranks that were made together, and all groups that they split into.
pub(super) struct Family {
    states: Mutex<Vec<State>>,
    /// Rung when something has changed that a sleeper may be waiting for.
    bell: Condvar,
    sleepers: AtomicUsize,
    end: OnceLock<RankError>,
    /// Whether each rank may have a CPU to itself.
    have_cpus: bool,
}

/// What a rank is doing, as far as others need to know.
enum State {
    Working,
    Waiting(Wait),
    Gone,
}

/// What a rank waits for.
#[derive(Clone)]
pub(super) struct Wait {
    pub(super) group: Weak<Group>,
    pub(super) event: Event,
    /// What it called, for people.
    pub(super) call: &'static str,
}

/// What can happen.
#[derive(Clone, Copy)]
pub(super) enum Event {
    /// So many arrivals at the meetings of the group.
    Arrivals(usize),
    /// A message from rank `from` to rank `to` of the group.
    Message { from: usize, to: usize, tag: u32 },
}

impl Wait {
    fn is_over(&self) -> bool {
        // A group that is gone has nobody in it who waits.
        self.group.upgrade().is_none_or(|group| group.has_happened(self.event))
    }

    fn describe(&self) -> String {
        match self.event {
            Event::Arrivals(_) => format!("waits in {}", self.call),
            Event::Message { from, tag, .. } => {
                format!("waits for a message of rank {from} with tag {tag}")
            }
        }
    }
}

impl Family {
    pub(super) fn new(ranks: usize) -> Self {
        Self {
            states: Mutex::new((0..ranks).map(|_| State::Working).collect()),
            bell: Condvar::new(),
            sleepers: AtomicUsize::new(0),
            end: OnceLock::new(),
            have_cpus: ranks <= topology::affinity(),
        }
    }

    fn states(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all that its ranks wait for, now and later. The first reason counts.
    pub(super) fn stop(&self, reason: RankError) {
        let _ = self.end.set(reason);
        let _states = self.states();
        self.bell.notify_all();
    }

    /// Why nothing is waited for any more.
    pub(super) fn end(&self) -> Option<&RankError> {
        self.end.get()
    }

    /// Wakes those who sleep, after something has happened.
    pub(super) fn ring(&self) {
        // Ordered after what has happened, as the sleeper's look is after its announcement.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            let _states = self.states();
            self.bell.notify_all();
        }
    }

    /// Notes that a rank will not call anything any more.
    pub(super) fn leave(&self, rank: usize) {
        let mut states = self.states();
        states[rank] = State::Gone;
        self.bell.notify_all();
    }

    /// Waits as `rank` until that is over, all have been stopped, or none can go on.
    pub(super) fn wait(&self, rank: usize, group: &Arc<Group>, wait: Wait) -> Result<(), Error> {
        for look in 0..if self.have_cpus { LOOKS } else { YIELDS } {
            if group.has_happened(wait.event) {
                return Ok(());
            }
            if self.have_cpus {
                std::hint::spin_loop();
            } else if look > 0 {
                std::thread::yield_now();
            }
        }
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let outcome = self.sleep(rank, group, wait);
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        outcome
    }

    fn sleep(&self, rank: usize, group: &Arc<Group>, wait: Wait) -> Result<(), Error> {
        let event = wait.event;
        let mut states = self.states();
        states[rank] = State::Waiting(wait);
        let outcome = loop {
            // Before the reasons to stop: what has happened for one rank has happened for all.
            if group.has_happened(event) {
                break Ok(());
            }
            if let Some(end) = self.end() {
                break Err(Error::Ranks(end.clone()));
            }
            if let Some(sentence) = stuck(&states) {
                let _ = self.end.set(RankError::Stuck(sentence));
                self.bell.notify_all();
                continue;
            }
            let nap = self.bell.wait_timeout(states, NAP);
            states = nap.unwrap_or_else(PoisonError::into_inner).0;
        };
        // A rank that left meanwhile, by another thread's hand, stays away.
        if matches!(states[rank], State::Waiting(_)) {
            states[rank] = State::Working;
        }
        outcome
    }
}

/// Says who waits for what, if nobody works and nothing that is waited for has happened: then it never will.
fn stuck(states: &[State]) -> Option<String> {
    let is_stuck = |state: &State| match state {
        State::Working => false,
        State::Waiting(wait) => !wait.is_over(),
        State::Gone => true,
    };
    if !states.iter().all(is_stuck) {
        return None;
    }
    let mut sentence = String::new();
    for (rank, state) in states.iter().enumerate() {
        let between = if rank == 0 { "" } else { ", " };
        let does = match state {
            State::Waiting(wait) => wait.describe(),
            State::Working | State::Gone => "has ended".to_owned(),
        };
        let _ = write!(sentence, "{between}rank {rank} {does}");
    }
    Some(sentence)
}
