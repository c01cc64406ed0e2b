//! Whether workers come when they are called. On a host whose CPUs are busy with other programs a
//! worker may get its turn late, or hold a piece of work while somebody else runs on its CPU; its
//! caller then waits, and the call takes longer than it would have taken alone. Nothing tells so
//! beforehand. So each call watches how it went, and after one that lost time calls stay on their own
//! threads for some times as long as was lost, so that no more than a part of the time can be lost in
//! trying. Calls that are much longer than what was lost go on; one that goes well ends the doubt.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use once_cell::race::OnceBox;

/// The first pause, in times of what was lost: an eighth of the time may be lost in trying, ...
const PAUSE: u64 = 8;

/// ... and, after as many doublings, a thirty-second.
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
    /// Losses without a success between them.
    strikes: AtomicU32,
    /// When to try again, in microseconds; 0 for now.
    until: AtomicU64,
    /// What was lost last, in microseconds.
    lost: AtomicU64,
}

impl Presence {
    pub(crate) const fn new() -> Self {
        let (strikes, until, lost) = (AtomicU32::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { strikes, until, lost }
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
        self.strikes.store(0, Ordering::Relaxed);
        self.until.store(0, Ordering::Relaxed);
    }

    /// Remembers how a call went.
    pub(crate) fn observe(&self, course: Course) {
        match course.loss() {
            Some(lost) => self.observe_loss(now(), lost),
            None if self.until.load(Ordering::Relaxed) != 0 => self.forget(),
            None => {}
        }
    }

    #[cold]
    fn observe_loss(&self, now: u64, lost: Duration) {
        let lost = u64::try_from(lost.as_micros()).unwrap_or(u64::MAX >> 8);
        let strikes = self.strikes.fetch_add(1, Ordering::Relaxed);
        self.lost.store(lost, Ordering::Relaxed);
        self.until.store(now + ((PAUSE * lost) << strikes.min(MOST_DOUBLINGS)), Ordering::Relaxed);
    }
}

/// Microseconds since the first call, at least 1.
fn now() -> u64 {
    static START: OnceBox<Instant> = OnceBox::new();
    let start = START.get_or_init(|| Box::new(Instant::now()));
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Course =
        Course { busy: Duration::from_millis(2), wait: Duration::from_micros(30), came: 1 };
    const LATE: Course =
        Course { busy: Duration::from_millis(2), wait: Duration::from_millis(3), came: 1 };
    const ALONE: Course = Course { busy: Duration::from_millis(4), wait: Duration::ZERO, came: 0 };

    const WORK: Duration = Duration::from_millis(1);

    #[test]
    fn losses_pause_the_team_in_proportion_and_a_success_ends_it() {
        let presence = Presence::new();
        assert!(presence.is_expected(WORK), "nothing is known");
        presence.observe(GOOD);
        assert!(presence.is_expected(WORK), "all went well");
        let pauses = [LATE; 5].map(|course| {
            presence.observe(course);
            assert!(!presence.is_expected(WORK), "{course:?}");
            presence.until.load(Ordering::Relaxed).saturating_sub(now()).div_ceil(1000)
        });
        assert_eq!(pauses, [24, 48, 96, 96, 96], "milliseconds, for three that were lost");
        assert!(presence.is_expected(Duration::from_millis(13)), "worth the risk of three more");
        let until = presence.until.load(Ordering::Relaxed);
        assert!(presence.is_expected_at(until, WORK), "then it is tried again");
        presence.observe(GOOD);
        assert!(presence.is_expected(WORK), "and trusted after one that went well");
        presence.observe(ALONE);
        assert!(!presence.is_expected(Duration::ZERO), "nobody came");
        assert!(presence.is_expected(WORK), "but little was lost");
        presence.forget();
        assert!(presence.is_expected(Duration::ZERO), "forgotten");
    }

    #[test]
    fn short_waits_and_short_calls_say_nothing() {
        for course in [
            Course { busy: Duration::from_micros(5), wait: Duration::from_micros(20), came: 1 },
            Course { busy: Duration::from_micros(300), wait: Duration::ZERO, came: 0 },
            Course { busy: Duration::from_millis(9), wait: Duration::from_millis(4), came: 3 },
        ] {
            assert_eq!(course.loss(), None, "{course:?}");
        }
    }
}
