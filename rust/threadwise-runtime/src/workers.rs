//! The worker threads: made when they are first needed, parked when nobody calls.
//!
//! After a job a worker keeps looking at its mailbox for some tens of microseconds, because the next
//! call often comes at once and waking a parked thread costs as much; then it parks, and uses no
//! time. Where there are more threads than CPUs it parks at once: to spin would take the CPU from
//! those that work.
//!
//! Threads do not survive `fork`, but memory does. A child forgets the workers it inherited and makes
//! its own when it first needs them.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::cpus::CpuSet;
use crate::mailbox::{Mailbox, Offer, Posture};
use crate::members::Places;
use crate::placement::Seat;
use crate::stats::{self, Counters};
use crate::{budget, topology};

/// How long a worker looks at its mailbox before it parks.
pub(crate) const SPIN: Duration = Duration::from_micros(40);

/// Looks at the mailbox between two looks at the clock.
const LOOKS: u32 = 16;

/// How long a caller that waits for workers spins before it parks: about what it costs to be woken, to
/// find oneself on the worker's CPU, and to have to wake the worker for the next call.
const PATIENCE: Duration = Duration::from_micros(200);

/// What workers do. They follow the pointer between taking and finishing, as `mailbox` has it.
pub(crate) trait Work {
    /// Called by a worker, as a member of the caller's team. The worker counts what it does.
    ///
    /// # Safety
    ///
    /// It is the job that the caller offered, and alive.
    unsafe fn help(job: *const Self, member: usize, counters: &Counters);
}

pub(crate) struct Worker<J> {
    mailbox: Mailbox<J>,
    thread: OnceLock<Thread>,
    seat: Seat,
}

/// The workers of one process.
pub(crate) struct Workers<J: 'static> {
    list: [OnceLock<&'static Worker<J>>; budget::MOST],
    count: AtomicUsize,
    /// Held while threads are made.
    making: Mutex<()>,
    /// Whether there is a CPU for each of them and their caller.
    have_cpus: AtomicBool,
}

impl<J: Work + 'static> Workers<J> {
    const fn new() -> Self {
        Self {
            list: [const { OnceLock::new() }; budget::MOST],
            count: AtomicUsize::new(0),
            making: Mutex::new(()),
            have_cpus: AtomicBool::new(true),
        }
    }

    /// Makes workers until there are `count`. Where the system refuses a thread, there are fewer.
    #[cold]
    fn make(&'static self, count: usize) {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let cpus = topology::affinity();
        for number in self.count.load(Ordering::Relaxed)..count.min(budget::MOST) {
            self.have_cpus.store(number + 2 <= cpus, Ordering::Relaxed);
            let worker: &'static Worker<J> = Box::leak(Box::new(Worker {
                mailbox: Mailbox::new(),
                thread: OnceLock::new(),
                seat: Seat::new(),
            }));
            let life = move || self.live(worker, number);
            let made = thread::Builder::new().name(name(number)).spawn(life);
            let Ok(handle) = made else { return };
            let _ = worker.thread.set(handle.thread().clone());
            let _ = self.list[number].set(worker);
            self.count.store(number + 1, Ordering::Release);
        }
    }

    fn live(&self, worker: &Worker<J>, number: usize) {
        worker.seat.take();
        let counters = stats::register(&name(number));
        loop {
            let mut woke = false;
            if let Some(taken) = worker.mailbox.take() {
                let begin = Instant::now();
                // SAFETY: taken and not finished, so its caller keeps the job alive.
                unsafe { J::help(taken.job, taken.member, counters) };
                counters.busy(begin.elapsed());
                woke = worker.mailbox.finish(taken);
            }
            // Whom it woke is likely to wait for this CPU.
            if woke || !self.watch(worker) {
                worker.seat.note();
                worker.mailbox.rest();
                worker.seat.arrive();
            }
        }
    }

    /// Looks at the mailbox until a job comes or time is up. Returns whether one has come.
    fn watch(&self, worker: &Worker<J>) -> bool {
        if !self.have_cpus.load(Ordering::Relaxed) {
            return false;
        }
        let begin = Instant::now();
        while begin.elapsed() < SPIN {
            for _ in 0..LOOKS {
                if worker.mailbox.is_called() {
                    return true;
                }
                std::hint::spin_loop();
            }
        }
        false
    }

    fn all(&self, at_most: usize) -> impl Iterator<Item = &'static Worker<J>> {
        let count = self.count.load(Ordering::Acquire).min(at_most);
        self.list[..count].iter().filter_map(|worker| worker.get().copied())
    }

    /// How many of the first `count` workers look at their mailboxes now, and how many could be woken
    /// or made.
    pub(crate) fn readiness(&self, count: usize) -> (usize, usize) {
        let (mut ready, mut parked) = (0, 0);
        for worker in self.all(count) {
            match worker.mailbox.posture() {
                Posture::Ready => ready += 1,
                Posture::Parked => parked += 1,
                Posture::Away => (),
            }
        }
        (ready, parked + count.saturating_sub(self.count.load(Ordering::Relaxed)))
    }

    /// Offers the job to up to `count` workers that are nobody else's: first to those that were last
    /// seen in one of the `places`, if there are any, and among these to those that are awake.
    ///
    /// # Safety
    ///
    /// The job lives, and is not borrowed mutably, until the crew is dismissed or dropped.
    pub(crate) unsafe fn call(
        &'static self,
        count: usize,
        job: *mut J,
        places: Option<&[CpuSet]>,
    ) -> Crew<J> {
        if self.count.load(Ordering::Acquire) < count {
            self.make(count);
        }
        let mut crew = Crew { job, workers: SmallVec::new() };
        let all = self.all(budget::MOST);
        if let Some(places) = places {
            let places = Places::new(places);
            let is_near = |worker: &&Worker<J>| {
                worker.mailbox.posture() != Posture::Away
                    && places.take_near(worker.seat.cpu()).is_some()
            };
            let (near, far): (Vec<_>, Vec<_>) = all.partition(is_near);
            crew.gather(near.into_iter(), count);
            crew.gather(far.into_iter(), count);
        } else {
            crew.gather(all, count);
        }
        crew
    }
}

/// A worker's name, for people who look at a list of threads.
fn name(number: usize) -> String {
    format!("threadwise-{number}")
}

/// The workers that were offered a job.
pub(crate) struct Crew<J: 'static> {
    job: *mut J,
    workers: SmallVec<[&'static Worker<J>; 8]>,
}

impl<J> Crew<J> {
    /// Offers the job to those who are nobody else's, first to those that are awake, until the crew has
    /// `count`.
    fn gather(&mut self, candidates: impl Iterator<Item = &'static Worker<J>>, count: usize) {
        let mut sleepers: SmallVec<[&'static Worker<J>; 8]> = SmallVec::new();
        for worker in candidates {
            if self.workers.len() + sleepers.len() == count {
                break;
            }
            match worker.mailbox.posture() {
                Posture::Parked => sleepers.push(worker),
                Posture::Away => (),
                Posture::Ready => self.offer(worker, count),
            }
        }
        for worker in sleepers {
            self.offer(worker, count);
        }
    }

    fn offer(&mut self, worker: &'static Worker<J>, count: usize) {
        let member = self.workers.len() + 1;
        match worker.mailbox.offer(self.job, member) {
            Offer::Refused => (),
            Offer::Made => self.workers.push(worker),
            Offer::MadeToSleeper => self.wake(worker, count),
        }
    }

    fn wake(&mut self, worker: &'static Worker<J>, are: usize) {
        worker.seat.call(are);
        if let Some(thread) = worker.thread.get() {
            thread.unpark();
        }
        self.workers.push(worker);
    }

    /// How many were offered the job.
    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Takes the job back from those who have not come, waits for those who have, and says how many
    /// of these did it. `ask` is called now and then while it waits.
    pub(crate) fn dismiss(mut self, ask: impl FnMut()) -> usize {
        self.send_away(ask)
    }

    fn send_away(&mut self, mut ask: impl FnMut()) -> usize {
        // All are asked before any is waited for, so that nobody begins any more.
        self.workers.retain(|worker| !worker.mailbox.withdraw());
        let mut patience = Patience::new();
        let answers = self.workers.drain(..);
        answers.filter(|worker| worker.mailbox.settle(|| patience.lasts(), &mut ask)).count()
    }
}

/// Asked at each look, it lasts for a while.
struct Patience {
    begin: Option<Instant>,
    looks: u32,
}

impl Patience {
    const fn new() -> Self {
        Self { begin: None, looks: 0 }
    }

    fn lasts(&mut self) -> bool {
        self.looks += 1;
        if !self.looks.is_multiple_of(LOOKS) {
            return true;
        }
        self.begin.get_or_insert_with(Instant::now).elapsed() < PATIENCE
    }
}

impl<J> Drop for Crew<J> {
    fn drop(&mut self) {
        self.send_away(|| ());
    }
}

/// A process's workers, kept where a child after `fork` finds none.
pub(crate) struct Place<J: 'static>(AtomicPtr<Workers<J>>);

impl<J: Work + 'static> Place<J> {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Those of this process. `forget` is called in children after `fork`, and calls
    /// [`Place::forget`].
    pub(crate) fn get(&self, forget: extern "C" fn()) -> &'static Workers<J> {
        let seen = self.0.load(Ordering::Acquire);
        // SAFETY: null or made by `make`, complete before it was published, and never freed.
        if let Some(workers) = unsafe { seen.as_ref() } { workers } else { self.make(forget) }
    }

    #[cold]
    fn make(&self, forget: extern "C" fn()) -> &'static Workers<J> {
        at_fork(forget);
        let made = Box::into_raw(Box::new(Workers::new()));
        let published =
            self.0.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire);
        let winner = match published {
            Ok(_) => made,
            Err(winner) => {
                // SAFETY: made above and not published, so this is the only pointer to it.
                drop(unsafe { Box::from_raw(made) });
                winner
            }
        };
        // SAFETY: published, so complete and never freed.
        unsafe { &*winner }
    }

    /// In a child after `fork`: there are none.
    pub(crate) fn forget(&self) {
        self.0.store(ptr::null_mut(), Ordering::Release);
    }
}

/// Has `forget` called in every child of a `fork` that begins after this.
pub(crate) fn at_fork(forget: extern "C" fn()) {
    // Threads that come here at once may all ask for it: to forget twice does no harm.
    static IS_ASKED: AtomicBool = AtomicBool::new(false);
    if !IS_ASKED.load(Ordering::Acquire) {
        #[cfg(unix)]
        // SAFETY: the function may run in a child of several threads: it only stores to atomics.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(forget)) };
        #[cfg(not(unix))]
        let _ = forget;
        IS_ASKED.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Work for Nothing {
        unsafe fn help(_: *const Self, _: usize, _: &Counters) {}
    }

    /// Numbers of the workers that are called, of four that are parked on CPUs 100 to 103.
    fn called(count: usize, places: Option<&[CpuSet]>) -> Vec<usize> {
        let workers: &'static Workers<Nothing> = Box::leak(Box::new(Workers::new()));
        workers.make(4);
        for (worker, cpu) in workers.all(4).zip(100..) {
            while worker.mailbox.posture() != Posture::Parked {
                thread::yield_now();
            }
            worker.seat.pretend(cpu);
        }
        let mut job = Nothing;
        // SAFETY: the job lives until the crew is dropped.
        let crew = unsafe { workers.call(count, &raw mut job, places) };
        let is_called = |worker: &&Worker<_>| crew.workers.iter().any(|w| ptr::eq(*w, *worker));
        let numbered = workers.all(4).enumerate();
        numbered.filter(|(_, worker)| is_called(worker)).map(|(number, _)| number).collect()
    }

    #[test]
    fn workers_near_the_places_are_called_first_and_then_any() {
        let places: Vec<CpuSet> =
            ["100", "103", "101-102"].iter().map(|list| list.parse().unwrap()).collect();
        assert_eq!(called(2, None), [0, 1], "the first ones");
        assert_eq!(called(2, Some(&places)), [1, 3], "one a place, and none in the caller's");
        assert_eq!(called(1, Some(&places[..2])), [3], "on its place");
        assert_eq!(called(3, Some(&[CpuSet::default(); 4])), [0, 1, 2], "nobody is near");
    }
}
