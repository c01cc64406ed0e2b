//! Scratch memory that a thread keeps for its next call.
//!
//! Fresh memory costs a page fault every 4 KiB, which for a packed operand takes longer than packing
//! it. Buffers begin at a page, so at a cache line too, and ask for huge pages, which Linux gives
//! only on request.

use std::cell::RefCell;
use std::io;

use bytemuck::Pod;
use memmap2::MmapMut;

/// A thread gives larger buffers back after use.
const KEPT: usize = 64 << 20;

thread_local! {
    static FREE: RefCell<Vec<MmapMut>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` elements of scratch memory, whose contents are arbitrary. Nested calls get
/// memory of their own.
///
/// # Errors
///
/// If the system has no memory left.
pub fn with_scratch<T: Pod, R>(len: usize, work: impl FnOnce(&mut [T]) -> R) -> io::Result<R> {
    let bytes = len
        .checked_mul(size_of::<T>())
        .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
    if bytes == 0 {
        return Ok(work(&mut []));
    }
    let free = FREE.with_borrow_mut(|free| {
        // The smallest that fits: a larger one may be asked for next.
        let fitting = free.iter().enumerate().filter(|(_, buffer)| buffer.len() >= bytes);
        let fits = fitting.min_by_key(|(_, buffer)| buffer.len()).map(|(i, _)| i);
        if fits.is_none() {
            // One that is too small is given up for the larger one, so that none are collected.
            free.pop();
        }
        fits.map(|i| free.swap_remove(i))
    });
    let mut buffer = match free {
        Some(buffer) => buffer,
        None => map(bytes, if bytes >= HUGE / 2 { HUGE } else { SMALL })?,
    };
    let result = work(bytemuck::cast_slice_mut(&mut buffer[..bytes]));
    if buffer.len() <= KEPT {
        FREE.with_borrow_mut(|free| free.push(buffer));
    }
    Ok(result)
}

/// A huge page.
pub(crate) const HUGE: usize = 2 << 20;

/// Memory that is little is taken in multiples of this.
const SMALL: usize = 64 << 10;

/// Anonymous memory of at least `bytes`, a multiple of `unit`, in huge pages where it fills some.
pub(crate) fn map(bytes: usize, unit: usize) -> io::Result<MmapMut> {
    let buffer = MmapMut::map_anon(bytes.next_multiple_of(unit))?;
    #[cfg(target_os = "linux")]
    if bytes >= HUGE / 2 {
        // A wish: without huge pages the memory is as good, only slower.
        let _ = buffer.advise(memmap2::Advice::HugePage);
    }
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_is_aligned_reused_and_separate_when_nested() {
        let at =
            |len: usize| with_scratch::<f64, _>(len, |s| (s.as_ptr().addr(), s.len())).unwrap();
        let (first, length) = at(1000);
        assert_eq!((first % 64, length), (0, 1000), "cache lines, and as long as asked");
        assert_eq!(at(500).0, first, "the same memory again");
        let outer = with_scratch::<f32, _>(100, |outer| {
            outer.fill(1.0);
            with_scratch::<f32, _>(100, |inner| inner.fill(2.0)).unwrap();
            outer.iter().sum::<f32>()
        });
        assert_eq!(
            outer.unwrap().to_bits(),
            100.0_f32.to_bits(),
            "the inner call did not write it"
        );
        assert_eq!(with_scratch::<f32, _>(0, |s| s.len()).unwrap(), 0, "nothing is allowed");
    }

    #[test]
    fn more_than_there_is_is_an_error() {
        assert!(with_scratch::<f64, _>(usize::MAX, |_| ()).is_err(), "an overflowing size");
        assert!(with_scratch::<f64, _>(1 << 57, |_| ()).is_err(), "an impossible size");
    }
}
