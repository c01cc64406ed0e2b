//! Rows of a matrix as floats, in the order in which prepared inputs are floats: a product of many rows is then one of
//! plain matrices, and no code need be moved to its place.

use half::bf16;

use super::layout::{LANES, Layout, lane};
use super::words::Words;
use crate::simd::Lanes;

/// Writes values of a row, whose factors are given, from a block on: code · scale + what code 0 stands for.
///
/// # Safety
///
/// The CPU has the instruction set of the function.
pub(super) type DecodeFn<T> = unsafe fn(&Layout, &[u32], &[f32], usize, &mut [T]);

/// What values are stored as.
pub(super) trait Store<V> {
    /// The type of a value.
    type Value;

    /// Writes a register of values, rounded.
    ///
    /// # Safety
    ///
    /// `to` is valid for writing as many values, and the CPU has what the store needs.
    unsafe fn store(values: V, to: *mut Self::Value);
}

/// As they are.
pub(super) struct Singles;

impl<V: Lanes<Element = f32>> Store<V> for Singles {
    type Value = f32;

    #[inline(always)]
    unsafe fn store(values: V, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { values.store(to) }
    }
}

/// To nearest, halves to even; subnormal numbers become zeros. The CPU has AVX-512 BF16.
#[cfg(target_arch = "x86_64")]
pub(super) struct Bfloats;

#[cfg(target_arch = "x86_64")]
impl Store<crate::simd::avx512::F32x16> for Bfloats {
    type Value = bf16;

    #[inline(always)]
    unsafe fn store(values: crate::simd::avx512::F32x16, to: *mut bf16) {
        // SAFETY: the caller's promise.
        unsafe { super::avx512::store_bf16(values, to) }
    }
}

/// Twin of [`super::scalar::decode`].
///
/// # Safety
///
/// The CPU has what the store needs.
#[inline(always)]
pub(super) unsafe fn lanes<W: Words, S: Store<W::Floats>, const BITS: u32>(
    proof: W::Proof,
    layout: &Layout,
    codes: &[u32],
    factors: &[f32],
    start: usize,
    to: &mut [S::Value],
) {
    let (scales, zeros) = factors.split_at(layout.factors());
    assert_eq!(codes.len(), layout.words(), "a row of codes");
    assert_eq!(zeros.len(), layout.factors(), "a row's factors");
    let end = start + to.len() / (LANES * lane(BITS));
    assert!(end <= layout.blocks(), "blocks of a row");
    // SAFETY: there are sixteen numbers.
    let spread = unsafe { W::load(proof, layout.spread().as_ptr().cast()) };
    let table = W::table(proof, BITS);
    let bytes = LANES * lane(BITS) * BITS as usize / 8;
    let whole = 4 * codes.len() / bytes;
    let to = to.as_mut_ptr();
    for b in start..end {
        let mut rest = [0_u8; 4 * LANES];
        let mut from = codes.as_ptr().cast::<u8>().wrapping_add(b * bytes);
        if b >= whole {
            // SAFETY: what is left of the row, which is less than a block; `rest` is our own.
            unsafe {
                rest.as_mut_ptr().copy_from_nonoverlapping(from, 4 * codes.len() - b * bytes);
            };
            from = rest.as_ptr();
        }
        for first in (0..LANES).step_by(W::COUNT) {
            let group = layout.group((b * LANES + first) * lane(BITS));
            // SAFETY: factors of this group, and a register more.
            let scale = unsafe { spread.gather(scales.as_ptr().wrapping_add(group)) };
            // SAFETY: factors of this group, and a register more.
            let zero = unsafe { spread.gather(zeros.as_ptr().wrapping_add(group)) };
            let from = from.wrapping_add(first * lane(BITS) * BITS as usize / 8);
            // What follows is this row's next part, or the next row.
            W::Floats::prefetch(from.wrapping_add((end - start) * bytes).cast());
            let mut word = if BITS == 3 {
                // SAFETY: this part of the block.
                unsafe { W::load_24(proof, from) }
            } else {
                // SAFETY: this part of the block.
                unsafe { W::load(proof, from) }
            };
            for code in 0..lane(BITS) {
                let value = word.low(proof, BITS, table).mul_add(scale, zero);
                word = word.right(proof, BITS);
                let to = to.wrapping_add(((b - start) * lane(BITS) + code) * LANES + first);
                // SAFETY: this code's place in this part of the block.
                unsafe { S::store(value, to) };
            }
        }
    }
}
