//! Stopping long work when somebody asks.

use std::cell::Cell;
use std::fmt;
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

/// A question that the calling thread asks between pieces of work, at most every 50 ms: should it
/// stop? The check may be costly (Python's takes the interpreter's lock).
#[derive(Clone)]
pub struct Interrupt<'a> {
    check: Option<&'a dyn Fn() -> bool>,
    asked: Cell<Option<Instant>>,
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
        Self { check: None, asked: Cell::new(None) }
    }

    /// Stops when `check` answers true.
    #[must_use]
    pub const fn when(check: &'a dyn Fn() -> bool) -> Self {
        Self { check: Some(check), asked: Cell::new(None) }
    }

    /// Asks now, whenever it was asked before.
    #[must_use]
    pub fn ask(&self) -> bool {
        self.check.is_some_and(|check| check())
    }

    /// Whether to stop. The first 50 ms pass without a check: most work is done by then.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let Some(check) = self.check else { return false };
        let now = Instant::now();
        match self.asked.get() {
            None => {
                self.asked.set(Some(now));
                false
            }
            Some(asked) if now.duration_since(asked) < Self::PERIOD => false,
            Some(_) => {
                self.asked.set(Some(now));
                check()
            }
        }
    }
}
