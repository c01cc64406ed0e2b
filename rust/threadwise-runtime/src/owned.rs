//! Memory that a value owns for as long as it lives, laid out for kernels.

use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};

use bytemuck::Pod;
use memmap2::MmapMut;

use crate::scratch::{HUGE, map};

/// Memory is taken in multiples of it: values live side by side, and share huge pages.
const PAGE: usize = 4 << 10;

/// Address space of a block. What is not used of it takes no memory.
const BLOCK: usize = 16 * HUGE;

/// Values that live side by side begin at cache lines, two of which CPUs fetch together.
const UNIT: usize = 128;

/// A slice of numbers that begins at a page, in huge pages where it fills one.
#[derive(Debug)]
pub struct Owned<T> {
    memory: Memory,
    len: usize,
    elements: PhantomData<T>,
}

#[derive(Debug)]
enum Memory {
    Nothing,
    Own(MmapMut),
    /// Bytes of a block from here on, which belong to nobody else.
    Part(Arc<Block>, usize),
}

/// Memory that values share. It is given back with the last of them.
#[derive(Debug)]
struct Block {
    /// The first huge page of the memory below; no reference to it is ever made, but to parts.
    begin: *mut u8,
    _memory: MmapMut,
}

// SAFETY: the memory is the block's own, and each part of it is lent to one value only, which lends it on as its own.
unsafe impl Send for Block {}
// SAFETY: likewise.
unsafe impl Sync for Block {}

thread_local! {
    /// The block of this thread's last value, and how much of it is in use.
    static LAST: RefCell<(Weak<Block>, usize)> = const { RefCell::new((Weak::new(), 0)) };
}

impl<T: Pod> Owned<T> {
    /// `len` zeros.
    ///
    /// # Errors
    ///
    /// If the system has no memory left.
    pub fn zeros(len: usize) -> io::Result<Self> {
        let bytes = bytes::<T>(len)?;
        let memory = if bytes == 0 { Memory::Nothing } else { Memory::Own(map(bytes, PAGE)?) };
        Ok(Self { memory, len, elements: PhantomData })
    }

    /// `len` zeros beside those that this thread asked for before, so that all but the last are in huge pages,
    /// however small they are. Memory is given back block by block: it is for values that come and go together.
    ///
    /// # Errors
    ///
    /// If the system has no memory left.
    pub fn beside(len: usize) -> io::Result<Self> {
        /// Values of less are not worth a place in a huge page.
        const LEAST: usize = HUGE / 32;
        let bytes = bytes::<T>(len)?;
        if !(LEAST..=BLOCK / 2).contains(&bytes) || align_of::<T>() > UNIT {
            return Self::zeros(len);
        }
        LAST.with_borrow_mut(|(last, used)| {
            let block = match last.upgrade() {
                Some(block) if bytes <= BLOCK - *used => block,
                _ => {
                    let block = Arc::new(Block::new()?);
                    (*last, *used) = (Arc::downgrade(&block), 0);
                    block
                }
            };
            let memory = Memory::Part(block, *used);
            *used += bytes.next_multiple_of(UNIT);
            Ok(Self { memory, len, elements: PhantomData })
        })
    }
}

fn bytes<T>(len: usize) -> io::Result<usize> {
    let bytes = len.checked_mul(size_of::<T>());
    bytes.ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

impl Block {
    fn new() -> io::Result<Self> {
        let mut memory = map(BLOCK + HUGE, HUGE)?;
        let skip = memory.as_ptr().align_offset(HUGE);
        Ok(Self { begin: memory.as_mut_ptr().wrapping_add(skip), _memory: memory })
    }
}

impl<T: Pod> Deref for Owned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let bytes = self.len * size_of::<T>();
        bytemuck::cast_slice(match &self.memory {
            Memory::Nothing => return &[],
            Memory::Own(memory) => &memory[..bytes],
            // SAFETY: these bytes of the block were zeros when it was made, belong to this value, and live as long.
            Memory::Part(block, first) => unsafe {
                std::slice::from_raw_parts(block.begin.wrapping_add(*first), bytes)
            },
        })
    }
}

impl<T: Pod> DerefMut for Owned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let bytes = self.len * size_of::<T>();
        bytemuck::cast_slice_mut(match &mut self.memory {
            Memory::Nothing => return &mut [],
            Memory::Own(memory) => &mut memory[..bytes],
            // SAFETY: these bytes of the block were zeros when it was made, belong to this value, which is borrowed
            // mutably, and live as long.
            Memory::Part(block, first) => unsafe {
                std::slice::from_raw_parts_mut(block.begin.wrapping_add(*first), bytes)
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_zero_aligned_and_as_long_as_asked() {
        for len in [0, 1, 1000, 1 << 20] {
            let mut owned = Owned::<f64>::zeros(len).unwrap();
            assert_eq!((owned.len(), owned.as_ptr().addr() % 8), (len, 0), "{len} elements");
            assert!(owned.iter().all(|x| x.to_bits() == 0), "not cleared");
            owned.fill(1.0);
            assert_eq!(owned.iter().filter(|x| x.to_bits() != 0).count(), len, "not writable");
        }
        assert!(Owned::<f64>::zeros(1000).unwrap().as_ptr().addr().is_multiple_of(4096), "a page");
    }

    #[test]
    fn values_beside_one_another_are_zero_aligned_and_apart() {
        let lengths = [0, 1, 100_000, 70_000, 100_001, 1 << 20, 3 << 20, 1 << 21, 100_000, 9 << 20];
        let mut all: Vec<_> =
            lengths.iter().map(|len| Owned::<u32>::beside(*len).unwrap()).collect();
        for (owned, &len) in all.iter_mut().zip(&lengths) {
            assert_eq!((owned.len(), owned.as_ptr().addr() % 64 * len.min(1)), (len, 0), "{len}");
            assert!(owned.iter().all(|x| *x == 0), "not cleared, or another's: {len}");
            owned.fill(u32::MAX);
        }
        drop(all.split_off(2));
        let again = Owned::<u32>::beside(100_000).unwrap();
        assert!(again.iter().all(|x| *x == 0), "not cleared");
        let at = |owned: &Owned<u32>| owned.as_ptr().addr();
        let next = Owned::<u32>::beside(100_000).unwrap();
        assert_eq!(at(&next) - at(&again), 400_000, "the next cache lines");
    }

    #[test]
    fn more_than_there_is_is_an_error() {
        assert!(Owned::<f64>::zeros(usize::MAX).is_err(), "an overflowing size");
        assert!(Owned::<f64>::zeros(1 << 57).is_err(), "an impossible size");
        assert!(Owned::<f64>::beside(usize::MAX).is_err(), "an overflowing size");
    }
}
