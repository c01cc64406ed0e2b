//! Whether workers come when they are called. On a host whose CPUs are busy with other programs a
//! worker may get its turn late, or hold a piece of work while somebody else runs on its CPU; its
//! caller then waits, and the call takes longer than it would have taken alone. Nothing tells so
//! beforehand. So each call watches how it went. Calls that go well earn an eighth of their time as credit, of
//! which losses are paid: a program may now and then be disturbed anywhere. After a loss that exceeds the credit,
//! calls stay on their own threads for some times as long as was lost, so that no more than a part of the time
//! can be lost in trying. Calls that are much longer than what was lost go on; one that goes well ends the doubt.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use once_cell::race::OnceBox;

/// The part of its time that a call which goes well earns, and that may be lost: one in so many.
const PART: u64 = 8;

/// What may be lost before anything is known: a turn of another program, in nanoseconds.
const FIRST_CREDIT: u64 = 5_000_000;

/// More is not laid by, in nanoseconds: a host may be quiet for long and then be busy.
const MOST_CREDIT: u64 = 4 * FIRST_CREDIT;

/// The first pause, in times of what was lost, ...
const PAUSE: u64 = PART;

/// ... and, after as many doublings, four times that.
const MOST_DOUBLINGS: u32 = 2;

/// Work that takes this many times as long as was lost gains more by workers than it risks.
const WORTH_A_RISK: u64 = 4;

/// A wait that says nothing: the last piece of work may just have begun, or the caller was early.
const SHORT: Duration = Duration::from_micros(40);

/// How one call went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// From the call for workers until the caller had nothing left to do.
    pub(crate) busy: Duration,
    /// From then until the last worker was done.
    pub(crate) wait: Duration,
    /// Workers that came.
    pub(crate) came: usize,
}

impl Course {
    /// What was lost, if the call would have been about as fast, or faster, without workers: the caller
    /// waited for them for half as long as it worked. Where they did not come although there was time,
    /// no more was lost than to call them.
    fn loss(self) -> Option<Duration> {
        if self.wait > SHORT && self.wait > self.busy / 2 {
            return Some(self.wait);
        }
        (self.came == 0 && self.busy > Duration::from_millis(1)).then_some(SHORT)
    }
}

#[derive(Debug)]
pub(crate) struct Presence {
    /// What may be lost without a pause, in nanoseconds. A race between callers loses a change, no more.
    credit: AtomicU64,
    /// Losses that nothing was left to pay for, without a success between them.
    strikes: AtomicU32,
    /// When to try again, in microseconds; 0 for now.
    until: AtomicU64,
    /// What was lost last, in microseconds.
    lost: AtomicU64,
}

impl Presence {
    pub(crate) const fn new() -> Self {
        let (until, lost) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { credit: AtomicU64::new(FIRST_CREDIT), strikes: AtomicU32::new(0), until, lost }
    }

    /// Whether workers are worth calling for work that takes so long without them.
    pub(crate) fn is_expected(&self, work: Duration) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until == 0 || self.is_expected_at(now(), work)
    }

    fn is_expected_at(&self, now: u64, work: Duration) -> bool {
        let risk = WORTH_A_RISK * self.lost.load(Ordering::Relaxed);
        now >= self.until.load(Ordering::Relaxed) || work.as_micros() > u128::from(risk)
    }

    /// Nothing is known: what is remembered was of other workers.
    pub(crate) fn forget(&self) {
        self.credit.store(FIRST_CREDIT, Ordering::Relaxed);
        self.trust();
    }

    fn trust(&self) {
        self.strikes.store(0, Ordering::Relaxed);
        self.until.store(0, Ordering::Relaxed);
    }

    /// Remembers how a call went that has just ended.
    pub(crate) fn observe(&self, course: Course) {
        let credit = self.credit.load(Ordering::Relaxed);
        let Some(lost) = course.loss() else {
            let earned = nanoseconds(course.busy + course.wait) / PART;
            self.credit.store((credit + earned).min(MOST_CREDIT), Ordering::Relaxed);
            if self.until.load(Ordering::Relaxed) != 0 {
                self.trust();
            }
            return;
        };
        match credit.checked_sub(nanoseconds(lost)) {
            Some(left) => self.credit.store(left, Ordering::Relaxed),
            None => self.observe_loss(now(), microseconds(lost)),
        }
    }

    #[cold]
    fn observe_loss(&self, now: u64, lost: u64) {
        let strikes = self.strikes.fetch_add(1, Ordering::Relaxed);
        self.lost.store(lost, Ordering::Relaxed);
        let pause = (PAUSE * lost) << strikes.min(MOST_DOUBLINGS);
        self.until.store(now + pause, Ordering::Relaxed);
    }
}

/// Microseconds since the first call of this, and one.
fn now() -> u64 {
    static START: OnceBox<Instant> = OnceBox::new();
    1 + microseconds(START.get_or_init(|| Box::new(Instant::now())).elapsed())
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX >> 8)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Duration = Duration::from_millis(1);

    fn course(busy: u64, wait: u64, came: usize) -> Course {
        let [busy, wait] = [busy, wait].map(Duration::from_micros);
        Course { busy, wait, came }
    }

    fn good() -> Course {
        course(2000, 30, 1)
    }

    fn late() -> Course {
        course(2000, 3000, 1)
    }

    fn pause(presence: &Presence) -> u64 {
        presence.until.load(Ordering::Relaxed).saturating_sub(now()).div_ceil(1000)
    }

    #[test]
    fn losses_pause_the_team_in_proportion_and_a_success_ends_it() {
        let presence = Presence::new();
        assert!(presence.is_expected(WORK), "nothing is known");
        presence.observe(late());
        assert!(presence.is_expected(WORK), "three of five milliseconds are paid for");
        let pauses = [(); 5].map(|()| {
            presence.observe(late());
            assert!(!presence.is_expected(WORK), "late");
            pause(&presence)
        });
        assert_eq!(pauses, [24, 48, 96, 96, 96], "milliseconds, for three that were lost");
        assert!(presence.is_expected(Duration::from_millis(13)), "worth the risk of three more");
        let until = presence.until.load(Ordering::Relaxed);
        assert!(presence.is_expected_at(until, WORK), "then it is tried again");
        presence.observe(good());
        assert!(presence.is_expected(WORK), "and trusted after one that went well");
        presence.observe(late());
        assert!(!presence.is_expected(WORK), "as far as its credit goes");
        presence.forget();
        assert!(presence.is_expected(Duration::ZERO), "forgotten");
    }

    #[test]
    fn calls_that_go_well_pay_for_one_in_a_while_that_does_not() {
        let presence = Presence::new();
        for _ in 0..100 {
            presence.observe(late());
            assert!(presence.is_expected(WORK), "one of thirteen calls is three milliseconds late");
            for _ in 0..12 {
                presence.observe(good());
            }
        }
        for _ in 0..10_000 {
            presence.observe(good());
        }
        let paid = (0..100).take_while(|_| {
            presence.observe(late());
            presence.is_expected(WORK)
        });
        assert_eq!(paid.count(), 6, "no more than twenty milliseconds are laid by");
    }

    #[test]
    fn calls_to_which_nobody_comes_cost_little() {
        let presence = Presence::new();
        presence.credit.store(0, Ordering::Relaxed);
        presence.observe(course(4000, 0, 0));
        assert!(!presence.is_expected(Duration::ZERO), "nobody came");
        assert!(presence.is_expected(WORK), "but little was lost");
    }

    #[test]
    fn short_waits_and_short_calls_say_nothing() {
        for course in [course(5, 20, 1), course(300, 0, 0), course(9000, 4000, 3)] {
            assert_eq!(course.loss(), None, "{course:?}");
        }
    }
}
