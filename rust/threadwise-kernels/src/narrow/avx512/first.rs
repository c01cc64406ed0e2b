//! Parts of registers: the first elements or units, zeros after them.

use std::arch::x86_64::*;

/// The first `count` of 64 bits.
#[inline]
fn first(count: usize) -> u64 {
    if count >= 64 { u64::MAX } else { !(u64::MAX << count) }
}

/// # Safety
///
/// As [`Units::load_first`](super::Units::load_first) says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[expect(clippy::cast_possible_truncation, reason = "a register has sixteen places")]
pub(super) unsafe fn load(from: *const i32, count: usize) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_maskz_loadu_epi32(first(count) as __mmask16, from) }
}

/// # Safety
///
/// As [`Units::store_first`](super::Units::store_first) says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[expect(clippy::cast_possible_truncation, reason = "a register has sixteen places")]
pub(super) unsafe fn store(to: *mut i32, count: usize, units: __m512i) {
    // SAFETY: the caller's promise.
    unsafe { _mm512_mask_storeu_epi32(to, first(count) as __mmask16, units) }
}

/// A register, zeros after the first `count` elements.
///
/// # Safety
///
/// `from` is valid for reading them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn whole<E>(from: *const E, count: usize) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_maskz_loadu_epi8(first(count * size_of::<E>()), from.cast()) }
}

/// Half a register, zeros after the first `count` elements.
///
/// # Safety
///
/// `from` is valid for reading them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[expect(clippy::cast_possible_truncation, reason = "half a register has 32 bytes")]
pub(super) unsafe fn half<E>(from: *const E, count: usize) -> __m256i {
    let mask = first(count * size_of::<E>()) as __mmask32;
    // SAFETY: the caller's promise.
    unsafe { _mm256_maskz_loadu_epi8(mask, from.cast()) }
}

/// A quarter of a register, zeros after the first `count` elements.
///
/// # Safety
///
/// `from` is valid for reading them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[expect(clippy::cast_possible_truncation, reason = "a quarter of a register has 16 bytes")]
pub(super) unsafe fn quarter<E>(from: *const E, count: usize) -> __m128i {
    let mask = first(count * size_of::<E>()) as __mmask16;
    // SAFETY: the caller's promise.
    unsafe { _mm_maskz_loadu_epi8(mask, from.cast()) }
}
