//! The protocols of the mailbox and of a region's phases, in every order in which threads may take their
//! steps: the files themselves, on the atomics of a model checker (loom).
#![expect(clippy::unwrap_used, reason = "this is a test, though its helpers are not marked so")]

mod sync {
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::Mutex;
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence,
    };

    use std::cell::RefCell;
    use std::time::Duration;

    use loom::sync::{Arc, Condvar};

    /// A thread that can be unparked. (The checker's own forgets an unpark that comes while the thread
    /// waits for something else.)
    #[derive(Clone, Debug)]
    pub(crate) struct Thread(Arc<(Mutex<bool>, Condvar)>);

    loom::thread_local! {
        static CURRENT: RefCell<Thread> = RefCell::new(Thread::new());
    }

    impl Thread {
        pub(crate) fn new() -> Self {
            Self(Arc::new((Mutex::new(false), Condvar::new())))
        }

        /// Makes this the calling thread's own.
        pub(crate) fn enter(self) {
            CURRENT.with(|current| current.replace(self));
        }

        pub(crate) fn unpark(&self) {
            *self.0.0.lock().unwrap() = true;
            self.0.1.notify_one();
        }
    }

    pub(crate) fn current() -> Thread {
        CURRENT.with(|current| current.borrow().clone())
    }

    pub(crate) fn park() {
        let thread = current();
        let mut is_unparked = thread.0.0.lock().unwrap();
        while !*is_unparked {
            is_unparked = thread.0.1.wait(is_unparked).unwrap();
        }
        *is_unparked = false;
    }

    /// Time does not pass in a model: the protocol must do without the time-out.
    pub(crate) fn park_timeout(_: Duration) {
        park();
    }

    /// Nor does it help here: see `let_it_see`.
    pub(crate) fn await_stores(_: impl Fn() -> bool) {}

    /// What time does for the other side, which may also see it before.
    pub(crate) fn let_it_see() {
        // Here the checker may go on with another thread.
        AtomicBool::new(false).load(Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}

#[path = "../src/mailbox.rs"]
#[expect(dead_code, reason = "the model takes the steps of the protocol, not its conveniences")]
mod mailbox;

#[path = "../src/phases.rs"]
mod phases;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use mailbox::{Mailbox, Offer};
use phases::{END, Phases};
use sync::Thread;

/// A job on its caller's stack: the worker adds one to it. Access by two threads at once, or without
/// an order between them, fails the model.
struct Job {
    count: UnsafeCell<u32>,
    member: usize,
    is_last: bool,
}

impl Job {
    fn new(member: usize, is_last: bool) -> Self {
        Self { count: UnsafeCell::new(0), member, is_last }
    }

    /// By the caller, when the job is its own again.
    fn expect(&self, count: u32) {
        // SAFETY: the model checker proves that nobody else has it now.
        let actual = self.count.with(|count| unsafe { *count });
        assert_eq!(actual, count, "done once if it was taken, else untouched");
    }
}

/// A worker's life: it takes jobs, up to the last one, and rests.
fn serve(mailbox: &Mailbox<Job>) {
    loop {
        let Some(taken) = mailbox.take() else {
            // It parks whatever its caller does: the checker does not let it go round for ever.
            mailbox.rest();
            continue;
        };
        // SAFETY: taken and not finished, so its caller keeps it alive.
        let job = unsafe { &*taken.job };
        assert_eq!(taken.member, job.member, "what was offered with it");
        // SAFETY: the model checker proves that nobody else has it now.
        job.count.with_mut(|count| unsafe { *count += 1 });
        let is_last = job.is_last;
        mailbox.finish(taken);
        if is_last {
            return;
        }
    }
}

/// Offers a job; says whether it was not refused.
fn offer(mailbox: &Mailbox<Job>, worker: &Thread, job: *mut Job, member: usize) -> bool {
    match mailbox.offer(job, member) {
        Offer::Refused => return false,
        Offer::MadeToSleeper => worker.unpark(),
        Offer::Made => {}
    }
    true
}

/// Waits for the answer, and looks at most so many times before it parks. Says whether the job was done.
fn settle(mailbox: &Mailbox<Job>, mut spins: u32) -> bool {
    let may_spin = || {
        let may = spins > 0;
        spins = spins.saturating_sub(1);
        may
    };
    mailbox.settle(may_spin, || ())
}

/// A call: offers a job, and gives it up or waits for it.
fn call(mailbox: &Mailbox<Job>, worker: &Thread, spins: u32, member: usize) {
    let mut job = Job::new(member, false);
    if offer(mailbox, worker, &raw mut job, member) {
        let was_done = !mailbox.withdraw() && settle(mailbox, spins);
        job.expect(u32::from(was_done));
    }
}

/// Runs `callers` threads against one worker, the first of them with `calls` calls, in every order with
/// at most so many preemptions.
fn check(callers: usize, calls: usize, spins: u32, preemptions: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        let mailbox = Arc::new(Mailbox::new());
        let handle = Thread::new();
        let worker = {
            let (mailbox, handle) = (Arc::clone(&mailbox), handle.clone());
            thread::spawn(move || {
                handle.enter();
                serve(&mailbox);
            })
        };
        let others: Vec<_> = (1..callers)
            .map(|number| {
                let (mailbox, handle) = (Arc::clone(&mailbox), handle.clone());
                thread::spawn(move || call(&mailbox, &handle, spins, calls + number))
            })
            .collect();
        for number in 0..calls {
            call(&mailbox, &handle, spins, number);
        }
        for other in others {
            other.join().unwrap();
        }
        let mut last = Job::new(0, true);
        assert!(offer(&mailbox, &handle, &raw mut last, 0), "nobody else is left");
        assert!(settle(&mailbox, spins), "it was not withdrawn");
        last.expect(1);
        worker.join().unwrap();
    });
}

#[test]
fn one_caller_who_parks_while_it_waits() {
    check(1, 2, 0, 3);
}

#[test]
fn one_caller_who_spins() {
    check(1, 2, 1, 3);
}

#[test]
fn two_callers_at_once() {
    check(2, 1, 0, 3);
}

/// How many cells the phases of a model work on.
const CELLS: usize = 2;

/// What the phases of a model work on: phase 1 makes `made[i]` of nothing, phase 2 `sums[i]` of all that was
/// made, phase 3, a single item, one total of the sums. An access without an order fails the model.
struct Region {
    phases: Phases,
    made: [UnsafeCell<u32>; CELLS],
    sums: [UnsafeCell<u32>; CELLS],
    total: UnsafeCell<u32>,
}

impl Region {
    /// Items of each phase, of which the first is the region's beginning.
    const ITEMS: [usize; 4] = [0, CELLS, CELLS, 1];

    fn new(members: usize) -> Self {
        let cells = || std::array::from_fn(|_| UnsafeCell::new(0));
        let phases = Phases::new(members);
        phases.begin(1, Self::ITEMS[1]);
        Self { phases, made: cells(), sums: cells(), total: UnsafeCell::new(0) }
    }

    fn read(cells: &[UnsafeCell<u32>]) -> u32 {
        // SAFETY: the model checker proves that nobody writes them now.
        cells.iter().map(|cell| cell.with(|x| unsafe { *x })).sum()
    }

    fn add(cell: &UnsafeCell<u32>, x: u32) {
        // SAFETY: the model checker proves that nobody else has it now.
        cell.with_mut(|cell| unsafe { *cell += x });
    }

    fn work(&self, phase: u32, item: usize) {
        match phase {
            1 => Self::add(&self.made[item], 1),
            2 => Self::add(&self.sums[item], Self::read(&self.made)),
            _ => Self::add(&self.total, Self::read(&self.sums)),
        }
    }

    /// A member's part, as in `region`.
    fn take_part(&self, member: usize) {
        let mut phase = self.phases.now();
        while phase != END {
            let mut count = 0;
            while let Some(given) = self.phases.claim(phase, member) {
                self.work(phase, given.item);
                count += 1;
            }
            if self.phases.done(count) {
                match Self::ITEMS.get(phase as usize + 1) {
                    Some(&items) => self.phases.begin(phase + 1, items),
                    None => self.phases.end(),
                }
            }
            let before = phase;
            phase = self.phases.now();
            while phase == before {
                thread::yield_now();
                phase = self.phases.now();
            }
        }
    }
}

#[test]
fn phases_follow_one_another_and_each_item_is_done_once() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let region = Arc::new(Region::new(2));
        let worker = {
            let region = Arc::clone(&region);
            thread::spawn(move || region.take_part(1))
        };
        region.take_part(0);
        let cells = u32::try_from(CELLS).unwrap();
        assert_eq!(Region::read(std::slice::from_ref(&region.total)), cells * cells, "all, once");
        worker.join().unwrap();
    });
}
