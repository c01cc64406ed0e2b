//! A worker's mailbox: the one word through which callers and the worker speak to each other.
//!
//! # Protocol
//!
//! The word is the address of a job that waits to be taken, or one of six marks. These are all the
//! steps, and who may take them:
//!
//! | from | to | who | meaning |
//! | --- | --- | --- | --- |
//! | `IDLE`, `PARKED` | job | any caller | *offers* it; a parked worker is woken |
//! | job | `IDLE` | that caller | *retracts* it: the worker has not come, and never saw it |
//! | job | `BUSY` | worker | *takes* it |
//! | `BUSY` | `AWAITED` | that caller | has waited for long, and is about to park |
//! | `BUSY`, `AWAITED` | `DONE` | worker | has *finished*; wakes a caller that awaits it |
//! | `DONE` | `IDLE` | that caller | *settles*: the worker is anybody's again |
//! | `RESTED` | `PARKED` | that caller | settles, when the worker has parked meanwhile |
//! | `IDLE` | `PARKED` | worker | *rests* |
//! | `DONE` | `RESTED` | worker | rests, although its caller has not settled |
//!
//! So a job that was offered is either retracted or settled by its caller, and is not looked at
//! afterwards: it may live on the caller's stack. To offer is a release and to take an acquire, so the
//! worker sees what the caller wrote before; to finish and to settle are the same pair the other way. A
//! worker that parks has said so first, by a compare-and-swap that fails if a job came meanwhile, and
//! whoever offers a job to a parked worker wakes it: no call is lost.
//!
//! A worker that is `BUSY`, `DONE` or `RESTED` for one caller refuses all others, who go on without it.
//!
//! A worker has to be able to rest before its caller settles: the system likes to put a caller that was woken
//! on the CPU of the worker that woke it, where it would wait behind a worker that waits for it.

use std::ptr;
use std::sync::PoisonError;
use std::time::Duration;

use crate::sync::{AtomicPtr, Mutex, Ordering, Thread, current, park, park_timeout, spin_loop};

const IDLE: usize = 0;
const PARKED: usize = 1;
const BUSY: usize = 2;
const AWAITED: usize = 3;
const DONE: usize = 4;
const RESTED: usize = 5;

/// A word that is no job. No object lies at so low an address.
fn mark<J>(mark: usize) -> *mut J {
    ptr::without_provenance_mut(mark)
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// The worker is looking at its mailbox.
    Made,
    /// The worker is parked: the caller has to wake it.
    MadeToSleeper,
    /// The worker is somebody else's.
    Refused,
}

/// How a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posture {
    /// Looking at its mailbox.
    Ready,
    /// Parked.
    Parked,
    /// At work.
    Away,
}

#[derive(Debug)]
#[repr(align(128))] // Two lines: CPUs fetch them in pairs.
pub(crate) struct Mailbox<J> {
    word: AtomicPtr<J>,
    /// Who awaits the end of the job: there before the word says `AWAITED`.
    waiter: Mutex<Option<Thread>>,
}

impl<J> Mailbox<J> {
    pub(crate) fn new() -> Self {
        Self { word: AtomicPtr::new(mark(IDLE)), waiter: Mutex::new(None) }
    }

    /// By anybody: how the worker is at this moment.
    pub(crate) fn posture(&self) -> Posture {
        match self.word.load(Ordering::Relaxed).addr() {
            IDLE => Posture::Ready,
            PARKED => Posture::Parked,
            _ => Posture::Away,
        }
    }

    /// By a caller: offers a job. Unless it is refused, the caller must [`retract`](Self::retract) or
    /// [`settle`](Self::settle) it before the job ends.
    pub(crate) fn offer(&self, job: *mut J) -> Offer {
        let seen = self.word.load(Ordering::Relaxed);
        let made = match seen.addr() {
            IDLE => Offer::Made,
            PARKED => Offer::MadeToSleeper,
            _ => return Offer::Refused,
        };
        match self.word.compare_exchange(seen, job, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => made,
            // It has just parked, or somebody else was faster.
            Err(now) if now.addr() == PARKED && made == Offer::Made => {
                let again =
                    self.word.compare_exchange(now, job, Ordering::Release, Ordering::Relaxed);
                if again.is_ok() { Offer::MadeToSleeper } else { Offer::Refused }
            }
            Err(_) => Offer::Refused,
        }
    }

    /// By the caller who offered `job`: takes it back, if the worker has not taken it.
    pub(crate) fn retract(&self, job: *mut J) -> bool {
        let idle = mark(IDLE);
        self.word.compare_exchange(job, idle, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// By the caller whose job was taken: waits until it is done, and lets the worker go. It spins while
    /// it `may_spin`, then parks, and every now and then calls `ask`.
    pub(crate) fn settle(&self, mut may_spin: impl FnMut() -> bool, mut ask: impl FnMut()) {
        let mut seen = self.word.load(Ordering::Acquire);
        loop {
            match seen.addr() {
                DONE => {
                    // Acquire, as the load: it may have rested since.
                    let (say, look) = (Ordering::Relaxed, Ordering::Acquire);
                    match self.word.compare_exchange(seen, mark(IDLE), say, look) {
                        Ok(_) => return,
                        Err(now) => seen = now,
                    }
                    continue;
                }
                RESTED => break,
                AWAITED => {
                    ask();
                    park_timeout(Duration::from_millis(20));
                }
                BUSY if !may_spin() => {
                    let me = Some(current());
                    *self.waiter.lock().unwrap_or_else(PoisonError::into_inner) = me;
                    // Release, for the worker to see who waits.
                    let (say, look) = (Ordering::AcqRel, Ordering::Acquire);
                    let awaited = mark(AWAITED);
                    seen = match self.word.compare_exchange(seen, awaited, say, look) {
                        Ok(_) => awaited,
                        Err(now) => now,
                    };
                    continue;
                }
                _ => spin_loop(),
            }
            seen = self.word.load(Ordering::Acquire);
        }
        self.word.store(mark(PARKED), Ordering::Relaxed);
    }

    /// By the worker: whether a job waits.
    pub(crate) fn is_called(&self) -> bool {
        self.word.load(Ordering::Relaxed).addr() > RESTED
    }

    /// By the worker: takes the job that is offered, if one is.
    pub(crate) fn take(&self) -> Option<*mut J> {
        let seen = self.word.load(Ordering::Relaxed);
        if seen.addr() <= RESTED {
            return None;
        }
        let busy = mark(BUSY);
        let taken = self.word.compare_exchange(seen, busy, Ordering::Acquire, Ordering::Relaxed);
        taken.ok()
    }

    /// By the worker: the job it took is done, and will not be looked at again. Says whether its caller had
    /// parked, and was woken.
    pub(crate) fn finish(&self) -> bool {
        // Acquire, to see who waits.
        let before = self.word.swap(mark(DONE), Ordering::AcqRel);
        if before.addr() != AWAITED {
            return false;
        }
        let waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waiter) = waiter {
            waiter.unpark();
        }
        true
    }

    /// By the worker: parks until it is called, unless it has just been.
    pub(crate) fn rest(&self) {
        if self.lie_down(IDLE, PARKED) || self.lie_down(DONE, RESTED) {
            while matches!(self.word.load(Ordering::Relaxed).addr(), PARKED | RESTED) {
                park();
            }
        }
    }

    fn lie_down(&self, from: usize, to: usize) -> bool {
        // Release, for a caller that finds it rested to see what it did before.
        let (say, look) = (Ordering::Release, Ordering::Relaxed);
        self.word.compare_exchange(mark(from), mark(to), say, look).is_ok()
    }
}
