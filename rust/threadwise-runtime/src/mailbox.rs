//! A worker's mailbox: how callers and the worker speak to each other.
//!
//! What one CPU has written costs another about a tenth of a microsecond to read, and as much to write to
//! after that. So each side has lines of memory that it alone writes to, and while both are awake a job
//! takes two such transfers: the command there and the answer back.
//!
//! # Protocol
//!
//! Jobs have numbers, and the words are a job's number with a mark.
//!
//! | word | by | says |
//! | --- | --- | --- |
//! | `is_held` | callers | somebody's: whoever sets it may write the command, until that clears it |
//! | `command` | its holder | job N is *offered*; *withdrawn*; *awaited* by a holder that is about to park |
//! | `taken` | worker | job N was *begun*; that is over |
//! | `answer` | worker | job N is *done*; *declined* |
//! | `is_parked` | worker | it looks at its mailbox no longer |
//!
//! The holder *offers* a job: it writes where it is, then the command. It *withdraws* it by another command, if
//! `taken` does not name it then; else it waits for the answer, and *settles*. The worker *takes* a job: it
//! writes `taken`, and begins if the job is not withdrawn; else it declines. Each writes its own
//! word before it reads the other's, with a fence between, so at least one of them sees what the other wrote:
//! either the holder knows that the worker may be at it, or the worker that it must not.
//!
//! So a job that was offered is either withdrawn or answered before its caller goes on, and is not looked at
//! afterwards: it may live on the caller's stack. The command is a release that the worker acquires, so it
//! sees what the caller wrote before; the answer is the same pair the other way.
//!
//! A holder that has waited for long says that it awaits the answer, and parks if there is none yet; the
//! worker answers, and wakes who awaits it: again each writes before it reads. In the same way a worker that
//! parks has said so first, and looks once more for a command; whoever offers a job to a worker that is
//! parked wakes it. No call is lost.
//!
//! A worker may rest before its caller has settled: the system likes to put a caller that was woken on the CPU
//! of the worker that woke it, where it would wait behind a worker that waits for it.

use std::ptr;
use std::sync::PoisonError;
use std::time::Duration;

use crate::sync::{
    AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Mutex, Ordering, Thread, await_stores, current,
    fence, let_it_see, park, park_timeout, spin_loop,
};

/// Marks of a command, ...
const OFFERED: u64 = 0;
const WITHDRAWN: u64 = 1;
const AWAITED: u64 = 2;

/// ... of an answer, ...
const DONE: u64 = 0;
const DECLINED: u64 = 1;

/// ... and of what was taken.
const BEGUN: u64 = 0;
const OVER: u64 = 1;

/// From one job's number to the next: marks are less.
const STEP: u64 = 4;

/// The number of the job that a word is about.
fn number(word: u64) -> u64 {
    word / STEP
}

/// The word about that job with this mark.
fn marked(number: u64, mark: u64) -> u64 {
    number * STEP + mark
}

/// Whether both words are about the same job.
fn is_same(one: u64, other: u64) -> bool {
    number(one) == number(other)
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

/// A job that a worker has taken, and the member of its team that the worker is.
#[derive(Debug)]
pub(crate) struct Taken<J> {
    pub(crate) job: *mut J,
    pub(crate) member: usize,
    number: u64,
}

/// Memory that nothing else lies beside. CPUs fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Line<T>(T);

/// What a holder tells.
#[derive(Debug)]
struct Command<J> {
    word: AtomicU64,
    /// Those of the job that is offered.
    job: AtomicPtr<J>,
    member: AtomicUsize,
}

/// What the worker tells callers that look often.
#[derive(Debug)]
struct Answer {
    word: AtomicU64,
    is_parked: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct Mailbox<J> {
    is_held: Line<AtomicBool>,
    command: Line<Command<J>>,
    answer: Line<Answer>,
    /// Apart from the answer, at which callers look: so the worker has it at hand when a job comes.
    taken: Line<AtomicU64>,
    /// Who awaits the answer: there before the command says so.
    waiter: Mutex<Option<Thread>>,
}

impl<J> Mailbox<J> {
    pub(crate) fn new() -> Self {
        let command = Command {
            word: AtomicU64::new(WITHDRAWN),
            job: AtomicPtr::new(ptr::null_mut()),
            member: AtomicUsize::new(0),
        };
        let answer = Answer { word: AtomicU64::new(DONE), is_parked: AtomicBool::new(false) };
        Self {
            is_held: Line(AtomicBool::new(false)),
            command: Line(command),
            answer: Line(answer),
            taken: Line(AtomicU64::new(OVER)),
            waiter: Mutex::new(None),
        }
    }

    /// By anybody: how the worker is at this moment.
    pub(crate) fn posture(&self) -> Posture {
        if self.is_held.0.load(Ordering::Relaxed) {
            Posture::Away
        } else if self.answer.0.is_parked.load(Ordering::Relaxed) {
            Posture::Parked
        } else {
            Posture::Ready
        }
    }

    /// By a caller: offers a job, and to be that member of its team. Unless it is refused, the caller must
    /// [`withdraw`](Self::withdraw) or [`settle`](Self::settle) it before the job ends.
    pub(crate) fn offer(&self, job: *mut J, member: usize) -> Offer {
        let (acquire, relaxed) = (Ordering::Acquire, Ordering::Relaxed);
        if self.is_held.0.compare_exchange(false, true, acquire, relaxed).is_err() {
            return Offer::Refused;
        }
        let command = &self.command.0;
        let number = number(command.word.load(Ordering::Relaxed)) + 1;
        command.job.store(job, Ordering::Relaxed);
        command.member.store(member, Ordering::Relaxed);
        command.word.store(marked(number, OFFERED), Ordering::Release);
        let_it_see();
        let is_parked = self.answer.0.is_parked.load(Ordering::Relaxed);
        if is_parked { Offer::MadeToSleeper } else { Offer::Made }
    }

    /// By the caller whose offer was not refused: takes it back, if the worker has not begun.
    pub(crate) fn withdraw(&self) -> bool {
        let command = &self.command.0.word;
        let offer = command.load(Ordering::Relaxed);
        // Most times it has begun. Then the line stays as it is.
        if is_same(self.answer.0.word.load(Ordering::Relaxed), offer) || self.is_begun(offer) {
            return false;
        }
        command.store(marked(number(offer), WITHDRAWN), Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.is_begun(offer) {
            return false;
        }
        self.let_go();
        true
    }

    fn is_begun(&self, offer: u64) -> bool {
        is_same(self.taken.0.load(Ordering::Relaxed), offer)
    }

    /// By the holder.
    fn let_go(&self) {
        // Release, for the next holder to see the command.
        self.is_held.0.store(false, Ordering::Release);
    }

    /// By the caller whose offer was not withdrawn: waits for the answer, and lets the worker go. It spins
    /// while it `may_spin`, then parks, and every now and then calls `ask`. Returns whether the job was
    /// done, by the worker; else it was declined.
    pub(crate) fn settle(&self, mut may_spin: impl FnMut() -> bool, mut ask: impl FnMut()) -> bool {
        let command = &self.command.0.word;
        let offer = command.load(Ordering::Relaxed);
        let mut is_awaited = false;
        let answer = loop {
            let answer = self.answer.0.word.load(Ordering::Acquire);
            if is_same(answer, offer) {
                break answer;
            }
            if is_awaited {
                ask();
                park_timeout(Duration::from_millis(20));
            } else if may_spin() {
                spin_loop();
            } else {
                let me = Some(current());
                *self.waiter.lock().unwrap_or_else(PoisonError::into_inner) = me;
                // Release, for the worker to see who waits.
                command.store(marked(number(offer), AWAITED), Ordering::Release);
                fence(Ordering::SeqCst);
                is_awaited = true;
            }
        };
        self.let_go();
        answer % STEP == DONE
    }

    /// The command, if it is about a job that the worker has not answered, and may do.
    fn offered(&self) -> Option<u64> {
        let command = self.command.0.word.load(Ordering::Acquire);
        let is_new = !is_same(self.answer.0.word.load(Ordering::Relaxed), command);
        (is_new && command % STEP != WITHDRAWN).then_some(command)
    }

    /// By the worker: whether a job waits.
    pub(crate) fn is_called(&self) -> bool {
        self.offered().is_some()
    }

    /// By the worker: takes the job that is offered, if one is.
    pub(crate) fn take(&self) -> Option<Taken<J>> {
        let offer = self.offered()?;
        let number = number(offer);
        self.taken.0.store(marked(number, BEGUN), Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let command = &self.command.0;
        let now = command.word.load(Ordering::Relaxed);
        if !is_same(now, offer) || now % STEP == WITHDRAWN {
            self.reply(number, DECLINED);
            return None;
        }
        let (job, member) = (&command.job, &command.member);
        let (job, member) = (job.load(Ordering::Relaxed), member.load(Ordering::Relaxed));
        Some(Taken { job, member, number })
    }

    /// By the worker: the job it took is done, and will not be looked at again. Says whether its caller had
    /// parked, and was woken.
    pub(crate) fn finish(&self, taken: Taken<J>) -> bool {
        let Taken { number, .. } = taken;
        self.reply(number, DONE)
    }

    fn reply(&self, number: u64, mark: u64) -> bool {
        self.answer.0.word.store(marked(number, mark), Ordering::Release);
        // Now there is time to fetch the line back from a caller that has looked at it.
        self.taken.0.store(marked(number, OVER), Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // Acquire, to see who waits.
        if self.command.0.word.load(Ordering::Acquire) != marked(number, AWAITED) {
            return false;
        }
        // It stays there: this may be the next job's already.
        let waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waiter) = waiter {
            waiter.unpark();
        }
        true
    }

    /// By the worker: parks until it is called, unless it has just been.
    pub(crate) fn rest(&self) {
        let is_parked = &self.answer.0.is_parked;
        is_parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        await_stores(|| self.is_called());
        while !self.is_called() {
            park();
        }
        is_parked.store(false, Ordering::Relaxed);
    }
}
