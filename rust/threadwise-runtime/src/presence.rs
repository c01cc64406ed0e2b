//! Whether workers come when they are called. On a host whose CPUs are busy with other programs a
//! worker may get its turn late, or hold a piece of work while somebody else runs on its CPU; its
//! caller then waits, and the call takes longer than it would have taken alone. Nothing tells so
//! beforehand. So each call watches how it went, and after one that lost time calls stay on their own
//! threads for some times as long as was lost, so that no more than a part of the time can be lost in
//! trying. Calls that are much longer than what was lost go on; one that goes well ends the doubt. The first
//! call after a pause says less: processors and pages that were asleep make workers late, too.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use once_cell::race::OnceBox;

/// From the end of a call to the next from which on that one is the first after a pause.
const ASLEEP: Duration = Duration::from_millis(5);

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
    /// When it began.
    pub(crate) begin: Instant,
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
    /// When the last call ended, in microseconds.
    last: AtomicU64,
}

impl Presence {
    pub(crate) const fn new() -> Self {
        let (until, lost, last) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { strikes: AtomicU32::new(0), until, lost, last }
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
        let begin = at(course.begin);
        let end = begin + microseconds(course.busy + course.wait);
        let last = self.last.swap(end, Ordering::Relaxed);
        let was_asleep = begin.saturating_sub(last) > microseconds(ASLEEP);
        match course.loss() {
            Some(lost) => self.observe_loss(end, lost, was_asleep),
            None if self.until.load(Ordering::Relaxed) != 0 => self.forget(),
            None => {}
        }
    }

    #[cold]
    fn observe_loss(&self, now: u64, lost: Duration, was_asleep: bool) {
        let lost = microseconds(lost);
        let strikes = self.strikes.fetch_add(1, Ordering::Relaxed);
        self.lost.store(lost, Ordering::Relaxed);
        let excused = strikes == 0 && was_asleep;
        let pause = if excused { lost } else { (PAUSE * lost) << strikes.min(MOST_DOUBLINGS) };
        self.until.store(now + pause, Ordering::Relaxed);
    }
}

fn now() -> u64 {
    at(Instant::now())
}

/// Microseconds from a while before the first call until then, at least 1.
fn at(time: Instant) -> u64 {
    static START: OnceBox<Instant> = OnceBox::new();
    let start = START.get_or_init(|| Box::new(time));
    microseconds(time.saturating_duration_since(*start) + 2 * ASLEEP).max(1)
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Duration = Duration::from_millis(1);

    fn course(busy: u64, wait: u64, came: usize) -> Course {
        let [busy, wait] = [busy, wait].map(Duration::from_micros);
        Course { busy, wait, came, begin: Instant::now() }
    }

    fn good() -> Course {
        course(2000, 30, 1)
    }

    fn late() -> Course {
        course(2000, 3000, 1)
    }

    fn pause(presence: &Presence) -> u64 {
        presence.until.load(Ordering::Relaxed).saturating_sub(now() + 5000).div_ceil(1000)
    }

    #[test]
    fn losses_pause_the_team_in_proportion_and_a_success_ends_it() {
        let presence = Presence::new();
        assert!(presence.is_expected(WORK), "nothing is known");
        presence.observe(good());
        assert!(presence.is_expected(WORK), "all went well");
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
        presence.observe(course(4000, 0, 0));
        assert!(!presence.is_expected(Duration::ZERO), "nobody came");
        assert!(presence.is_expected(WORK), "but little was lost");
        presence.forget();
        assert!(presence.is_expected(Duration::ZERO), "forgotten");
    }

    #[test]
    fn the_first_call_after_a_pause_is_excused_once() {
        let presence = Presence::new();
        let pauses = [(); 3].map(|()| {
            presence.observe(late());
            pause(&presence)
        });
        assert_eq!(pauses, [3, 48, 96], "milliseconds");
    }

    #[test]
    fn short_waits_and_short_calls_say_nothing() {
        for course in [course(5, 20, 1), course(300, 0, 0), course(9000, 4000, 3)] {
            assert_eq!(course.loss(), None, "{course:?}");
        }
    }
}
