//! Who did how much of the work that threads shared, counted since the start or the last reset.
//!
//! Each worker has counters of its own, which it alone adds to, on cache lines of their own; all calling
//! threads share one set. Counters only grow: a reset remembers where they stood, so nothing that is
//! counted meanwhile is lost. They are kept, in a list without locks, under the id of the process that
//! made them: the child of a `fork` begins with none.

use std::process;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use once_cell::race::{OnceBox, OnceRef};

/// What one worker did, or all calling threads together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerStats {
    /// The worker's name, or "caller".
    pub name: String,
    /// Pieces of work that it made: 0 but for the caller.
    pub created: u64,
    /// Pieces that it did of those given to it.
    pub home: u64,
    /// Pieces that it did of those given to another.
    pub stolen: u64,
    /// Parts that it took of pieces that another was at.
    pub taken: u64,
    /// How long it was at work on jobs.
    pub busy: Duration,
    /// How long it was not, since it began or the last reset. Zero for the caller, whose time outside of
    /// calls is its own.
    pub idle: Duration,
}

/// The counters of a worker, or of all calling threads.
#[derive(Debug)]
#[repr(align(128))] // the line, and the one that is fetched with it
pub struct Counters {
    counts: [AtomicU64; 5],
    /// Where they stood at the last reset.
    bases: [AtomicU64; 5],
    /// When that was, or when they were made, in nanoseconds.
    since: AtomicU64,
    /// `None` for the caller's.
    name: Option<String>,
    process: u32,
    next: OnceRef<'static, Self>,
}

const CREATED: usize = 0;
const HOME: usize = 1;
const STOLEN: usize = 2;
const TAKEN: usize = 3;
const BUSY: usize = 4;

impl Counters {
    /// `pieces` were made of a job.
    pub fn created(&self, pieces: u64) {
        self.count(CREATED, pieces);
    }

    /// `pieces` were done by whom they were given to.
    pub fn home(&self, pieces: u64) {
        self.count(HOME, pieces);
    }

    /// `pieces` were done by another.
    pub fn stolen(&self, pieces: u64) {
        self.count(STOLEN, pieces);
    }

    /// `parts` were taken of pieces that another was at.
    pub fn taken(&self, parts: u64) {
        self.count(TAKEN, parts);
    }

    /// A job took this long.
    pub fn busy(&self, time: Duration) {
        self.count(BUSY, nanoseconds(time));
    }

    fn count(&self, what: usize, more: u64) {
        if more > 0 {
            self.counts[what].fetch_add(more, Ordering::Relaxed);
        }
    }

    fn stats(&self, now: u64) -> WorkerStats {
        let [created, home, stolen, taken, busy] =
            [CREATED, HOME, STOLEN, TAKEN, BUSY].map(|what| {
                let base = self.bases[what].load(Ordering::Relaxed);
                self.counts[what].load(Ordering::Relaxed).saturating_sub(base)
            });
        // A job that was under way at the reset is busy for longer than has passed since.
        let since = now.saturating_sub(self.since.load(Ordering::Relaxed));
        let idle = if self.name.is_some() { since.saturating_sub(busy) } else { 0 };
        let name = self.name.as_deref().unwrap_or("caller").to_owned();
        let [busy, idle] = [busy, idle].map(Duration::from_nanos);
        WorkerStats { name, created, home, stolen, taken, busy, idle }
    }
}

static FIRST: OnceRef<'static, Counters> = OnceRef::new();

/// Counters for a worker that begins. They stay for as long as the process, as workers do.
#[must_use]
pub fn register(name: &str) -> &'static Counters {
    add(Some(name.to_owned()))
}

static CALLER: AtomicPtr<Counters> = AtomicPtr::new(std::ptr::null_mut());

/// In a child after `fork`: nothing has been counted.
pub(crate) fn forget() {
    CALLER.store(std::ptr::null_mut(), Ordering::Release);
}

/// The counters that calling threads share.
#[must_use]
pub fn caller() -> &'static Counters {
    // SAFETY: null, or stored below from a reference that is good for ever.
    let known = unsafe { CALLER.load(Ordering::Acquire).as_ref() };
    if let Some(counters) = known {
        return counters;
    }
    // Two threads may come here at once; both sets are counted.
    let made = add(None);
    CALLER.store(std::ptr::from_ref(made).cast_mut(), Ordering::Release);
    made
}

fn add(name: Option<String>) -> &'static Counters {
    let made: &'static Counters = Box::leak(Box::new(Counters {
        counts: Default::default(),
        bases: Default::default(),
        since: AtomicU64::new(now()),
        name,
        process: process::id(),
        next: OnceRef::new(),
    }));
    let mut end = &FIRST;
    while end.set(made).is_err() {
        if let Some(taken) = end.get() {
            end = &taken.next;
        }
    }
    made
}

fn all() -> impl Iterator<Item = &'static Counters> {
    let process = process::id();
    std::iter::successors(FIRST.get(), |counters| counters.next.get())
        .filter(move |counters| counters.process == process)
}

/// What was counted: first of all calling threads together, then of each worker.
#[must_use]
pub fn snapshot() -> Vec<WorkerStats> {
    let now = now();
    let (callers, workers): (Vec<_>, Vec<_>) = all().partition(|counters| counters.name.is_none());
    let mut found = vec![WorkerStats {
        name: "caller".to_owned(),
        created: 0,
        home: 0,
        stolen: 0,
        taken: 0,
        busy: Duration::ZERO,
        idle: Duration::ZERO,
    }];
    for counters in callers {
        let more = counters.stats(now);
        found[0].created += more.created;
        found[0].home += more.home;
        found[0].stolen += more.stolen;
        found[0].taken += more.taken;
        found[0].busy += more.busy;
    }
    found.extend(workers.into_iter().map(|counters| counters.stats(now)));
    found
}

/// Counts from now on.
pub fn reset() {
    let now = now();
    for counters in all() {
        for (base, count) in counters.bases.iter().zip(&counters.counts) {
            base.store(count.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        counters.since.store(now, Ordering::Relaxed);
    }
}

/// Nanoseconds since some moment before.
fn now() -> u64 {
    static BEGIN: OnceBox<Instant> = OnceBox::new();
    nanoseconds(BEGIN.get_or_init(|| Box::new(Instant::now())).elapsed())
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};
    use std::thread;

    use super::*;

    /// Resets are for the whole process.
    static ALONE: Mutex<()> = Mutex::new(());

    fn of(name: &str) -> WorkerStats {
        snapshot().into_iter().find(|stats| stats.name == name).unwrap()
    }

    #[test]
    fn what_is_counted_is_found_under_its_name_until_a_reset() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let counters = register("one that counts");
        counters.home(3);
        counters.home(2);
        counters.stolen(4);
        counters.taken(6);
        counters.created(9);
        counters.busy(Duration::from_millis(5));
        let stats = of("one that counts");
        assert_eq!((stats.created, stats.home, stats.stolen), (9, 5, 4), "the sums");
        assert_eq!(stats.taken, 6, "parts by themselves");
        assert_eq!(stats.busy, Duration::from_millis(5), "the time");
        reset();
        let stats = of("one that counts");
        assert_eq!((stats.created, stats.home, stats.stolen), (0, 0, 0), "from now on");
        assert_eq!(stats.taken, 0, "from now on");
        assert_eq!(stats.busy, Duration::ZERO, "from now on");
        counters.home(1);
        assert_eq!(of("one that counts").home, 1, "after the reset");
    }

    #[test]
    fn idle_is_the_time_since_the_reset_that_was_not_busy() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let counters = register("one that rests");
        reset();
        let begin = Instant::now();
        thread::sleep(Duration::from_millis(30));
        counters.busy(Duration::from_millis(10));
        let stats = of("one that rests");
        assert!(stats.idle >= Duration::from_millis(19), "{stats:?}");
        assert!(stats.idle + stats.busy <= begin.elapsed() + Duration::from_millis(1), "{stats:?}");
        counters.busy(Duration::from_secs(3600));
        assert_eq!(of("one that rests").idle, Duration::ZERO, "never below zero");
    }

    #[test]
    fn the_first_entry_sums_all_calling_threads() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let grown = || {
            let before = snapshot().swap_remove(0);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        caller().created(10);
                        caller().home(1);
                        add(None).home(1); // as when two threads are the first at once
                    });
                }
            });
            let after = snapshot().swap_remove(0);
            assert_eq!(after.name, "caller", "its name");
            assert_eq!(after.idle, Duration::ZERO, "it has none");
            (after.created - before.created, after.home - before.home)
        };
        // Calls that other tests make meanwhile are counted, too.
        let seen: Vec<_> = (0..20).map(|_| grown()).collect();
        assert!(seen.contains(&(40, 8)), "of four threads, from all sets: {seen:?}");
    }

    #[test]
    fn many_may_register_and_count_at_once() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<String> = (0..16).map(|i| format!("one of many {i}")).collect();
        thread::scope(|scope| {
            for name in &names {
                scope.spawn(|| {
                    let counters = register(name);
                    (0..1000).for_each(|_| counters.stolen(1));
                });
            }
        });
        for name in &names {
            assert_eq!(of(name).stolen, 1000, "{name}");
        }
    }
}
