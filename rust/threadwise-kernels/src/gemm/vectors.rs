//! Some vectors of a row, the last of them masked.

use crate::simd::Lanes;

/// Reads `VECTORS` vectors, the last of them masked.
///
/// # Safety
///
/// `from` is valid for reading all lanes of the first vectors and the lanes of `mask` of the last.
#[inline(always)]
pub(super) unsafe fn row<V: Lanes, const VECTORS: usize>(
    proof: V::Proof,
    mask: V::Mask,
    from: *const V::Element,
) -> [V; VECTORS] {
    let mut vectors = [V::splat(proof, V::Element::default()); VECTORS];
    for (j, vector) in vectors.iter_mut().enumerate() {
        let from = from.wrapping_add(j * V::COUNT);
        *vector = if j + 1 < VECTORS {
            // SAFETY: a full vector, which the caller promises.
            unsafe { V::load(proof, from) }
        } else {
            // SAFETY: the last vector, of which the caller promises the lanes of the mask.
            unsafe { V::load_first(proof, mask, from) }
        };
    }
    vectors
}

/// Writes `VECTORS` vectors, the last of them masked.
///
/// # Safety
///
/// `to` is valid for writing all lanes of the first vectors and the lanes of `mask` of the last.
#[inline(always)]
pub(super) unsafe fn write<V: Lanes, const VECTORS: usize>(
    mask: V::Mask,
    vectors: [V; VECTORS],
    to: *mut V::Element,
) {
    for (j, vector) in vectors.into_iter().enumerate() {
        let to = to.wrapping_add(j * V::COUNT);
        if j + 1 < VECTORS {
            // SAFETY: a full vector, which the caller promises.
            unsafe { vector.store(to) };
        } else {
            // SAFETY: the last vector, of which the caller promises the lanes of the mask.
            unsafe { vector.store_first(mask, to) };
        }
    }
}
