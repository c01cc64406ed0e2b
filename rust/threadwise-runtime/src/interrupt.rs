//! Stopping long work when somebody asks.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Work was stopped before it was complete, because the caller's check said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// A question that a thread asks between pieces of work: should it stop?
pub struct Interrupt<'a> {
    source: Source<'a>,
    asked: Cell<Option<Instant>>,
}

enum Source<'a> {
    Never,
    Check(&'a dyn Fn() -> bool),
    Flag(&'a AtomicBool),
    /// One who asks, and where the answer goes.
    Other(&'a Interrupt<'a>, Option<&'a AtomicBool>),
}

impl fmt::Debug for Interrupt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupt").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl<'a> Interrupt<'a> {
    const PERIOD: Duration = Duration::from_millis(50);

    /// Never stops.
    #[must_use]
    pub const fn never() -> Self {
        Self { source: Source::Never, asked: Cell::new(None) }
    }

    /// Stops when `check` answers true, which is asked at most every 50 ms: it may be costly (Python's takes the
    /// interpreter's lock).
    #[must_use]
    pub const fn when(check: &'a dyn Fn() -> bool) -> Self {
        Self { source: Source::Check(check), asked: Cell::new(None) }
    }

    /// Stops as soon as `flag` is set, by another thread that knows.
    #[must_use]
    pub const fn told(flag: &'a AtomicBool) -> Self {
        Self { source: Source::Flag(flag), asked: Cell::new(None) }
    }

    /// The same question for a part of the work. All parts together ask it as often as one would.
    #[must_use]
    pub const fn part(&'a self) -> Self {
        Self { source: Source::Other(self, None), asked: Cell::new(None) }
    }

    /// The same as [`part`](Self::part); once the answer is to stop, `flag` is set for others to be
    /// [`told`](Self::told).
    #[must_use]
    pub const fn telling(&'a self, flag: &'a AtomicBool) -> Self {
        Self { source: Source::Other(self, Some(flag)), asked: Cell::new(None) }
    }

    /// Asks now, whenever it was asked before.
    #[must_use]
    pub fn ask(&self) -> bool {
        match self.source {
            Source::Never => false,
            Source::Check(check) => check(),
            Source::Flag(flag) => flag.load(Ordering::Relaxed),
            Source::Other(other, flag) => tell(flag, other.ask()),
        }
    }

    /// Whether to stop. The first 50 ms pass without a check: most work is done by then.
    #[must_use]
    pub fn is_due(&self) -> bool {
        match self.source {
            Source::Never | Source::Flag(_) => self.ask(),
            Source::Other(other, flag) => tell(flag, other.is_due()),
            Source::Check(check) => {
                let now = Instant::now();
                match self.asked.get() {
                    Some(asked) if now.duration_since(asked) < Self::PERIOD => false,
                    asked => {
                        self.asked.set(Some(now));
                        asked.is_some() && check()
                    }
                }
            }
        }
    }
}

fn tell(flag: Option<&AtomicBool>, answer: bool) -> bool {
    if let Some(flag) = flag.filter(|_| answer) {
        flag.store(true, Ordering::Relaxed);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_tells_keeps_asking_where_others_left_off() {
        let (asked, flag) = (Cell::new(0), AtomicBool::new(false));
        let check = || {
            asked.set(asked.get() + 1);
            asked.get() == 2
        };
        let all = Interrupt::when(&check);
        let others = Interrupt::told(&flag);
        let mut periods = 0;
        // Each piece of work has an interrupt of its own, and is shorter than a period.
        while !all.telling(&flag).is_due() {
            assert!(!others.is_due());
            std::thread::sleep(Interrupt::PERIOD / 2);
            periods += 1;
            assert!(periods < 100, "nobody asked");
        }
        assert_eq!(asked.get(), 2);
        assert!(others.is_due() && others.ask());
        assert!(!Interrupt::never().ask());
    }
}
