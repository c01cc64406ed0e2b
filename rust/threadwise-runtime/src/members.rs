//! Who of a team is which member: as the caller numbered them, or where the caller says on which CPUs each
//! member should be, by the CPU that a thread is on when it joins.
//!
//! Members have ranges of items in their order, so where members that follow one another are on one
//! memory node, so are the pages that they are the first to touch.

use std::sync::atomic::{AtomicBool, Ordering};

use smallvec::SmallVec;

use crate::cpus::CpuSet;
use crate::pin::Pinned;
use crate::topology;

/// A worker's membership of a team, until it is dropped.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) number: usize,
    _kept: Option<Pinned>,
}

impl Member {
    /// By a worker, that was called to be the member of this `number`: it is that one from now on, or another
    /// of a team with places. There must be room for it.
    pub(crate) fn join(number: usize, places: Option<&Places<'_>>) -> Self {
        let Some(places) = places else { return Self { number, _kept: None } };
        let here = topology::cpu();
        let number = places.take_near(here).unwrap_or_else(|| places.take_any());
        Self { number, _kept: places.keep(number, here) }
    }
}

/// The CPUs that each member should be on, and which members there are by now.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    cpus: &'a [CpuSet],
    taken: SmallVec<[AtomicBool; 16]>,
}

impl<'a> Places<'a> {
    /// The first place is the caller's.
    pub(crate) fn new(cpus: &'a [CpuSet]) -> Self {
        Self { cpus, taken: (0..cpus.len()).map(|number| AtomicBool::new(number == 0)).collect() }
    }

    /// Takes the first free place that has the CPU.
    pub(crate) fn take_near(&self, cpu: Option<usize>) -> Option<usize> {
        let cpu = cpu?;
        (1..self.cpus.len()).find(|&number| self.cpus[number].contains(cpu) && self.take(number))
    }

    /// Takes the first free place; where there is none, a number that is nobody's.
    fn take_any(&self) -> usize {
        (1..self.cpus.len()).find(|&number| self.take(number)).unwrap_or(self.cpus.len())
    }

    fn take(&self, number: usize) -> bool {
        // What members read and write is ordered by the mailbox, not by this.
        !self.taken[number].swap(true, Ordering::Relaxed)
    }

    /// Keeps the calling thread in its place, if that is a single CPU or somewhere else. One that is on
    /// its node is left to the system, which seldom takes a thread that works to another.
    fn keep(&self, number: usize, here: Option<usize>) -> Option<Pinned> {
        let place = self.cpus.get(number)?;
        let is_there = here.is_some_and(|cpu| place.contains(cpu));
        (place.len() == 1 || !is_there).then(|| Pinned::to(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(lists: &[&str]) -> Vec<CpuSet> {
        lists.iter().map(|list| list.parse().unwrap()).collect()
    }

    #[test]
    fn without_places_members_are_those_that_the_caller_numbered() {
        assert_eq!(Member::join(3, None).number, 3, "the caller is 0");
    }

    #[test]
    fn a_place_is_its_first_comers_and_nodes_follow_one_another() {
        let cpus = places(&["0-3", "0-3", "4-7", "4-7"]);
        let places = Places::new(&cpus);
        assert_eq!(places.take_near(Some(5)), Some(2), "the first of its node");
        assert_eq!(places.take_near(Some(5)), Some(3), "two may be on one CPU");
        assert_eq!(places.take_near(Some(4)), None, "its node has no more");
        assert_eq!(places.take_near(Some(9)), None, "on no node");
        assert_eq!(places.take_near(None), None, "who knows where");
        assert_eq!(places.take_near(Some(0)), Some(1), "the caller has the first of all");
        assert_eq!(places.take_any(), 4, "nobody's: there are as many as places");
    }

    #[test]
    fn who_is_on_no_free_place_takes_the_first_one() {
        let cpus = places(&["0", "4-7", "0-3"]);
        let places = Places::new(&cpus);
        assert_eq!(places.take_near(Some(8)).unwrap_or_else(|| places.take_any()), 1, "any");
        assert_eq!(places.take_any(), 2, "what is left");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn only_who_is_elsewhere_or_has_a_single_cpu_is_kept() {
        let before = topology::allowed().unwrap();
        let first = before.iter().next().unwrap();
        let only = CpuSet::from_iter([first]);
        let several = only.union(&CpuSet::from_iter([first + 1]));
        let cpus = [CpuSet::default(), several, only];
        let places = Places::new(&cpus);
        assert!(places.keep(1, Some(first)).is_none(), "it is there");
        let kept = places.keep(2, Some(first));
        assert_eq!(topology::allowed(), Some(only), "a single CPU, also for who is there");
        drop(kept);
        let (cpus, elsewhere) = ([CpuSet::default(), only], Some(first + 1));
        let kept = Places::new(&cpus).keep(1, elsewhere);
        assert_eq!(topology::allowed(), Some(only), "it is elsewhere, and goes there");
        drop(kept);
        assert_eq!(topology::allowed(), Some(before), "as it was");
        assert!(places.keep(3, Some(first)).is_none(), "nobody's place");
    }
}
