//! One call's work shared between the caller and whoever of the workers arrives in time.
//!
//! The caller offers a [`Job`] to some workers and starts to work at once; workers that see it join in.
//! Items are given out by [`Ranges`], each once. When the caller finds no item left it takes the job
//! back from workers that have not come, and waits only for those that have. A worker that comes late,
//! because it slept or was busy with another call, finds nothing. So a call never waits for a worker
//! that does nothing for it, and one whose workers do not come takes hardly longer than the plain loop.
//!
//! The job is on the caller's stack and points into it. `mailbox` is the protocol by which workers may
//! follow it; the caller does not return, not even by a panic, before it has dismissed its crew.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::checkpoint::Checkpoint;
use crate::cpus::CpuSet;
use crate::interrupt::{Interrupt, Interrupted};
use crate::members::{Member, Places};
use crate::presence::{Course, Presence};
use crate::ranges::Ranges;
use crate::stats::{self, Counters};
use crate::workers::{self, Place, Work};

/// What workers know of a call: how to take part in it.
struct Job {
    /// Does so for the [`Call`] that this is the head of.
    join: unsafe fn(*const Self, usize, &Counters),
}

impl Work for Job {
    unsafe fn help(job: *const Self, member: usize, counters: &Counters) {
        // SAFETY: the job is alive, as the caller of this says.
        let join = unsafe { (*job).join };
        // SAFETY: as above; the pointer is the one to the whole call that was offered.
        unsafe { join(job, member, counters) };
    }
}

/// A call, on its caller's stack: see `mailbox`. What a worker needs to begin is on one line of memory.
#[repr(C, align(128))]
struct Call<'a, F> {
    head: Job,
    /// Where members find their places, if they have any.
    places: Option<&'a Places<'a>>,
    take_part: F,
    stop: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl<'a, F: Fn(usize, &Counters, Checkpoint<'_>) -> Duration + Sync> Call<'a, F> {
    fn new(places: Option<&'a Places<'a>>, take_part: F) -> Self
    where
        Self: Sync,
    {
        let (stop, panic) = (AtomicBool::new(false), Mutex::new(None));
        Self { head: Job { join: Self::join }, places, take_part, stop, panic }
    }

    /// A worker's part.
    ///
    /// # Safety
    ///
    /// `job` is the address of a live call of this type.
    unsafe fn join(job: *const Job, member: usize, counters: &Counters) {
        // SAFETY: the caller's promise; and a call is `Sync`, as `new` asks.
        let call = unsafe { &*job.cast::<Self>() };
        let part = || {
            let member = Member::join(member, call.places);
            call.part(member.number, counters, None);
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(part)) {
            *call.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
    }

    /// A member's part; the caller's asks `interrupt`. Returns how long it waited.
    fn part(
        &self,
        member: usize,
        counters: &Counters,
        interrupt: Option<&Interrupt<'_>>,
    ) -> Duration {
        let _mark = AtWork::begin();
        let mut stop = StopOnPanic { stop: Some(&self.stop) };
        let checkpoint = Checkpoint::of_member(&self.stop, interrupt, counters);
        let waited = (self.take_part)(member, counters, checkpoint);
        stop.stop = None;
        waited
    }
}

static WORKERS: Place<Job> = Place::new();

/// What a child does after `fork`.
extern "C" fn forget_workers() {
    WORKERS.forget();
    PRESENCE.forget();
    stats::forget();
}

/// Sees to it that children of `fork` have workers of their own. The first call does so too, but one that a
/// `fork` overtakes does it too late: its child would wait for its parent's workers. So a program that
/// may fork beside its first call has this called before.
pub fn expect_forks() {
    workers::at_fork(forget_workers);
}

static PRESENCE: Presence = Presence::new();

/// Forgets that workers were lately called in vain: the next calls try again.
pub fn expect_workers() {
    PRESENCE.forget();
}

/// How many threads could help a call now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Workers that are awake and looking for work.
    pub ready: usize,
    /// Workers that would have to be woken, or made.
    pub parked: usize,
}

/// Who could help a call of up to `threads` threads that began now. None could, where the call is
/// itself part of another's work, or workers were lately called in vain.
#[must_use]
pub fn readiness(threads: usize, work: Duration) -> Readiness {
    if threads <= 1 || AT_WORK.get() || !PRESENCE.is_expected(work) {
        return Readiness { ready: 0, parked: 0 };
    }
    let (ready, parked) = WORKERS.get(forget_workers).readiness(threads - 1);
    Readiness { ready, parked }
}

thread_local! {
    /// Whether this thread is working on a job, as its caller or as a worker.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// Marks the thread as being at work while it lives.
struct AtWork {
    before: bool,
}

impl AtWork {
    fn begin() -> Self {
        Self { before: AT_WORK.replace(true) }
    }
}

/// Whether the calling thread is working on a job: it can have no team then.
pub(crate) fn is_at_work() -> bool {
    AT_WORK.get()
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.set(self.before);
    }
}

/// After a panic, too, nobody begins another item.
struct StopOnPanic<'a> {
    stop: Option<&'a AtomicBool>,
}

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if let Some(stop) = self.stop {
            stop.store(true, Ordering::Relaxed);
        }
    }
}

/// A pointer to items that several threads take from, each item by one of them.
struct Items<T>(*mut T);

// SAFETY: an item is reached through an index that is given out once, so by one thread; that moves a
// `&mut T` to it, which `T: Send` allows.
unsafe impl<T: Send> Sync for Items<T> {}

impl<T> Items<T> {
    /// # Safety
    ///
    /// `i` is within the items, and no other reference to item `i` exists.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that the item is nobody else's")]
    unsafe fn take(&self, i: usize) -> &mut T {
        // SAFETY: the caller promises that `i` is within the items.
        let item = unsafe { self.0.add(i) };
        // SAFETY: it points to a live item, which the caller promises to be nobody else's.
        unsafe { &mut *item }
    }
}

/// What one member of a call did, counted when it is through, even by a panic.
pub(crate) struct Tally<'a> {
    counters: &'a Counters,
    home: u64,
    stolen: u64,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(counters: &'a Counters) -> Self {
        Self { counters, home: 0, stolen: 0 }
    }

    pub(crate) fn count(&mut self, is_stolen: bool) {
        *(if is_stolen { &mut self.stolen } else { &mut self.home }) += 1;
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.counters.home(self.home);
        self.counters.stolen(self.stolen);
    }
}

/// Calls `work` for each item, on the calling thread and up to `threads - 1` workers. With `threads`
/// equal to 1, with at most one item, and from inside another call's work, it is the plain loop.
///
/// The order in which items are worked on is not fixed; results must not depend on it. Adjacent items
/// tend to be worked on by one thread, one after the other. Work that takes long asks its [`Checkpoint`]
/// now and then, and returns early if that is reached.
///
/// # Errors
///
/// If `interrupt` was due before all items were done. Nothing is said then about which were.
///
/// # Panics
///
/// If `work` does, with the same payload, after all threads have left the call.
pub fn for_each<T: Send>(
    items: &mut [T],
    threads: usize,
    interrupt: &Interrupt<'_>,
    work: impl Fn(&mut T, Checkpoint<'_>) + Sync,
) -> Result<(), Interrupted> {
    for_each_in(None, items, threads, interrupt, work)
}

/// [`for_each`] with each thread on its part of the machine, if there are `places`: the CPUs for each, the
/// calling thread first, which is not moved. The items are given to the threads in this order, as long as
/// none is through before the others. Workers that are on their CPUs are preferred; others go there, and a
/// worker whose place is a single CPU stays there, until the call ends. Where the system refuses that,
/// the work is done all the same, and [`crate::pin::failure`] tells it.
///
/// # Errors
///
/// As [`for_each`].
///
/// # Panics
///
/// As [`for_each`].
pub fn for_each_in<T: Send>(
    places: Option<&[CpuSet]>,
    items: &mut [T],
    threads: usize,
    interrupt: &Interrupt<'_>,
    work: impl Fn(&mut T, Checkpoint<'_>) + Sync,
) -> Result<(), Interrupted> {
    for_each_then(places, items, threads, interrupt, work, |_| ())
}

/// [`for_each_in`], where each thread that finds no item left calls `help` before it leaves: with what others are
/// still at. The plain loop does not.
///
/// # Errors
///
/// As [`for_each`].
///
/// # Panics
///
/// As [`for_each`].
pub fn for_each_then<T: Send>(
    places: Option<&[CpuSet]>,
    items: &mut [T],
    threads: usize,
    interrupt: &Interrupt<'_>,
    work: impl Fn(&mut T, Checkpoint<'_>) + Sync,
    help: impl Fn(Checkpoint<'_>) + Sync,
) -> Result<(), Interrupted> {
    let threads = threads.min(items.len());
    let alone = threads <= 1 || is_at_work();
    if alone || items.len() > Ranges::MOST {
        let stop = AtomicBool::new(false);
        let here = Checkpoint::new(&stop, interrupt);
        for item in items {
            work(item, here);
            if here.reached() {
                return Err(Interrupted);
            }
        }
        return Ok(());
    }

    let count = items.len();
    let ranges = Ranges::new(count, threads);
    let (ranges, items, work, help) = (ranges.all(), Items(items.as_mut_ptr()), &work, &help);
    let take_part = move |member: usize, counters: &Counters, checkpoint: Checkpoint<'_>| {
        let mut tally = Tally::new(counters);
        while !checkpoint.reached() {
            let Some(given) = ranges.next(member) else { break };
            tally.count(given.is_stolen);
            // SAFETY: the ranges give out numbers of items, each once.
            work(unsafe { items.take(given.item) }, checkpoint);
        }
        help(checkpoint);
        Duration::ZERO
    };
    call(places, threads, count, interrupt, take_part)
}

/// Has each member of a team take its part: the calling thread, number 0, and up to `threads - 1` workers, as
/// they come. A part says how long it waited for others. There are `items`, which is only counted.
///
/// # Errors
///
/// If `interrupt` was due before all parts were through.
///
/// # Panics
///
/// If a part does, with the same payload, after all threads have left the call.
pub(crate) fn call(
    places: Option<&[CpuSet]>,
    threads: usize,
    items: usize,
    interrupt: &Interrupt<'_>,
    take_part: impl Fn(usize, &Counters, Checkpoint<'_>) -> Duration + Sync,
) -> Result<(), Interrupted> {
    let cpus = places.map(|places| &places[..threads.min(places.len())]);
    let places = cpus.map(Places::new);
    let mut call = Call::new(places.as_ref(), take_part);
    let workers = WORKERS.get(forget_workers);
    let counters = stats::caller();
    let begin = Instant::now();
    // SAFETY: the crew is dismissed below, before `call` and what it points to end.
    let crew = unsafe { workers.call(threads - 1, (&raw mut call).cast(), cpus) };
    let mine = catch_unwind(AssertUnwindSafe(|| call.part(0, counters, Some(interrupt))));
    let called = crew.len();
    let waited = *mine.as_ref().unwrap_or(&Duration::ZERO);
    let busy = begin.elapsed().saturating_sub(waited);
    counters.created(items as u64);
    counters.busy(busy);
    let here = Checkpoint::new(&call.stop, interrupt);
    let came = crew.dismiss(|| _ = here.reached());
    let wait = if came > 0 { begin.elapsed().saturating_sub(busy) } else { Duration::ZERO };
    if called > 0 {
        PRESENCE.observe(Course { busy, wait, came });
    }
    let is_stopped = here.is_set();
    let theirs = call.panic.get_mut().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(panic) = mine.err().or(theirs) {
        resume_unwind(panic);
    }
    if is_stopped { Err(Interrupted) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
