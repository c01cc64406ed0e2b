//! Weighted sums of slices, a few vectors at a time.

use crate::simd::slices::write;
use crate::simd::{Arithmetic, Lanes, Widen};

/// Vectors that are summed side by side: enough that each source is read in runs of some cache lines.
pub(super) const SIDE: usize = 8;

/// Elements that so many vectors have at most.
pub(super) const ROOM: usize = SIDE * 16;

/// factor · Σᵢ weightᵢ·sourceᵢ, element by element: from zero, in the order of the sources, one rounding a term
/// where the CPU fuses, and one for the factor.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a, S, T> {
    /// What is summed.
    pub sources: &'a [&'a [S]],
    /// What each source is multiplied by.
    pub weights: &'a [T],
    /// What the sum is multiplied by.
    pub factor: T,
}

impl<S, T> Terms<'_, S, T> {
    /// Asserts that there are elements `first..first + len`, and as many weights as sources.
    pub(super) fn check(&self, first: usize, len: usize) {
        assert_eq!(self.sources.len(), self.weights.len(), "a weight for each source");
        let is_long = |source: &&[S]| source.len().checked_sub(first).is_some_and(|n| n >= len);
        assert!(self.sources.iter().all(is_long), "{len} elements from {first} on in each source");
    }
}

/// The sums of the elements from `first` on.
#[inline(always)]
pub(super) fn total<V: Widen<S> + Arithmetic, S>(
    proof: V::Proof,
    terms: &Terms<'_, S, V::Element>,
    first: usize,
) -> [V; SIDE] {
    let mut sums = [V::splat(proof, V::Element::default()); SIDE];
    for (source, &weight) in terms.sources.iter().zip(terms.weights) {
        let source = &source[first..first + SIDE * V::COUNT];
        let weight = V::splat(proof, weight);
        for (j, sum) in sums.iter_mut().enumerate() {
            let from = source[j * V::COUNT..].as_ptr();
            // SAFETY: vector j of the SIDE vectors that the slice has.
            *sum = unsafe { V::widen(proof, from) }.mul_add(weight, *sum);
        }
    }
    let factor = V::splat(proof, terms.factor);
    for sum in &mut sums {
        *sum = sum.mul(factor);
    }
    sums
}

/// The same of the last `count` elements, fewer than [`SIDE`] vectors; the others are zero.
#[inline(always)]
pub(super) fn total_first<V: Widen<S> + Arithmetic, S: Copy + Default>(
    proof: V::Proof,
    terms: &Terms<'_, S, V::Element>,
    first: usize,
    count: usize,
) -> [V; SIDE] {
    let mut sums = [V::splat(proof, V::Element::default()); SIDE];
    for (source, &weight) in terms.sources.iter().zip(terms.weights) {
        let mut room = [S::default(); ROOM];
        room[..count].copy_from_slice(&source[first..first + count]);
        let weight = V::splat(proof, weight);
        for (j, sum) in sums.iter_mut().enumerate() {
            let from = room[j * V::COUNT..(j + 1) * V::COUNT].as_ptr();
            // SAFETY: a vector's worth of the room.
            *sum = unsafe { V::widen(proof, from) }.mul_add(weight, *sum);
        }
    }
    let factor = V::splat(proof, terms.factor);
    for sum in &mut sums {
        *sum = sum.mul(factor);
    }
    sums
}

/// Writes all vectors.
#[inline(always)]
pub(super) fn put<V: Lanes>(vectors: [V; SIDE], to: &mut [V::Element]) {
    for (vector, to) in vectors.into_iter().zip(to.chunks_exact_mut(V::COUNT)) {
        write(vector, to);
    }
}
