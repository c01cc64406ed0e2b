//! The threads of a job.
//!
//! Streaming, each worker reads a block, quantizes it and writes it, and then takes the next: one block a
//! worker is all there is. Otherwise a thread reads ahead into a ring of blocks, workers quantize them, and
//! a thread writes. Workers are threads of their own, exactly as many as asked for, because they wait for
//! disks; the caller's thread only watches, so that signals and progress are never late.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use super::super::Outcome;
use super::block::{Buffers, Done, Shop};
use super::course::Ticket;
use super::memory;
use super::plan::Memory;
use super::report::Event;
use crate::store::StoreError;
use crate::{Context, Error};

/// How often the caller's thread looks for signals.
const PERIOD: Duration = Duration::from_millis(50);

/// How a job is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Quantizing workers.
    pub(super) threads: usize,
    /// Blocks in memory, if they are loaded ahead.
    pub(super) ahead: Option<usize>,
    /// Bytes of one.
    pub(super) memory: Memory,
}

/// The largest anonymous memory that anybody saw.
#[derive(Debug, Default)]
pub(super) struct Peak(AtomicU64);

impl Peak {
    pub(super) fn look(&self) {
        self.0.fetch_max(memory::anonymous().unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&bytes| bytes > 0)
    }
}

/// Does the job; `each` is told what happens, on the caller's thread.
pub(super) fn run(
    shop: Shop<'_>,
    pace: Pace,
    peak: &Peak,
    each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let ring = Ring::default();
    let is_canceled = thread::scope(|scope| {
        let started = start(scope, shop, pace, peak, &ring);
        if started.is_err() {
            shop.course.stop();
            ring.close();
        }
        let mut is_canceled = false;
        loop {
            let (events, is_going) = shop.course.watch(PERIOD);
            let mut events = events.iter();
            is_canceled |= !is_canceled && events.any(|event| each(event).is_break());
            is_canceled |= !is_canceled && context.interrupt.is_due();
            if is_canceled {
                shop.course.stop();
            }
            if shop.course.is_stopped() {
                ring.close();
            }
            if !is_going {
                return started.map(|()| is_canceled);
            }
        }
    })?;
    if is_canceled { Err(threadwise_runtime::Interrupted.into()) } else { Ok(()) }
}

fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    shop: Shop<'scope>,
    pace: Pace,
    peak: &'scope Peak,
    ring: &'scope Ring,
) -> Result<(), Error> {
    let spawn = |name: String, work: Box<dyn FnOnce() + Send + 'scope>| {
        // Counted before it begins, so that nobody believes that all are through.
        let presence = shop.course.begin();
        let work = move || {
            let _presence = presence;
            work();
        };
        let spawned = thread::Builder::new().name(name).spawn_scoped(scope, work);
        spawned.map(drop).map_err(no_thread)
    };
    let name = |number: usize| format!("threadwise-quantize-{number}");
    let Some(blocks) = pace.ahead else {
        for number in 0..pace.threads {
            let buffers = Buffers::new(&pace.memory).map_err(Error::Memory)?;
            spawn(name(number), Box::new(move || stream(shop, buffers, peak)))?;
        }
        return Ok(());
    };
    for _ in 0..blocks {
        ring.free.put(Buffers::new(&pace.memory).map_err(Error::Memory)?);
    }
    ring.read.writers(1);
    ring.made.writers(pace.threads);
    spawn("threadwise-read".to_owned(), Box::new(move || load(shop, ring)))?;
    for number in 0..pace.threads {
        spawn(name(number), Box::new(move || quantize(shop, ring, peak)))?;
    }
    spawn("threadwise-write".to_owned(), Box::new(move || store(shop, ring)))
}

fn no_thread(error: io::Error) -> Error {
    StoreError::io(std::path::Path::new("a worker"), "be started")(error).into()
}

/// What a streaming worker does.
fn stream(shop: Shop<'_>, mut buffers: Buffers, peak: &Peak) {
    while let Some(ticket) = shop.course.next() {
        let mut work = || {
            shop.read(&ticket, &mut buffers)?;
            let since = Instant::now();
            let Some(outcomes) = shop.quantize(&ticket, &mut buffers)? else { return Ok(None) };
            let seconds = since.elapsed().as_secs_f64();
            peak.look();
            let checksums = shop.write(&ticket, &buffers)?;
            Ok(Some(Done { outcomes, checksums, seconds }))
        };
        match work() {
            Ok(Some(done)) => shop.course.bring(&ticket, done),
            Ok(None) => return,
            Err(error) => return shop.course.fail(&ticket, error),
        }
    }
}

/// What the thread does that reads ahead.
fn load(shop: Shop<'_>, ring: &Ring) {
    let _end = ring.read.end();
    while let Some(ticket) = shop.course.next() {
        let Some(mut buffers) = ring.free.take() else { return };
        match shop.read(&ticket, &mut buffers) {
            Ok(()) => ring.read.put((ticket, buffers)),
            Err(error) => return shop.course.fail(&ticket, error),
        }
    }
}

/// What a worker does if others read and write.
fn quantize(shop: Shop<'_>, ring: &Ring, peak: &Peak) {
    let _end = ring.made.end();
    while let Some((ticket, mut buffers)) = ring.read.take() {
        let since = Instant::now();
        match shop.quantize(&ticket, &mut buffers) {
            Ok(Some(outcomes)) => {
                peak.look();
                ring.made.put((ticket, buffers, outcomes, since.elapsed().as_secs_f64()));
            }
            Ok(None) => return,
            Err(error) => return shop.course.fail(&ticket, error),
        }
    }
}

/// What the thread does that writes.
fn store(shop: Shop<'_>, ring: &Ring) {
    while let Some((ticket, buffers, outcomes, seconds)) = ring.made.take() {
        match shop.write(&ticket, &buffers) {
            Ok(checksums) => shop.course.bring(&ticket, Done { outcomes, checksums, seconds }),
            Err(error) => return shop.course.fail(&ticket, error),
        }
        ring.free.put(buffers);
    }
}

/// The blocks that go round: free, read, made.
#[derive(Default)]
struct Ring {
    free: Queue<Buffers>,
    read: Queue<(Ticket, Buffers)>,
    made: Queue<(Ticket, Buffers, Vec<Outcome>, f64)>,
}

impl Ring {
    /// Nobody waits any more.
    fn close(&self) {
        self.free.close();
        self.read.close();
        self.made.close();
    }
}

/// Things that wait for somebody.
struct Queue<T> {
    /// The things, who may still put some, and whether nobody wants them any more.
    state: Mutex<(VecDeque<T>, usize, bool)>,
    changed: Condvar,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        // One that never leaves, unless somebody says how many there are.
        Self { state: Mutex::new((VecDeque::new(), 1, false)), changed: Condvar::new() }
    }
}

impl<T> Queue<T> {
    fn change<R>(&self, change: impl FnOnce(&mut (VecDeque<T>, usize, bool)) -> R) -> R {
        let result = change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
        result
    }

    fn writers(&self, count: usize) {
        self.change(|state| state.1 = count);
    }

    fn close(&self) {
        self.change(|state| state.2 = true);
    }

    fn put(&self, thing: T) {
        self.change(|state| state.0.push_back(thing));
    }

    /// The next one; none if there will be none.
    fn take(&self) -> Option<T> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let must_wait =
            |state: &mut (VecDeque<T>, usize, bool)| state.0.is_empty() && state.1 > 0 && !state.2;
        let waited = self.changed.wait_while(state, must_wait);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.2 { None } else { state.0.pop_front() }
    }

    /// One who puts things leaves when what is returned is dropped.
    fn end(&self) -> impl Drop + '_ {
        struct End<'a, T>(&'a Queue<T>);
        impl<T> Drop for End<'_, T> {
            fn drop(&mut self) {
                self.0.change(|state| state.1 -= 1);
            }
        }
        End(self)
    }
}
