//! The words by which the members of a region know which phase it is and who does which of its items.
//!
//! # Protocol
//!
//! `now` is the number of the phase. `left` is how many of its items are not done. Each member has a range
//! of items, one word with the phase's number in it: what is left for it to claim. These are the steps:
//!
//! | who | does | meaning |
//! | --- | --- | --- |
//! | who did the last item | stores `left` and all ranges, then `now` | *begins* the next phase |
//! | any member | moves an end of a range, if its number is that of its phase | *claims* an item |
//! | any member | takes from `left` what it did since it last said so | has *done* them |
//!
//! Who takes the last of `left` has acquired what all others did, because each takes from it by a
//! read-modify-write that releases; to begin is a release of `now`, to look at it an acquire: what was
//! written in one phase is seen in the next. Nobody waits for a member, only for items: one that never comes
//! costs nothing, the others claim its range from the far end.
//!
//! A range is stored by whoever begins a phase while late members may still look for items of the one before.
//! Their compare-and-swap expects a word with the number of their phase, and no number comes twice, so it
//! fails. Nobody claims from a phase before having seen its number in `now`, which comes after the ranges.

use smallvec::SmallVec;

use crate::sync::{AtomicU64, Ordering};

/// No phase: the region is over.
pub(crate) const END: u32 = u32::MAX;

const ITEM_BITS: u32 = 20;

/// A word on a cache line of its own; CPUs fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Line(AtomicU64);

/// An item, and whether it came from another member's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) item: usize,
    pub(crate) is_stolen: bool,
}

/// What is left of a range in one phase.
#[derive(Clone, Copy)]
struct Rest {
    phase: u32,
    first: u32,
    end: u32,
}

impl Rest {
    const ITEMS: u64 = (1 << ITEM_BITS) - 1;

    fn pack(self) -> u64 {
        let (first, end) = (u64::from(self.first), u64::from(self.end));
        u64::from(self.phase) << (2 * ITEM_BITS) | first << ITEM_BITS | end
    }

    #[expect(clippy::cast_possible_truncation, reason = "the parts of the word")]
    fn unpack(word: u64) -> Self {
        let part = |shift: u32, mask: u64| (word >> shift & mask) as u32;
        let (phase, item) = (u64::from(Phases::LAST), Self::ITEMS);
        Self { phase: part(2 * ITEM_BITS, phase), first: part(ITEM_BITS, item), end: part(0, item) }
    }
}

#[derive(Debug)]
pub(crate) struct Phases {
    now: Line,
    left: Line,
    ranges: SmallVec<[Line; 4]>,
}

impl Phases {
    /// Items of a phase, at most.
    pub(crate) const MOST_ITEMS: usize = (1 << ITEM_BITS) - 1;
    /// Number of the last phase, at most.
    pub(crate) const LAST: u32 = (1 << (64 - 2 * ITEM_BITS)) - 1;

    /// For so many members, before the first phase.
    pub(crate) fn new(members: usize) -> Self {
        let line = || Line(AtomicU64::new(0));
        Self { now: line(), left: line(), ranges: (0..members).map(|_| line()).collect() }
    }

    /// By who did the last item, or at first by the only member: begins a phase of `items`, more than none, in
    /// order and as evenly as possible for all members.
    pub(crate) fn begin(&self, phase: u32, items: usize) {
        debug_assert!((1..=Self::LAST).contains(&phase), "phase {phase}");
        debug_assert!((1..=Self::MOST_ITEMS).contains(&items), "{items} items");
        let members = self.ranges.len() as u64;
        let items = items as u64;
        self.left.0.store(items, Ordering::Relaxed);
        let mut first = 0;
        for (range, member) in self.ranges.iter().zip(1..) {
            #[expect(clippy::cast_possible_truncation, reason = "at most `items`")]
            let end = (items * member / members) as u32;
            range.0.store(Rest { phase, first, end }.pack(), Ordering::Relaxed);
            first = end;
        }
        self.now.0.store(u64::from(phase), Ordering::Release);
    }

    /// By who did the last item: there is no phase any more.
    pub(crate) fn end(&self) {
        self.now.0.store(u64::from(END), Ordering::Release);
    }

    /// Which phase it is, or [`END`].
    #[expect(clippy::cast_possible_truncation, reason = "as it was stored")]
    pub(crate) fn now(&self) -> u32 {
        self.now.0.load(Ordering::Acquire) as u32
    }

    /// The next item of the phase for a member that has seen it in `now`: its own, or else another's.
    pub(crate) fn claim(&self, phase: u32, member: usize) -> Option<Claim> {
        let home = self.ranges.get(member)?;
        if let Some(item) = take(home, phase, true) {
            return Some(Claim { item, is_stolen: false });
        }
        let others = self.ranges[member + 1..].iter().chain(&self.ranges[..member]);
        let item = others.into_iter().find_map(|range| take(range, phase, false))?;
        Some(Claim { item, is_stolen: true })
    }

    /// By a member that has done `count` items since it last said so. Whether these were the last: then the
    /// caller has to begin the next phase, or to end.
    pub(crate) fn done(&self, count: u64) -> bool {
        count > 0 && self.left.0.fetch_sub(count, Ordering::AcqRel) == count
    }
}

/// Takes the first or the last item that is left of a range.
fn take(range: &Line, phase: u32, is_near: bool) -> Option<usize> {
    let mut seen = range.0.load(Ordering::Relaxed);
    loop {
        let rest = Rest::unpack(seen);
        if rest.phase != phase || rest.first >= rest.end {
            return None;
        }
        let (item, left) = if is_near {
            (rest.first, Rest { first: rest.first + 1, ..rest })
        } else {
            (rest.end - 1, Rest { end: rest.end - 1, ..rest })
        };
        // What items read and write is ordered by `left` and `now`, not by this.
        let relaxed = Ordering::Relaxed;
        match range.0.compare_exchange_weak(seen, left.pack(), relaxed, relaxed) {
            Ok(_) => return Some(item as usize),
            Err(now) => seen = now,
        }
    }
}
