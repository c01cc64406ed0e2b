//! One call's work shared between the caller and whoever of the workers arrives in time.
//!
//! # Protocol
//!
//! The caller publishes a [`Job`] and starts to work at once; workers that wake up join in. Items are
//! given out by a counter, each once. When the caller finds no item left it *closes* the job: from then
//! on nobody may join, and it waits only for those who had. A worker that comes late, because it slept
//! or was busy with another call, finds the job closed and leaves without having touched the call's
//! data. So a call never waits for a worker that does nothing for it.
//!
//! The job's state is one word: the highest bit says closed, the others count members.
//!
//! * A worker *joins* by a compare-and-swap that adds 1 to a state that is not closed (acquire: it then
//!   sees what the caller wrote before publishing). It *leaves* by subtracting 1 (release: what it
//!   wrote happens before the caller goes on), and unparks the caller if it was the last and the job is
//!   closed.
//! * The caller closes by setting the bit, and waits until the count is zero (acquire).
//!
//! The job outlives the call, because late workers still look at its state; the *work* in it is a
//! pointer into the caller's stack, which is followed only between joining and leaving. The caller does
//! not return, not even by a panic, before the job is closed and empty.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};

use crate::interrupt::{Interrupt, Interrupted};
use crate::{placement, pool};

const CLOSED: usize = 1 << (usize::BITS - 1);

/// Spins before the caller parks while it waits for members, some microseconds.
const SPINS: u32 = 2000;

struct Job {
    state: AtomicUsize,
    /// Calls what `work` points to.
    call: unsafe fn(*const ()),
    /// The caller's closure, type and lifetime erased: see the protocol.
    work: *const (),
    caller: Thread,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `work` points to something `Sync` (`Job::new` takes nothing else), and the protocol says
// when it may be followed; the other fields are `Send` and `Sync` themselves.
unsafe impl Send for Job {}
// SAFETY: as above.
unsafe impl Sync for Job {}

impl Job {
    fn new<F: Fn() + Sync>(work: &F) -> Self {
        /// # Safety
        ///
        /// `work` points to a live `F`.
        unsafe fn call<F: Fn()>(work: *const ()) {
            // SAFETY: the caller's promise.
            let work = unsafe { &*work.cast::<F>() };
            work();
        }
        Self {
            state: AtomicUsize::new(0),
            call: call::<F>,
            work: std::ptr::from_ref(work).cast(),
            caller: thread::current(),
            panic: Mutex::new(None),
        }
    }

    /// What a worker does with a job.
    fn help(&self) {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & CLOSED != 0 {
                return;
            }
            let joined = self.state.compare_exchange_weak(
                state,
                state + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            match joined {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        // SAFETY: this worker has joined, so the caller waits for it and its closure is alive.
        let work = || unsafe { (self.call)(self.work) };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
        // The caller may return as soon as the count is zero, so what is needed of it is taken first.
        let caller = self.caller.clone();
        if self.state.fetch_sub(1, Ordering::Release) == CLOSED + 1 {
            caller.unpark();
        }
    }

    /// Closes the job and waits until its members have left.
    fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::Relaxed);
        let mut spins = 0;
        while self.state.load(Ordering::Acquire) != CLOSED {
            if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
            } else {
                thread::park();
            }
        }
    }
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

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.set(self.before);
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

/// How a piece of work learns that it should stop.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint<'a> {
    stop: &'a AtomicBool,
    /// On the calling thread, what to ask.
    interrupt: Option<&'a Interrupt<'a>>,
}

impl Checkpoint<'_> {
    /// Whether to stop. To be asked every few milliseconds; it costs next to nothing.
    #[must_use]
    pub fn reached(&self) -> bool {
        if self.interrupt.is_some_and(Interrupt::is_due) {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.stop.load(Ordering::Relaxed)
    }
}

/// Calls `work` for each item, on the calling thread and up to `threads - 1` workers. With `threads`
/// equal to 1, with at most one item, and from inside another call's work, it is the plain loop.
///
/// The order in which items are worked on is not fixed; results must not depend on it. Work that takes
/// long asks its [`Checkpoint`] now and then, and returns early if that is reached.
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
    let count = items.len();
    let threads = threads.min(count);
    let stop = AtomicBool::new(false);
    let here = Checkpoint { stop: &stop, interrupt: Some(interrupt) };
    if threads <= 1 || AT_WORK.get() {
        for item in items {
            work(item, here);
            if here.reached() {
                return Err(Interrupted);
            }
        }
        return Ok(());
    }

    let next = AtomicUsize::new(0);
    let items = Items(items.as_mut_ptr());
    let take_one = |checkpoint: Checkpoint<'_>| {
        let i = next.fetch_add(1, Ordering::Relaxed);
        if i >= count || stop.load(Ordering::Relaxed) {
            return false;
        }
        // SAFETY: i < count, and the counter gives each index out once.
        work(unsafe { items.take(i) }, checkpoint);
        true
    };
    let worker = || {
        let _mark = AtWork::begin();
        while take_one(Checkpoint { stop: &stop, interrupt: None }) {}
    };
    let job = Arc::new(Job::new(&worker));
    pool::spawn(threads - 1, {
        let job = Arc::clone(&job);
        move || {
            placement::arrive();
            job.help();
            placement::leave();
        }
    });

    let mine = catch_unwind(AssertUnwindSafe(|| {
        let _mark = AtWork::begin();
        while take_one(here) && !here.reached() {}
    }));
    let interrupted = stop.load(Ordering::Relaxed);
    // After a panic, too, nobody begins another item.
    if mine.is_err() {
        stop.store(true, Ordering::Relaxed);
    }
    job.close();
    let theirs = job.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(panic) = mine.err().or(theirs) {
        resume_unwind(panic);
    }
    if interrupted { Err(Interrupted) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::thread::ThreadId;
    use std::time::Duration;

    use super::*;

    fn run<T: Send>(items: &mut [T], threads: usize, work: impl Fn(&mut T) + Sync) {
        for_each(items, threads, &Interrupt::never(), |item, _| work(item)).unwrap();
    }

    #[test]
    fn every_item_is_worked_on_once() {
        for threads in 1..=5 {
            for count in [0, 1, 2, 3, 7, 1000] {
                let mut items = vec![0_u32; count];
                run(&mut items, threads, |item| *item += 1);
                assert_eq!(items, vec![1; count], "{count} items on {threads} threads");
            }
        }
    }

    /// Threads that took part when each of `threads` items waits for all the others.
    fn participants(threads: usize) -> HashSet<ThreadId> {
        let barrier = Barrier::new(threads);
        let mut items = vec![None; threads];
        run(&mut items, threads, |item| {
            barrier.wait();
            *item = Some(thread::current().id());
        });
        items.into_iter().flatten().collect()
    }

    #[test]
    fn as_many_threads_take_part_as_were_asked_for_and_the_caller_is_one() {
        for threads in [2, 3, 4] {
            let ids = participants(threads);
            assert_eq!(ids.len(), threads, "each thread held one item");
            assert!(ids.contains(&thread::current().id()), "the caller works too");
        }
    }

    #[test]
    fn one_thread_and_nested_calls_are_the_plain_loop() {
        let me = thread::current().id();
        let mut items = [(); 8];
        run(&mut items, 1, |()| assert_eq!(thread::current().id(), me, "the caller's loop"));
        run(&mut items, 3, |()| {
            let outer = thread::current().id();
            run(&mut [(); 8], 3, |()| assert_eq!(thread::current().id(), outer, "nested: no team"));
        });
    }

    #[test]
    fn a_call_does_not_wait_for_a_worker_that_is_busy_elsewhere() {
        let (release, begun) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                run(&mut [(); 4], 4, |()| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    while !release.load(Ordering::SeqCst) {
                        thread::sleep(Duration::from_millis(1));
                    }
                });
            });
            while begun.load(Ordering::SeqCst) < 4 {
                thread::sleep(Duration::from_millis(1));
            }
            // All three workers (or more, where other tests asked for them) may be held; this call
            // must end by itself all the same.
            let mut items = vec![0; 100];
            run(&mut items, 4, |item| *item = 1);
            release.store(true, Ordering::SeqCst);
            assert_eq!(items, vec![1; 100], "the caller did what nobody else did");
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_after_all_have_left() {
        for _ in 0..50 {
            let inside = AtomicUsize::new(0);
            let mut items: Vec<usize> = (0..64).collect();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                run(&mut items, 3, |&mut item| {
                    inside.fetch_add(1, Ordering::SeqCst);
                    let result = catch_unwind(|| assert_ne!(item, 40, "item forty"));
                    inside.fetch_sub(1, Ordering::SeqCst);
                    if let Err(panic) = result {
                        resume_unwind(panic);
                    }
                });
            }));
            assert!(outcome.is_err(), "the panic was lost");
            assert_eq!(inside.load(Ordering::SeqCst), 0, "somebody was still at work");
        }
    }

    #[test]
    fn an_interruption_stops_the_work() {
        for threads in [1, 3] {
            let done = AtomicUsize::new(0);
            let mut items = vec![(); 10_000];
            let interrupt = Interrupt::when(&|| true);
            let outcome = for_each(&mut items, threads, &interrupt, |(), _| {
                thread::sleep(Duration::from_millis(1));
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(outcome, Err(Interrupted), "{threads} threads");
            assert!(done.load(Ordering::Relaxed) < 1000, "it went on long after 50 ms");
        }
    }

    #[test]
    fn a_long_item_hears_of_the_interruption_wherever_it_runs() {
        for threads in [1, 3] {
            let interrupt = Interrupt::when(&|| true);
            let outcome = for_each(&mut [(); 3], threads, &interrupt, |(), checkpoint| {
                while !checkpoint.reached() {
                    thread::sleep(Duration::from_millis(1));
                }
            });
            assert_eq!(outcome, Err(Interrupted), "{threads} threads");
        }
    }
}
