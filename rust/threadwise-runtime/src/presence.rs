//! Whether workers come when they are called. On a host whose CPUs are busy with other programs a
//! worker may get its turn late, or hold a piece of work while somebody else runs on its CPU; its
//! caller then waits, and the call takes longer than it would have taken alone. Nothing tells so
//! beforehand. So each call watches how it went, and after one that lost time calls stay on their own
//! threads for a while: twice as long after each further loss, up to a second, and after each that
//! went well the doubt is halved.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The first pause, in microseconds: some calls.
const PAUSE: u64 = 500;

/// Doublings up to about a second.
const MOST_STRIKES: u32 = 11;

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
    /// Whether the call would have been about as fast, or faster, without workers: either the caller
    /// waited for them for half as long as it worked, or they did not come although there was time.
    fn is_loss(self) -> bool {
        let waited = self.wait > SHORT && self.wait > self.busy / 2;
        let was_alone = self.came == 0 && self.busy > Duration::from_millis(1);
        waited || was_alone
    }
}

#[derive(Debug)]
pub(crate) struct Presence {
    strikes: AtomicU32,
    /// When to try again, in microseconds; 0 for now.
    until: AtomicU64,
}

impl Presence {
    pub(crate) const fn new() -> Self {
        Self { strikes: AtomicU32::new(0), until: AtomicU64::new(0) }
    }

    /// Whether workers are worth calling.
    pub(crate) fn is_expected(&self) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until == 0 || self.is_expected_at(now())
    }

    fn is_expected_at(&self, now: u64) -> bool {
        now >= self.until.load(Ordering::Relaxed)
    }

    /// Remembers how a call went.
    pub(crate) fn observe(&self, course: Course) {
        if course.is_loss() {
            self.observe_loss(now());
        } else if self.until.load(Ordering::Relaxed) != 0 {
            let strikes = self.strikes.load(Ordering::Relaxed) / 2;
            self.strikes.store(strikes, Ordering::Relaxed);
            if strikes == 0 {
                self.until.store(0, Ordering::Relaxed);
            }
        }
    }

    #[cold]
    fn observe_loss(&self, now: u64) {
        let strikes = (self.strikes.load(Ordering::Relaxed) + 1).min(MOST_STRIKES);
        self.strikes.store(strikes, Ordering::Relaxed);
        self.until.store(now + (PAUSE << strikes), Ordering::Relaxed);
    }
}

/// Microseconds since the first call, at least 1.
fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(Instant::now);
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

    #[test]
    fn losses_pause_the_team_for_longer_and_longer_and_success_ends_it() {
        let presence = Presence::new();
        assert!(presence.is_expected(), "nothing is known");
        presence.observe(GOOD);
        assert!(presence.is_expected(), "all went well");
        let mut pauses = Vec::new();
        for course in [LATE, ALONE, LATE] {
            presence.observe(course);
            assert!(!presence.is_expected(), "{course:?}");
            pauses.push(presence.until.load(Ordering::Relaxed) - now());
        }
        assert!(pauses.is_sorted(), "each longer than the one before: {pauses:?}");
        for _ in 0..40 {
            presence.observe(LATE);
        }
        let until = presence.until.load(Ordering::Relaxed);
        assert!(until < now() + 1_100_000, "never for longer than about a second");
        assert!(presence.is_expected_at(until), "then it is tried again");
        for _ in 0..5 {
            presence.observe(GOOD);
        }
        assert!(presence.is_expected(), "and trusted after some that went well");
    }

    #[test]
    fn short_waits_and_short_calls_say_nothing() {
        for course in [
            Course { busy: Duration::from_micros(5), wait: Duration::from_micros(20), came: 1 },
            Course { busy: Duration::from_micros(300), wait: Duration::ZERO, came: 0 },
            Course { busy: Duration::from_millis(9), wait: Duration::from_millis(4), came: 3 },
        ] {
            assert!(!course.is_loss(), "{course:?}");
        }
    }
}
