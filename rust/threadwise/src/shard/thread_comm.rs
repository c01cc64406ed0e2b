//! Ranks that are threads of one process, and speak through its memory.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::ScopedJoinHandle;

use threadwise_runtime::budget;

use super::TensorParallelConfig;
use super::communicator::{Communicator, Datum, Term, expect_length, expect_rank};
use super::family::{Event, Family, Wait};
use super::group::{Call, Group, Message, Parcel, Slot, read, share, write};
use crate::error::{Error, RankError};

/// Bytes of a sum that each rank computes for itself. Larger ones are shared out, where that is less work
/// for all together.
const SUMMED_ALONE: usize = 1 << 16;

/// Numbers that are summed at a time, so that the sum stays in the nearest cache.
const BLOCK: usize = 1 << 11;

/// A rank that is a thread. It may be moved to a thread of its choice; calls of several threads on one rank
/// come one after the other.
///
/// Dropping it says that the rank has ended.
pub struct ThreadComm {
    group: Arc<Group>,
    rank: usize,
    /// Meetings so far.
    turn: Mutex<usize>,
    presence: Arc<Presence>,
}

/// A rank of a family, as long as any of its communicators lives.
struct Presence {
    family: Arc<Family>,
    rank: usize,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.family.leave(self.rank);
    }
}

impl std::fmt::Debug for ThreadComm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ThreadComm(rank {} of {})", self.rank, self.group.size())
    }
}

impl ThreadComm {
    /// All ranks of a world, each for one thread.
    #[must_use]
    pub fn world(size: usize) -> Vec<Self> {
        let family = Arc::new(Family::new(size));
        let group = Arc::new(Group::new(Arc::clone(&family), (0..size).collect()));
        let make = |rank| Self {
            group: Arc::clone(&group),
            rank,
            turn: Mutex::new(0),
            presence: Arc::new(Presence { family: Arc::clone(&family), rank }),
        };
        (0..size).map(make).collect()
    }

    /// Calls `work` as each rank, on a thread each, and returns what they return, in their order. The ranks
    /// share the calling thread's budget of threads. An error, or a panic, stops the others where they wait.
    ///
    /// # Errors
    ///
    /// If there are no ranks or too many; the first error of a rank.
    pub fn run<R: Send, E: From<Error> + Send>(
        size: usize,
        work: impl Fn(&Self) -> Result<R, E> + Sync,
    ) -> Result<Vec<R>, E> {
        TensorParallelConfig::new(size, 0)?;
        let (threads, _) = budget::threads().map_err(Error::from)?;
        let first = Mutex::new(None);
        let work = |comm: Self| {
            let config = TensorParallelConfig::new(size, comm.rank).ok();
            let share = config.map_or(1, |config| config.local_size(threads));
            let _ = budget::swap_context(NonZeroUsize::new(share.max(1)));
            let guard = StopOnPanic(&comm);
            let outcome = work(&comm);
            std::mem::forget(guard);
            let keep = |error| {
                let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                // Before the others hear of it: what they say then is a consequence.
                first.get_or_insert(error);
                comm.stop();
            };
            outcome.map_err(keep).ok()
        };
        let outcomes: Vec<Option<R>> = std::thread::scope(|scope| {
            let ranks = Self::world(size);
            let threads: Vec<_> =
                ranks.into_iter().map(|comm| scope.spawn(|| work(comm))).collect();
            let join = |thread: ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        });
        match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(outcomes.into_iter().flatten().collect()),
        }
    }

    /// Ends what all ranks of the world wait for, now and later, with an error.
    pub fn stop(&self) {
        self.group.family.stop(RankError::Stopped);
    }

    /// Whether somebody has called [`ThreadComm::stop`], or the ranks were found stuck.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.group.family.end().is_some()
    }

    /// Says that the rank calls nothing any more, so that others need not wait for it.
    pub fn leave(&self) {
        self.group.family.leave(self.presence.rank);
    }

    fn turn(&self) -> MutexGuard<'_, usize> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays what this rank brings to the next meeting where the others find it.
    fn lay(&self, turn: usize, call: Call, bring: impl FnOnce(&mut Parcel)) {
        let mut slot = write(&self.group.slots(turn)[self.rank]);
        slot.call = call;
        bring(&mut slot.parcel);
    }

    /// Waits until all have arrived at the next meeting, and returns what they brought if they call alike.
    fn meet(&self, turn: &mut usize, name: &'static str) -> Result<&[RwLock<Slot>], Error> {
        let slots = self.group.slots(*turn);
        self.arrive(turn, name)?;
        let first = read(&slots[0]).call;
        for (rank, slot) in slots.iter().enumerate() {
            let other = read(slot).call;
            if other != first {
                let (first, other) = (first.to_string(), other.to_string());
                return Err(Error::Ranks(RankError::Unlike { first, rank, other }));
            }
        }
        Ok(slots)
    }

    /// Waits until all have arrived once more.
    fn arrive(&self, turn: &mut usize, call: &'static str) -> Result<(), Error> {
        self.expect_going()?;
        *turn += 1;
        self.group.arrive();
        self.group.family.ring();
        self.wait(Event::Arrivals(*turn * self.group.size()), call)
    }

    fn wait(&self, event: Event, call: &'static str) -> Result<(), Error> {
        let wait = Wait { group: Arc::downgrade(&self.group), event, call };
        self.group.family.wait(self.presence.rank, &self.group, wait)
    }

    fn expect_going(&self) -> Result<(), Error> {
        match self.group.family.end() {
            None => Ok(()),
            Some(end) => Err(Error::Ranks(end.clone())),
        }
    }

    /// Sums what all have laid, once it is there.
    fn sum<T: Term>(
        &self,
        turn: &mut usize,
        name: &'static str,
        receive: &mut [T],
    ) -> Result<(), Error> {
        let (len, ranks) = (receive.len(), self.group.size());
        let slots = self.meet(turn, name)?;
        if ranks <= 2 || size_of_val(receive) <= SUMMED_ALONE {
            add_up(slots, 0, receive);
            return Ok(());
        }
        let sums = self.group.sums();
        {
            let range = share(len, self.rank, ranks);
            let mut sum = write(&sums[self.rank]);
            add_up(slots, range.start, sum.parcel.make_room::<T>(range.len()));
        }
        // Nobody overwrites a sum before all have been at the next meeting, which comes after this reading.
        self.arrive(turn, name)?;
        for (rank, sum) in sums.iter().enumerate() {
            receive[share(len, rank, ranks)].copy_from_slice(read(sum).parcel.numbers());
        }
        Ok(())
    }
}

/// `receive[i]` is the sum of the slots' numbers `from + i`, in the order of ranks.
fn add_up<T: Term>(slots: &[RwLock<Slot>], from: usize, receive: &mut [T]) {
    let slots: Vec<_> = slots.iter().map(read).collect();
    for (block, sum) in receive.chunks_mut(BLOCK).enumerate() {
        let begin = from + block * BLOCK;
        for (rank, slot) in slots.iter().enumerate() {
            let terms = &slot.parcel.numbers::<T>()[begin..][..sum.len()];
            if rank == 0 {
                sum.copy_from_slice(terms);
            } else {
                for (sum, &term) in sum.iter_mut().zip(terms) {
                    *sum = sum.plus(term);
                }
            }
        }
    }
}

/// Stops the world if it is dropped, which a rank that panics does.
struct StopOnPanic<'a>(&'a ThreadComm);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Communicator for ThreadComm {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.group.size()
    }

    fn barrier(&self) -> Result<(), Error> {
        let call = Call { name: "Barrier", ..Call::default() };
        let mut turn = self.turn();
        self.lay(*turn, call, |_| ());
        self.meet(&mut turn, call.name)?;
        Ok(())
    }

    fn broadcast<T: Datum>(&self, buffer: &mut [T], root: usize) -> Result<(), Error> {
        expect_rank("root", root, self.size())?;
        let call = Call { name: "Bcast", number: T::NAME, len: buffer.len(), root };
        let mut turn = self.turn();
        self.lay(*turn, call, |parcel| {
            if self.rank == root {
                parcel.put(buffer);
            }
        });
        let slots = self.meet(&mut turn, call.name)?;
        if self.rank != root {
            buffer.copy_from_slice(read(&slots[root]).parcel.numbers());
        }
        Ok(())
    }

    fn send<T: Datum>(&self, buffer: &[T], dest: usize, tag: u32) -> Result<(), Error> {
        expect_rank("dest", dest, self.size())?;
        self.expect_going()?;
        let call = Call { name: "Send", number: T::NAME, len: buffer.len(), root: self.rank };
        let mut parcel = Parcel::default();
        parcel.put(buffer);
        self.group
            .mail()
            .entry((self.rank, dest, tag))
            .or_default()
            .push_back(Message { call, parcel });
        self.group.family.ring();
        Ok(())
    }

    fn receive<T: Datum>(&self, buffer: &mut [T], source: usize, tag: u32) -> Result<(), Error> {
        expect_rank("source", source, self.size())?;
        let address = (source, self.rank, tag);
        self.wait(Event::Message { from: source, to: self.rank, tag }, "Recv")?;
        let mut mail = self.group.mail();
        // Two threads on one rank may have waited for one message.
        let taken = mail.get_mut(&address).and_then(std::collections::VecDeque::pop_front);
        if mail.get(&address).is_some_and(std::collections::VecDeque::is_empty) {
            mail.remove(&address);
        }
        drop(mail);
        let Some(message) = taken else { return self.receive(buffer, source, tag) };
        let Call { number, len, .. } = message.call;
        if (number, len) != (T::NAME, buffer.len()) {
            let sent = format!("{len} {number}");
            let buffer = format!("{} {}", buffer.len(), T::NAME);
            return Err(Error::Ranks(RankError::Message { sender: source, tag, sent, buffer }));
        }
        buffer.copy_from_slice(message.parcel.numbers());
        Ok(())
    }

    fn all_reduce<T: Term>(&self, send: &[T], receive: &mut [T]) -> Result<(), Error> {
        expect_length(receive.len(), send.len())?;
        let call = Call { name: "Allreduce", number: T::NAME, len: send.len(), root: 0 };
        let mut turn = self.turn();
        self.lay(*turn, call, |parcel| parcel.put(send));
        self.sum(&mut turn, call.name, receive)
    }

    fn all_reduce_in_place<T: Term>(&self, buffer: &mut [T]) -> Result<(), Error> {
        let call = Call { name: "Allreduce", number: T::NAME, len: buffer.len(), root: 0 };
        let mut turn = self.turn();
        self.lay(*turn, call, |parcel| parcel.put(buffer));
        self.sum(&mut turn, call.name, buffer)
    }

    fn all_gather<T: Datum>(&self, send: &[T], receive: &mut [T]) -> Result<(), Error> {
        expect_length(receive.len(), send.len().saturating_mul(self.size()))?;
        let call = Call { name: "Allgather", number: T::NAME, len: send.len(), root: 0 };
        let mut turn = self.turn();
        self.lay(*turn, call, |parcel| parcel.put(send));
        let slots = self.meet(&mut turn, call.name)?;
        if !send.is_empty() {
            for (slot, part) in slots.iter().zip(receive.chunks_exact_mut(send.len())) {
                part.copy_from_slice(read(slot).parcel.numbers());
            }
        }
        Ok(())
    }

    fn split(&self, color: u64, key: i64) -> Result<Self, Error> {
        let call = Call { name: "Split", ..Call::default() };
        let mut turn = self.turn();
        // The bits of the key, whatever its sign: they come back as they went.
        self.lay(*turn, call, |parcel| parcel.put(&[color, key.cast_unsigned()]));
        let slots = self.meet(&mut turn, call.name)?;
        let mut members: Vec<(i64, usize)> = Vec::new();
        for (rank, slot) in slots.iter().enumerate() {
            if let &[its_color, its_key] = read(slot).parcel.numbers::<u64>()
                && its_color == color
            {
                members.push((its_key.cast_signed(), rank));
            }
        }
        members.sort_unstable();
        let members: Vec<usize> = members.into_iter().map(|(_, rank)| rank).collect();
        let rank = members.iter().take_while(|&&member| member != self.rank).count();
        let group = self.group.child(*turn, color, &members);
        let presence = Arc::clone(&self.presence);
        Ok(Self { group, rank, turn: Mutex::new(0), presence })
    }
}
