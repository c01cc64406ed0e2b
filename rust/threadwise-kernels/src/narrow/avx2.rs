//! Units in 256-bit registers.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::units::{Fetch, Units, register_fetch, register_units};
use crate::Avx2;
use crate::simd::Lanes;
use crate::simd::avx2::F32x8;

register_units!(
    /// A number of 32 bits, made of one of 16.
    Singles, __m256i, 8, 1, f32, Avx2, {
        flip: 0, splat: _mm256_set1_epi32, load: _mm256_loadu_si256, store: _mm256_storeu_si256,
        load_first: load_first, store_first: store_first,
        square: F32x8::transpose, dot: dot_singles, add: add_floats, total: total_floats,
    }
);
register_fetch!(Singles, bf16, Avx2, widened_bf16(half), widened_bf16(half[0]));
register_fetch!(Singles, f16, Avx2, widened_f16(half), widened_f16(half[0]));

register_units!(
    /// Two integers of 16 bits, made of two of eight, so that `vpmaddwd` sums their products exactly.
    Pairs, __m256i, 8, 2, i32, Avx2, {
        flip: 0, splat: _mm256_set1_epi32, load: _mm256_loadu_si256, store: _mm256_storeu_si256,
        load_first: load_first, store_first: store_first,
        square: F32x8::transpose, dot: dot_pairs, add: _mm256_add_epi32, total: total_integers,
    }
);
register_fetch!(Pairs, i8, Avx2, widened_i8(half), joined_i8(quarter[0, 1]));
register_fetch!(Pairs, u8, Avx2, widened_u8(half), joined_u8(quarter[0, 1]));

/// All ones in the first `count` places.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn first(count: usize) -> __m256i {
    #[expect(clippy::cast_possible_truncation, reason = "a register has eight places")]
    let count = _mm256_set1_epi32(count.min(8) as i32);
    _mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

/// # Safety
///
/// As [`Units::load_first`] says.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load_first(from: *const i32, count: usize) -> __m256i {
    let mask = first(count);
    // SAFETY: the caller's promise.
    unsafe { _mm256_maskload_epi32(from, mask) }
}

/// # Safety
///
/// As [`Units::store_first`] says.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn store_first(to: *mut i32, count: usize, units: __m256i) {
    let mask = first(count);
    // SAFETY: the caller's promise.
    unsafe { _mm256_maskstore_epi32(to, mask, units) }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_singles(left: __m256i, right: __m256i, sums: __m256i) -> __m256i {
    let (left, right) = (_mm256_castsi256_ps(left), _mm256_castsi256_ps(right));
    _mm256_castps_si256(_mm256_fmadd_ps(left, right, _mm256_castsi256_ps(sums)))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_pairs(left: __m256i, right: __m256i, sums: __m256i) -> __m256i {
    _mm256_add_epi32(sums, _mm256_madd_epi16(left, right))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_floats(x: __m256i, y: __m256i) -> __m256i {
    _mm256_castps_si256(_mm256_add_ps(_mm256_castsi256_ps(x), _mm256_castsi256_ps(y)))
}

/// The sum of eight lanes, halves first.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn total_floats(x: __m256i) -> f32 {
    let x = _mm256_castsi256_ps(x);
    let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn total_integers(x: __m256i) -> i32 {
    let four = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b1110>(four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two)))
}

/// Half a register.
///
/// # Safety
///
/// `from` is valid for reading 16 bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn half<E>(from: *const E) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe { _mm_loadu_si128(from.cast()) }
}

/// A quarter of a register.
///
/// # Safety
///
/// `from` is valid for reading 8 bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn quarter<E>(from: *const E) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe { _mm_loadl_epi64(from.cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widened_bf16([words]: [__m128i; 1]) -> __m256i {
    _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(words))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widened_f16([words]: [__m128i; 1]) -> __m256i {
    _mm256_castps_si256(_mm256_cvtph_ps(words))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widened_i8([bytes]: [__m128i; 1]) -> __m256i {
    _mm256_cvtepi8_epi16(bytes)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widened_u8([bytes]: [__m128i; 1]) -> __m256i {
    _mm256_cvtepu8_epi16(bytes)
}

/// Pairs of a byte of each row, widened.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn joined_i8([first, second]: [__m128i; 2]) -> __m256i {
    _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(first, second))
}

/// Pairs of a byte of each row, widened.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn joined_u8([first, second]: [__m128i; 2]) -> __m256i {
    _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(first, second))
}
