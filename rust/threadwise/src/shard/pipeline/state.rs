//! Where each micro-batch is.

use std::collections::VecDeque;

use crate::Error;
use crate::shard::MOST_RANKS;

/// The micro-batches between the stages of a pipeline, moved tick by tick.
///
/// Each stage has a queue of at most `depth` micro-batches, of which the first is the one that it works on.
/// A micro-batch keeps the number that it was pushed with.
#[derive(Clone, Debug)]
pub struct PipelineState<I> {
    /// One for each stage, and what has left the last one.
    queues: Vec<VecDeque<(u64, I)>>,
    depth: usize,
}

impl<I> PipelineState<I> {
    /// No micro-batches yet.
    ///
    /// # Errors
    ///
    /// If there are no stages or too many, or `depth` is 0.
    pub fn new(stages: usize, depth: usize) -> Result<Self, Error> {
        expect_stages(stages)?;
        expect_some("depth", depth)?;
        Ok(Self { queues: (0..=stages).map(|_| VecDeque::new()).collect(), depth })
    }

    /// How many stages there are.
    #[must_use]
    pub fn stages(&self) -> usize {
        self.queues.len() - 1
    }

    /// How many micro-batches are at most in the queue of a stage.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// How many have been pushed and not popped.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    /// Whether there is room before the first stage.
    #[must_use]
    pub fn can_accept(&self) -> bool {
        self.queues[0].len() < self.depth
    }

    /// Puts a micro-batch before the first stage, or gives it back where there is no room.
    ///
    /// # Errors
    ///
    /// If there is no room.
    pub fn push(&mut self, id: u64, item: I) -> Result<(), I> {
        if !self.can_accept() {
            return Err(item);
        }
        self.queues[0].push_back((id, item));
        Ok(())
    }

    /// What a stage works on.
    pub fn at(&mut self, stage: usize) -> Option<&mut (u64, I)> {
        let stages = self.stages();
        self.queues[..stages].get_mut(stage)?.front_mut()
    }

    /// Moves what each stage works on to the next one, or out of the last, where there is room; and says how many
    /// have moved.
    pub fn advance(&mut self) -> usize {
        let mut moved = 0;
        // The last one first: it makes room for the one before.
        for stage in (0..self.stages()).rev() {
            if self.queues[stage + 1].len() < self.depth
                && let Some(item) = self.queues[stage].pop_front()
            {
                self.queues[stage + 1].push_back(item);
                moved += 1;
            }
        }
        moved
    }

    /// Whether one has left the last stage.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.queues.last().is_some_and(|outputs| !outputs.is_empty())
    }

    /// Takes the oldest that has left the last stage, with its number.
    pub fn pop(&mut self) -> Option<(u64, I)> {
        self.queues.last_mut()?.pop_front()
    }
}

/// That a number of stages makes sense: each has a thread.
pub(super) fn expect_stages(actual: usize) -> Result<(), Error> {
    if (1..=MOST_RANKS).contains(&actual) {
        return Ok(());
    }
    let expected = format!("from 1 to {MOST_RANKS}");
    Err(Error::Count { name: "stages", actual, expected })
}

/// That a number is not 0.
pub(super) fn expect_some(name: &'static str, actual: usize) -> Result<(), Error> {
    if actual > 0 {
        return Ok(());
    }
    Err(Error::Count { name, actual, expected: "at least 1".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pass_in_m_plus_s_minus_1_ticks_and_keep_their_numbers() {
        for stages in 1..=5 {
            for batches in 1..=7 {
                let mut state = PipelineState::new(stages, 1).unwrap();
                let (mut ticks, mut out, mut next) = (0, Vec::new(), 0);
                while out.len() < batches {
                    if next < batches && state.push(100 + next as u64, Vec::new()).is_ok() {
                        next += 1;
                    }
                    for stage in 0..stages {
                        if let Some((_, visited)) = state.at(stage) {
                            visited.push(stage);
                        }
                    }
                    assert!(state.advance() > 0, "it stands still");
                    ticks += 1;
                    out.extend(state.pop());
                }
                assert_eq!(ticks, batches + stages - 1, "{batches} in {stages}");
                let all: Vec<usize> = (0..stages).collect();
                let expected = (0..batches).map(|id| (100 + id as u64, all.clone()));
                assert_eq!(out, expected.collect::<Vec<_>>(), "{batches} in {stages}");
            }
        }
    }

    #[test]
    fn a_queue_that_is_full_holds_up_those_before_it() {
        let mut state = PipelineState::new(2, 2).unwrap();
        let mut accepted = 0;
        for _ in 0..20 {
            while state.push(accepted, ()).is_ok() {
                accepted += 1;
            }
            state.advance();
        }
        assert_eq!((accepted, state.in_flight()), (6, 6), "two for each stage, two outputs");
        assert!(!state.can_accept() && state.has_output(), "full");
        assert_eq!(state.advance(), 0, "nobody can move");
        assert_eq!(state.pop(), Some((0, ())), "the oldest");
        assert_eq!(state.advance(), 2, "one leaves, one follows");
        assert!(state.can_accept(), "there is room");
    }

    #[test]
    fn no_stages_and_no_room_are_refused() {
        let sentence = |s, d| PipelineState::<()>::new(s, d).unwrap_err().to_string();
        assert_eq!(sentence(0, 1), "stages is 0, expected from 1 to 1024");
        assert_eq!(sentence(1025, 1), "stages is 1025, expected from 1 to 1024");
        assert_eq!(sentence(1, 0), "depth is 0, expected at least 1");
    }
}
