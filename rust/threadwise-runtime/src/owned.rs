//! Memory that a value owns for as long as it lives, laid out for kernels.

use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use memmap2::MmapMut;

use crate::scratch::map;

/// Memory is taken in multiples of it: values live side by side, and share huge pages.
const PAGE: usize = 4 << 10;

/// A slice of numbers that begins at a page, in huge pages where it fills one.
#[derive(Debug)]
pub struct Owned<T> {
    memory: Option<MmapMut>,
    len: usize,
    elements: PhantomData<T>,
}

impl<T: Pod> Owned<T> {
    /// `len` zeros.
    ///
    /// # Errors
    ///
    /// If the system has no memory left.
    pub fn zeros(len: usize) -> io::Result<Self> {
        let bytes = len
            .checked_mul(size_of::<T>())
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let memory = if bytes == 0 { None } else { Some(map(bytes, PAGE)?) };
        Ok(Self { memory, len, elements: PhantomData })
    }
}

impl<T: Pod> Deref for Owned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let bytes = self.len * size_of::<T>();
        self.memory.as_ref().map_or(&[], |memory| bytemuck::cast_slice(&memory[..bytes]))
    }
}

impl<T: Pod> DerefMut for Owned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let bytes = self.len * size_of::<T>();
        match &mut self.memory {
            Some(memory) => bytemuck::cast_slice_mut(&mut memory[..bytes]),
            None => &mut [],
        }
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
    fn more_than_there_is_is_an_error() {
        assert!(Owned::<f64>::zeros(usize::MAX).is_err(), "an overflowing size");
        assert!(Owned::<f64>::zeros(1 << 57).is_err(), "an impossible size");
    }
}
