//! The memory that the ranks of one communicator share.
//!
//! A collective call is a meeting. Each rank lays what it brings into its own slot and arrives; when all have
//! arrived, each reads all slots. There are two sets of slots, used in turn: who lays something into a set for
//! the second time has been at the meeting between, where all arrived, so nobody reads the first any more.
//! That is why one meeting is enough for a call. (The locks of the slots are never waited for; they let safe
//! code say so.)

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::communicator::Datum;
use super::family::{Event, Family};

/// A call that all ranks make alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) number: &'static str,
    pub(super) len: usize,
    pub(super) root: usize,
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, number, len, root } = self;
        match *name {
            "Barrier" | "Split" => f.write_str(name),
            "Bcast" => write!(f, "Bcast of {len} {number} from rank {root}"),
            _ => write!(f, "{name} of {len} {number}"),
        }
    }
}

/// Numbers on their way.
#[derive(Default)]
pub(super) struct Parcel {
    words: Vec<u64>,
    bytes: usize,
}

impl Parcel {
    pub(super) fn put<T: Datum>(&mut self, numbers: &[T]) {
        self.make_room::<T>(numbers.len()).copy_from_slice(numbers);
    }

    /// Room for so many numbers, whose values are arbitrary.
    pub(super) fn make_room<T: Datum>(&mut self, len: usize) -> &mut [T] {
        self.bytes = len * size_of::<T>();
        let words = self.bytes.div_ceil(size_of::<u64>());
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
        &mut bytemuck::cast_slice_mut(&mut self.words[..words])[..len]
    }

    pub(super) fn numbers<T: Datum>(&self) -> &[T] {
        let words = self.bytes.div_ceil(size_of::<u64>());
        &bytemuck::cast_slice(&self.words[..words])[..self.bytes / size_of::<T>()]
    }
}

/// What a rank brings to a meeting. On cache lines of its own: each rank writes to one.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Slot {
    pub(super) call: Call,
    pub(super) parcel: Parcel,
}

/// A message that waits to be received.
pub(super) struct Message {
    pub(super) call: Call,
    pub(super) parcel: Parcel,
}

/// Written by all ranks, so on a cache line of its own.
#[repr(align(128))]
struct Arrivals(AtomicUsize);

/// Messages by sender, receiver and tag.
type Mail = HashMap<(usize, usize, u32), VecDeque<Message>>;

/// A group that a split makes, for those who have not fetched it yet.
type Born = HashMap<(usize, u64), (Arc<Group>, usize)>;

pub(super) struct Group {
    pub(super) family: Arc<Family>,
    /// Each member's rank in the family.
    pub(super) members: Vec<usize>,
    arrivals: Arrivals,
    slots: [Vec<RwLock<Slot>>; 2],
    /// Each rank's range of a sum.
    sums: Vec<RwLock<Slot>>,
    mail: Mutex<Mail>,
    born: Mutex<Born>,
}

impl Group {
    pub(super) fn new(family: Arc<Family>, members: Vec<usize>) -> Self {
        let slots = || members.iter().map(|_| RwLock::default()).collect();
        Self {
            family,
            arrivals: Arrivals(AtomicUsize::new(0)),
            slots: [slots(), slots()],
            sums: slots(),
            mail: Mutex::default(),
            born: Mutex::default(),
            members,
        }
    }

    pub(super) fn size(&self) -> usize {
        self.members.len()
    }

    pub(super) fn has_happened(&self, event: Event) -> bool {
        match event {
            Event::Arrivals(count) => self.arrivals.0.load(Ordering::SeqCst) >= count,
            Event::Message { from, to, tag } => {
                self.mail().get(&(from, to, tag)).is_some_and(|messages| !messages.is_empty())
            }
        }
    }

    pub(super) fn arrive(&self) {
        self.arrivals.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn slots(&self, turn: usize) -> &[RwLock<Slot>] {
        &self.slots[turn % 2]
    }

    pub(super) fn sums(&self) -> &[RwLock<Slot>] {
        &self.sums
    }

    pub(super) fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group of one color, made by whichever of its members comes first.
    pub(super) fn child(&self, turn: usize, color: u64, members: &[usize]) -> Arc<Self> {
        let mut born = self.born.lock().unwrap_or_else(PoisonError::into_inner);
        let (child, missing) = born.entry((turn, color)).or_insert_with(|| {
            let members = members.iter().map(|&rank| self.members[rank]).collect();
            let child = Self::new(Arc::clone(&self.family), members);
            let missing = child.size();
            (Arc::new(child), missing)
        });
        let child = Arc::clone(child);
        *missing -= 1;
        if *missing == 0 {
            born.remove(&(turn, color));
        }
        child
    }
}

pub(super) fn read(slot: &RwLock<Slot>) -> RwLockReadGuard<'_, Slot> {
    slot.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn write(slot: &RwLock<Slot>) -> RwLockWriteGuard<'_, Slot> {
    slot.write().unwrap_or_else(PoisonError::into_inner)
}

/// Which of `len` numbers a rank sums where the ranks share that.
pub(super) fn share(len: usize, rank: usize, ranks: usize) -> Range<usize> {
    len * rank / ranks..len * (rank + 1) / ranks
}
