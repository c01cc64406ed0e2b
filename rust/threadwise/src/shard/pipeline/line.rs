//! The queues between stages that have threads of their own.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::PipelineReport;
use super::state::{expect_some, expect_stages};
use crate::error::{Error, RankError};

/// How long a thread waits before it asks whether it should stop.
const NAP: Duration = Duration::from_millis(50);

/// Micro-batches on their way from stage to stage, in order. Queues hold a bounded number; what leaves the last
/// stage is kept until it is taken.
///
/// A stage takes a micro-batch, works on it and gives it on. A thread in its place says when it ends.
pub struct Line<I> {
    state: Mutex<State<I>>,
    /// Rung when anything has changed.
    changed: Condvar,
    depth: usize,
    memory_budget: usize,
}

struct State<I> {
    /// One before each stage, and what has left the last one.
    queues: Vec<VecDeque<Batch<I>>>,
    /// What each stage works on, and since when.
    at_work: Vec<Option<(Instant, usize)>>,
    /// Whether nothing more comes into each queue.
    ended: Vec<bool>,
    is_stopped: bool,
    held: usize,
    report: PipelineReport,
    begin: Option<Instant>,
}

struct Batch<I> {
    id: u64,
    item: I,
    bytes: usize,
}

impl<I> Line<I> {
    /// Queues of `depth` micro-batches, for micro-batches of `memory_budget` bytes together, or for one.
    ///
    /// # Errors
    ///
    /// If there are no stages or too many, or another number is 0.
    pub fn new(stages: usize, depth: usize, memory_budget: usize) -> Result<Self, Error> {
        expect_stages(stages)?;
        expect_some("depth", depth)?;
        expect_some("memory_budget", memory_budget)?;
        let report = PipelineReport {
            micro_batches: 0,
            elapsed: Duration::ZERO,
            busy: vec![Duration::ZERO; stages],
            peak_bytes: 0,
        };
        let state = State {
            queues: (0..=stages).map(|_| VecDeque::new()).collect(),
            at_work: vec![None; stages],
            ended: vec![false; stages + 1],
            is_stopped: false,
            held: 0,
            report,
            begin: None,
        };
        Ok(Self { state: Mutex::new(state), changed: Condvar::new(), depth, memory_budget })
    }

    /// Puts a micro-batch of so many bytes before the first stage, as soon as there is room. `ask` is called now
    /// and then while there is none; if it answers true, nothing is put.
    ///
    /// # Errors
    ///
    /// If the line is stopped, by `ask` or before.
    pub fn feed(
        &self,
        id: u64,
        item: I,
        bytes: usize,
        ask: impl FnMut() -> bool,
    ) -> Result<(), Error> {
        let mut state = self.wait(|state| self.admits(state, bytes), ask)?;
        state.begin.get_or_insert_with(Instant::now);
        state.held += bytes;
        state.report.peak_bytes = state.report.peak_bytes.max(state.held);
        state.queues[0].push_back(Batch { id, item, bytes });
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits for the next micro-batch of a stage; `None` where none comes any more.
    ///
    /// # Errors
    ///
    /// If the line is stopped.
    pub fn take(&self, stage: usize) -> Result<Option<(u64, I)>, Error> {
        let is_over = |state: &State<I>| !state.queues[stage].is_empty() || state.ended[stage];
        let mut state = self.wait(is_over, || false)?;
        let Some(Batch { id, item, bytes }) = state.queues[stage].pop_front() else {
            return Ok(None);
        };
        state.at_work[stage] = Some((Instant::now(), bytes));
        drop(state);
        self.changed.notify_all();
        Ok(Some((id, item)))
    }

    /// Gives what a stage has made of a micro-batch, of so many bytes, to the next, as soon as that has room.
    ///
    /// # Errors
    ///
    /// If the line is stopped.
    pub fn give(&self, stage: usize, id: u64, item: I, bytes: usize) -> Result<(), Error> {
        let end = Instant::now();
        let is_last = stage + 1 == self.stages();
        let mut state = self.wait(|_| true, || false)?;
        // The work is done, whether there is room for its result or not.
        let begun = state.at_work[stage].take();
        if let Some((begin, before)) = begun {
            state.report.busy[stage] += end.duration_since(begin);
            state.held -= before;
        }
        state.held += bytes;
        state.report.peak_bytes = state.report.peak_bytes.max(state.held);
        drop(state);
        let has_room = |state: &State<I>| is_last || state.queues[stage + 1].len() < self.depth;
        let mut state = self.wait(has_room, || false)?;
        if is_last {
            // From here on it is the caller's.
            state.held -= bytes;
            state.report.micro_batches += 1;
            state.report.elapsed = state.begin.map_or(Duration::ZERO, |begin| end - begin);
        }
        state.queues[stage + 1].push_back(Batch { id, item, bytes });
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Says that nothing more comes into the queue of a stage, or of the results.
    pub fn end(&self, queue: usize) {
        self.state().ended[queue] = true;
        self.changed.notify_all();
    }

    /// Ends all that is waited for, with an error.
    pub fn stop(&self) {
        self.state().is_stopped = true;
        self.changed.notify_all();
    }

    /// Whether [`Line::feed`] would not wait.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.admits(&self.state(), bytes)
    }

    /// Whether [`Line::take`] would not wait for a micro-batch.
    pub fn is_ready(&self, stage: usize) -> bool {
        !self.state().queues[stage].is_empty()
    }

    fn admits(&self, state: &State<I>, bytes: usize) -> bool {
        let is_affordable = state.held.saturating_add(bytes) <= self.memory_budget;
        state.queues[0].len() < self.depth && (is_affordable || state.held == 0)
    }

    /// Waits until the last stage has ended. `ask` is as for [`Line::feed`].
    ///
    /// # Errors
    ///
    /// If the line is stopped.
    pub fn wait_for_end(&self, ask: impl FnMut() -> bool) -> Result<(), Error> {
        let last = self.stages();
        self.wait(|state| state.ended[last], ask).map(drop)
    }

    /// What has left the last stage, in order, once that has ended.
    ///
    /// # Errors
    ///
    /// If the line is stopped.
    pub fn results(&self) -> Result<Vec<(u64, I)>, Error> {
        let last = self.stages();
        let mut state = self.wait(|state| state.ended[last], || false)?;
        Ok(state.queues[last].drain(..).map(|Batch { id, item, .. }| (id, item)).collect())
    }

    /// What the run has taken up to now.
    pub fn report(&self) -> PipelineReport {
        self.state().report.clone()
    }

    fn stages(&self) -> usize {
        self.state().at_work.len()
    }

    fn state(&self) -> MutexGuard<'_, State<I>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(
        &self,
        is_over: impl Fn(&State<I>) -> bool,
        mut ask: impl FnMut() -> bool,
    ) -> Result<MutexGuard<'_, State<I>>, Error> {
        let mut state = self.state();
        loop {
            if state.is_stopped {
                return Err(Error::Ranks(RankError::Stopped));
            }
            if is_over(&state) {
                return Ok(state);
            }
            let nap = self.changed.wait_timeout(state, NAP);
            drop(nap.unwrap_or_else(PoisonError::into_inner));
            if ask() {
                self.stop();
            }
            state = self.state();
        }
    }
}

impl<I> std::fmt::Debug for Line<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("depth", &self.depth).finish_non_exhaustive()
    }
}
