//! Who does what next, and what is finished.
//!
//! Blocks are given out in the order in which tensors lie, and may be done in any order. A tensor whose
//! blocks are all done is settled when those before it are: then it is known whether it stays as it is, or
//! has to be made again, with more bits because it fell below `min_cosine`, or with float32 scales because
//! float16 cannot hold them. Both change its size, and where those after it begin. So the course goes
//! back: nobody gets a block until all have brought theirs, what was begun after that tensor is forgotten,
//! and blocks are given out from it on. That is rare, costs little more than making the one tensor again,
//! and keeps two promises at no cost: files are written once, at their final places, and they do not
//! depend on who was faster.
//!
//! Settled tensors are therefore always the first ones of the plan. The journal has a line for each.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crc32fast::Hasher;

use super::super::{Outcome, Scheme};
use super::block::Done;
use super::job::Job;
use super::journal::{Journal, Settled, Try};
use super::layout::{Form, Part, end, parts};
use super::plan::Plan;
use super::report::{Event, Refusal};
use crate::Error;

/// A block to be done.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) task: usize,
    pub(super) block: usize,
    pub(super) form: Option<Form>,
    pub(super) parts: Vec<Part>,
}

/// The course of a job.
pub(super) struct Course<'a> {
    plan: &'a Plan,
    journal: &'a Journal<'a>,
    min_cosine: f64,
    fail_fast: bool,
    /// What is expected at most, for the caller.
    memory: u64,
    state: Mutex<State>,
    changed: Condvar,
    stopped: AtomicBool,
}

/// A tensor of which blocks were given out.
struct Open {
    form: Option<Form>,
    parts: Vec<Part>,
    left: usize,
    done: Vec<Option<Done>>,
}

struct State {
    /// The next block, by task and number.
    next: (usize, usize),
    /// The first task that is not settled.
    settled: usize,
    /// Blocks that are given out and were not brought back.
    out: usize,
    /// From the first that is not settled on.
    open: VecDeque<Open>,
    /// How the first one has to be made again; then no block is given out until all are back.
    again: Option<Form>,
    tries: Vec<Try>,
    /// The form of the last tensor.
    last: Option<Form>,
    /// Where the settled tensors of each file end.
    ends: Vec<u64>,
    /// The first error, in the order of the plan.
    error: Option<((usize, usize), Error)>,
    /// Threads at work.
    working: usize,
    events: Vec<Event>,
    done: Vec<Settled>,
    bytes: u64,
    since: Instant,
}

impl State {
    /// The form to try first: with the scales of the tensor before, if it has as many bits. Whether that
    /// was right is seen when all of the tensor is known.
    fn guess(&self, scheme: Scheme) -> Form {
        let wide = self.last.is_some_and(|last| last.scheme.bits == scheme.bits && last.wide);
        Form { scheme, wide }
    }
}

impl<'a> Course<'a> {
    /// A course that begins after what is settled.
    pub(super) fn new(
        plan: &'a Plan,
        journal: &'a Journal<'a>,
        job: &Job<'_>,
        memory: u64,
        (done, ends): (Vec<Settled>, Vec<u64>),
    ) -> Self {
        let settled = done.len();
        let state = State {
            next: (settled, 0),
            settled,
            out: 0,
            open: VecDeque::new(),
            again: None,
            tries: Vec::new(),
            last: None,
            ends,
            error: None,
            working: 0,
            events: Vec::new(),
            bytes: plan.tasks[..settled].iter().map(|task| task.tensor.bytes()).sum(),
            done,
            since: Instant::now(),
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let stopped = AtomicBool::new(false);
        let Job { min_cosine, fail_fast, .. } = *job;
        Self { plan, journal, min_cosine, fail_fast, memory, state, changed, stopped }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next block; `None` when there is no more, or the job ends early.
    pub(super) fn next(&self) -> Option<Ticket> {
        let mut state = self.lock();
        loop {
            if self.is_stopped() || state.settled == self.plan.tasks.len() {
                return None;
            }
            if state.again.is_some() && state.out == 0 {
                state.open.clear();
                state.next = (state.settled, 0);
                return Some(self.give(&mut state));
            }
            if state.again.is_none() && state.next.0 < self.plan.tasks.len() {
                return Some(self.give(&mut state));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give(&self, state: &mut State) -> Ticket {
        let (number, block) = state.next;
        let task = &self.plan.tasks[number];
        if block == 0 {
            let before = number.checked_sub(1).filter(|&n| self.plan.tasks[n].shard == task.shard);
            let begin = match (before, state.open.back()) {
                (Some(_), Some(open)) => end(&open.parts),
                _ => state.ends[task.shard],
            };
            let form = state.again.take().or_else(|| Some(state.guess(task.scheme?)));
            let parts = parts(&task.tensor, form, begin);
            let done = (0..task.blocks()).map(|_| None).collect();
            state.open.push_back(Open { form, parts, left: task.blocks(), done });
        }
        state.next = if block + 1 < task.blocks() { (number, block + 1) } else { (number + 1, 0) };
        state.out += 1;
        let open = &state.open[number - state.settled];
        Ticket { task: number, block, form: open.form, parts: open.parts.clone() }
    }

    /// Takes a block back that was done.
    pub(super) fn bring(&self, ticket: &Ticket, done: Done) {
        let mut state = self.lock();
        state.out -= 1;
        let place = ticket.task - state.settled;
        state.open[place].done[ticket.block] = Some(done);
        state.open[place].left -= 1;
        while state.again.is_none() && state.open.front().is_some_and(|open| open.left == 0) {
            if let Err(error) = self.settle(&mut state) {
                self.note((state.settled, usize::MAX), error, &mut state);
                break;
            }
        }
        self.changed.notify_all();
    }

    /// Decides what becomes of the first tensor, all of whose blocks are done.
    fn settle(&self, state: &mut State) -> Result<(), Error> {
        let number = state.settled;
        let task = &self.plan.tasks[number];
        let Some(open) = state.open.front() else { return Ok(()) };
        let mut outcome = Outcome::default();
        let mut checksums = vec![Hasher::new(); open.parts.len()];
        for done in open.done.iter().flatten() {
            done.outcomes.iter().for_each(|next| outcome.merge(next));
            checksums.iter_mut().zip(&done.checksums).for_each(|(all, next)| all.combine(next));
        }
        if let Some(form) = open.form {
            let wide = outcome.survey.needs_single(&form.scheme);
            state.last = Some(Form { wide, ..form });
            if form.wide != wide {
                state.again = state.last;
                return Ok(());
            }
            let cosine = outcome.sums.cosine();
            // It is not a number where sums overflow, which is no reason to call it good.
            if cosine.is_nan() || cosine < self.min_cosine {
                if self.fail_fast {
                    let refusal =
                        Refusal { bits: form.scheme.bits, cosine, least: self.min_cosine };
                    return Err(self.journal.refused(task, refusal));
                }
                if let Some(wider) = form.wider() {
                    state.tries.push(Try { bits: form.scheme.bits.get(), cosine });
                    state.again = Some(state.guess(wider.scheme));
                    return Ok(());
                }
            }
        }
        let settled = Settled {
            tensor: task.tensor.name.clone(),
            bits: open.form.map(|form| form.scheme.bits.get()),
            wide: open.form.is_some_and(|form| form.wide),
            checksums: checksums.into_iter().map(Hasher::finalize).collect(),
            sums: open.form.map(|_| outcome.sums.into()),
            tries: std::mem::take(&mut state.tries),
            seconds: open.done.iter().flatten().map(|done| done.seconds).sum(),
        };
        let reached = end(&open.parts);
        self.journal.append(&settled)?;
        state.ends[task.shard] = reached;
        state.bytes += task.tensor.bytes();
        state.settled += 1;
        state.open.pop_front();
        state.events.push(Event {
            name: Some(task.tensor.name.clone()),
            index: state.settled,
            count: self.plan.tasks.len(),
            bytes: state.bytes,
            of: self.plan.bytes,
            seconds: state.since.elapsed().as_secs_f64(),
            memory: self.memory,
        });
        state.done.push(settled);
        Ok(())
    }

    fn note(&self, place: (usize, usize), error: Error, state: &mut State) {
        if state.error.as_ref().is_none_or(|(first, _)| place < *first) {
            state.error = Some((place, error));
        }
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Ends the job because of a block.
    pub(super) fn fail(&self, ticket: &Ticket, error: Error) {
        let mut state = self.lock();
        self.note((ticket.task, ticket.block), error, &mut state);
        self.changed.notify_all();
    }

    /// Ends the job as soon as everybody notices.
    pub(super) fn stop(&self) {
        let _state = self.lock();
        self.stopped.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// Whether to leave off.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Counts a thread as one at work, until what is returned is dropped. A panic of the thread stops the
    /// others.
    pub(super) fn begin(&self) -> Presence<'_, 'a> {
        self.lock().working += 1;
        Presence(self)
    }

    /// Waits until something has happened, but not long; returns what there is to tell, and whether
    /// anybody is still at work.
    pub(super) fn watch(&self, at_most: Duration) -> (Vec<Event>, bool) {
        let state = self.lock();
        let is_quiet = |state: &mut State| state.events.is_empty() && state.working > 0;
        let waited = self.changed.wait_timeout_while(state, at_most, is_quiet);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut state.events), state.working > 0)
    }

    /// What was settled, or the first error; nothing if it was stopped.
    pub(super) fn end(self) -> Result<Option<Vec<Settled>>, Error> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.error {
            Some((_, error)) => Err(error),
            None => Ok((state.settled == self.plan.tasks.len()).then_some(state.done)),
        }
    }
}

/// A thread at work.
pub(super) struct Presence<'c, 'a>(&'c Course<'a>);

impl Drop for Presence<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stopped.store(true, Ordering::Relaxed);
        }
        self.0.lock().working -= 1;
        self.0.changed.notify_all();
    }
}
