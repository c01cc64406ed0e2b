//! Slices, read and written by the vector.

use super::Lanes;

/// A row in whole vectors, and what is left of it.
#[inline(always)]
pub(crate) fn vectors<V: Lanes>(
    x: &[V::Element],
) -> (std::slice::ChunksExact<'_, V::Element>, &[V::Element]) {
    let vectors = x.chunks_exact(V::COUNT);
    let tail = vectors.remainder();
    (vectors, tail)
}

/// A whole vector.
#[inline(always)]
pub(crate) fn load<V: Lanes>(proof: V::Proof, x: &[V::Element]) -> V {
    assert_eq!(x.len(), V::COUNT, "a whole vector");
    // SAFETY: `x` has as many elements as the vector has lanes.
    unsafe { V::load(proof, x.as_ptr()) }
}

/// At most as many elements as a vector has lanes; the others are zero.
#[inline(always)]
pub(crate) fn load_first<V: Lanes>(proof: V::Proof, x: &[V::Element]) -> V {
    assert!(x.len() <= V::COUNT, "at most a vector");
    // SAFETY: the mask has as many lanes as `x` has elements.
    unsafe { V::load_first(proof, V::first(proof, x.len()), x.as_ptr()) }
}

#[inline(always)]
pub(crate) fn write<V: Lanes>(vector: V, y: &mut [V::Element]) {
    assert_eq!(y.len(), V::COUNT, "a whole vector");
    // SAFETY: `y` has as many elements as the vector has lanes.
    unsafe { vector.store(y.as_mut_ptr()) }
}

#[inline(always)]
pub(crate) fn write_first<V: Lanes>(proof: V::Proof, vector: V, y: &mut [V::Element]) {
    assert!(y.len() <= V::COUNT, "at most a vector");
    // SAFETY: the mask has as many lanes as `y` has elements.
    unsafe { vector.store_first(V::first(proof, y.len()), y.as_mut_ptr()) }
}
