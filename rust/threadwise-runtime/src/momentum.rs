//! Whether calls come so thick and fast that it pays to wake workers whom no single one of them would
//! be worth waking for: once awake they look for the next call, and stay with the caller while it goes
//! on. It is the rent-or-buy rule of A. Karlin, M. Manasse, L. Rudolph, D. Sleator, *Competitive
//! Snoopy Caching*, Algorithmica 3, 1988: pay the price once as much has been lost by not paying it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use once_cell::race::OnceBox;

use crate::workers::SPIN;

static MOMENTUM: Momentum = Momentum::new();

/// Notes a call that takes `alone` on its own thread and, were workers awake, would take `gain` less. Says
/// whether so many such calls have come in quick succession that it pays to wake workers, which costs
/// `price`.
#[must_use]
pub fn worth_waking(alone: Duration, gain: Duration, price: Duration) -> bool {
    MOMENTUM.note_at(now(), alone, gain, price)
}

/// What one call after the other has noted; a race between callers loses a note, no more.
#[derive(Debug)]
struct Momentum {
    /// When the last call was noted, in nanoseconds.
    last: AtomicU64,
    /// What calls in quick succession lost, in nanoseconds.
    lost: AtomicU64,
}

impl Momentum {
    const fn new() -> Self {
        Self { last: AtomicU64::new(0), lost: AtomicU64::new(0) }
    }

    fn note_at(&self, now: u64, alone: Duration, gain: Duration, price: Duration) -> bool {
        let last = self.last.swap(now, Ordering::Relaxed);
        // From the end of the last call: a worker looks for the next one for so long. The call may have taken
        // longer than was thought.
        let still_looking = now.saturating_sub(last) < nanoseconds(2 * alone + SPIN);
        let before = if still_looking { self.lost.load(Ordering::Relaxed) } else { 0 };
        let lost = before.saturating_add(nanoseconds(gain));
        let pays = still_looking && lost > nanoseconds(price);
        self.lost.store(if pays { 0 } else { lost }, Ordering::Relaxed);
        pays
    }
}

fn now() -> u64 {
    static START: OnceBox<Instant> = OnceBox::new();
    nanoseconds(START.get_or_init(|| Box::new(Instant::now())).elapsed()).max(1)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Duration = Duration::from_micros(15);
    const GAIN: Duration = Duration::from_micros(5);
    const PRICE: Duration = Duration::from_micros(30);

    /// In which of twenty calls, `apart` nanoseconds from each other, workers are woken.
    fn woken(apart: u64) -> Vec<u64> {
        let momentum = Momentum::new();
        (1..=20).filter(|i| momentum.note_at(i * apart, ALONE, GAIN, PRICE)).collect()
    }

    #[test]
    fn quick_calls_wake_workers_when_they_have_lost_the_price() {
        assert_eq!(woken(20_000), [7, 14], "the seventh has lost more than 30 us, and so on");
    }

    #[test]
    fn calls_far_apart_never_do() {
        assert_eq!(woken(200_000), [], "the workers would have parked in between");
    }
}
