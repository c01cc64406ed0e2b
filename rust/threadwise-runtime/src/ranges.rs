//! Who of a team works on which items: each member has a range of its own and goes through it from
//! its near end, so that it reads memory in order; who has none left takes from the far ends of the
//! others. Each item is given out once.
//!
//! All items are known beforehand, so no deque is needed: two numbers in a word are enough.

use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

/// What is left of a member's items, first and end, in one word on a cache line of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Range(AtomicU64);

const fn packed(first: u32, end: u32) -> u64 {
    ((first as u64) << 32) | end as u64
}

const fn unpacked(word: u64) -> (u32, u32) {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the word")]
    ((word >> 32) as u32, word as u32)
}

impl Range {
    fn update(&self, next: impl Fn(u32, u32) -> (u32, u64)) -> Option<u32> {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let (first, end) = unpacked(seen);
            if first >= end {
                return None;
            }
            let (item, left) = next(first, end);
            // What an item is read with and written to is ordered by the mailbox, not by this.
            match self.0.compare_exchange_weak(seen, left, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(item),
                Err(now) => seen = now,
            }
        }
    }

    fn near(&self) -> Option<u32> {
        self.update(|first, end| (first, packed(first + 1, end)))
    }

    fn far(&self) -> Option<u32> {
        self.update(|first, end| (end - 1, packed(first, end - 1)))
    }
}

/// An item, and whether it came from another member's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) item: usize,
    pub(crate) is_stolen: bool,
}

/// The ranges of all members.
#[derive(Debug)]
pub(crate) struct Ranges(SmallVec<[Range; 4]>);

impl Ranges {
    /// Items that can be given out.
    pub(crate) const MOST: usize = u32::MAX as usize;

    /// `count` items, at most [`Ranges::MOST`], in order and as evenly as possible for `members`.
    pub(crate) fn new(count: usize, members: usize) -> Self {
        debug_assert!(count <= Self::MOST, "{count} items");
        #[expect(clippy::cast_possible_truncation, reason = "at most `count`")]
        let end = |member: usize| (count as u64 * member as u64 / members as u64) as u32;
        let range = |member| Range(AtomicU64::new(packed(end(member), end(member + 1))));
        Self((0..members).map(range).collect())
    }

    /// All of them, by an address that a member need not look for.
    pub(crate) fn all(&self) -> Each<'_> {
        Each(&self.0)
    }
}

/// The ranges of all members, as they reach them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Each<'a>(&'a [Range]);

impl Each<'_> {
    /// The next item for a member: its own, or else another's.
    pub(crate) fn next(self, member: usize) -> Option<Given> {
        let home = self.0.get(member)?;
        if let Some(item) = home.near() {
            return Some(Given { item: item as usize, is_stolen: false });
        }
        let others = self.0[member + 1..].iter().chain(&self.0[..member]);
        let item = others.into_iter().find_map(Range::far)?;
        Some(Given { item: item as usize, is_stolen: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_goes_through_its_own_range_then_takes_from_far_ends() {
        let ranges = Ranges::new(7, 2);
        let given: Vec<_> = std::iter::from_fn(|| ranges.all().next(0)).collect();
        let items: Vec<_> = given.iter().map(|given| given.item).collect();
        assert_eq!(items, [0, 1, 2, 6, 5, 4, 3], "its own in order, the other's from the far end");
        let stolen: Vec<_> = given.iter().map(|given| given.is_stolen).collect();
        assert_eq!(stolen, [false, false, false, true, true, true, true], "marked as such");
        assert_eq!(ranges.all().next(1), None, "nothing is left for the other");
        assert_eq!(ranges.all().next(2), None, "who is no member gets nothing");
    }

    #[test]
    fn each_item_is_given_out_once_to_members_at_once() {
        for (count, members) in [(0, 1), (1, 3), (1000, 4), (10_001, 3)] {
            let ranges = Ranges::new(count, members);
            let mut given: Vec<usize> = std::thread::scope(|scope| {
                let members: Vec<_> = (0..members)
                    .map(|member| {
                        let ranges = &ranges;
                        scope.spawn(move || {
                            std::iter::from_fn(|| ranges.all().next(member).map(|given| given.item))
                                .collect::<Vec<_>>()
                        })
                    })
                    .collect();
                members.into_iter().flat_map(|member| member.join().unwrap()).collect()
            });
            given.sort_unstable();
            assert!(given.iter().copied().eq(0..count), "{count} items, {members} members");
        }
    }
}
