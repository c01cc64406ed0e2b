//! Words in 256-bit registers.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::words::Words;
use crate::Avx2;
use crate::simd::Lanes;
use crate::simd::avx2::F32x8;

/// Eight words.
#[derive(Clone, Copy)]
pub(in crate::quant) struct Words8(__m256i);

impl Words for Words8 {
    type Proof = Avx2;
    type Floats = F32x8;
    const COUNT: usize = 8;

    #[inline(always)]
    fn floats(proof: Avx2) -> Avx2 {
        proof
    }

    #[inline(always)]
    fn splat(_: Avx2, word: u32) -> Self {
        // SAFETY: the token proves the instruction set.
        Self(unsafe { _mm256_set1_epi32(word.cast_signed()) })
    }

    #[inline(always)]
    unsafe fn load(_: Avx2, from: *const u8) -> Self {
        // SAFETY: the token proves the instruction set; the caller promises a full register to read.
        Self(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_24(_: Avx2, from: *const u8) -> Self {
        // SAFETY: the token proves the instruction set; the caller promises the bytes.
        Self(unsafe { load_24(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: a value proves the instruction set; the caller promises a full register to write.
        unsafe { _mm256_storeu_si256(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn widen_u8(_: Avx2, from: *const u8) -> Self {
        // SAFETY: the token proves the instruction set; the caller promises the bytes.
        Self(unsafe { widen_u8(from) })
    }

    #[inline(always)]
    fn right(self, proof: Avx2, by: u32) -> Self {
        // SAFETY: a value proves the instruction set. (The amount is known when it is compiled.)
        Self(unsafe { _mm256_srlv_epi32(self.0, Self::splat(proof, by).0) })
    }

    #[inline(always)]
    fn left(self, proof: Avx2, by: u32) -> Self {
        // SAFETY: a value proves the instruction set. (The amount is known when it is compiled.)
        Self(unsafe { _mm256_sllv_epi32(self.0, Self::splat(proof, by).0) })
    }

    #[inline(always)]
    fn select(self, other: Self, mask: Self) -> Self {
        // SAFETY: a value proves the instruction set.
        Self(unsafe { select(self.0, other.0, mask.0) })
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: a value proves the instruction set.
        Self(unsafe { _mm256_and_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn dot(self, _: Avx2, x: Self, sums: Self) -> Self {
        // SAFETY: the token proves the instruction set.
        Self(unsafe { dot(self.0, x.0, sums.0) })
    }

    #[inline(always)]
    fn dot_small(self, _: Avx2, x: Self, sums: Self) -> Self {
        // SAFETY: the token proves the instruction set.
        Self(unsafe { dot_small(self.0, x.0, sums.0, 1) })
    }

    #[inline(always)]
    fn to_floats(self) -> F32x8 {
        // SAFETY: a value proves the instruction set.
        F32x8(unsafe { _mm256_cvtepi32_ps(self.0) })
    }

    #[inline(always)]
    fn table(proof: Avx2, _: u32) -> F32x8 {
        F32x8::splat(proof, 0.0)
    }

    #[inline(always)]
    fn low(self, proof: Avx2, bits: u32, _: F32x8) -> F32x8 {
        self.and(Self::splat(proof, (1 << bits) - 1)).to_floats()
    }

    #[inline(always)]
    unsafe fn gather(self, from: *const f32) -> F32x8 {
        // SAFETY: a value proves the instruction set; the caller promises the floats.
        let floats = unsafe { _mm256_loadu_ps(from) };
        // SAFETY: a value proves the instruction set.
        F32x8(unsafe { _mm256_permutevar8x32_ps(floats, self.0) })
    }

    #[inline(always)]
    unsafe fn widen_f16(_: Avx2, from: *const f16) -> F32x8 {
        // SAFETY: the token proves the instruction set; the caller promises the numbers.
        F32x8(unsafe { widen_f16(from) })
    }

    #[inline(always)]
    unsafe fn widen_bf16(_: Avx2, from: *const bf16) -> F32x8 {
        // SAFETY: the token proves the instruction set; the caller promises the numbers.
        F32x8(unsafe { widen_bf16(from) })
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn select(one: __m256i, other: __m256i, mask: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_and_si256(mask, one), _mm256_andnot_si256(mask, other))
}

/// `sums + times · (products)`, for codes below 32: `vpmaddubsw` adds two products in 16 bits, which then hold them.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_small(codes: __m256i, x: __m256i, sums: __m256i, times: i16) -> __m256i {
    let pairs = _mm256_maddubs_epi16(codes, x);
    _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(times)))
}

/// Any codes: their lower halves, and sixteen times the upper ones.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot(codes: __m256i, x: __m256i, sums: __m256i) -> __m256i {
    let half = _mm256_set1_epi8(0x0f);
    let low = _mm256_and_si256(codes, half);
    let high = _mm256_and_si256(_mm256_srli_epi32::<4>(codes), half);
    dot_small(high, x, dot_small(low, x, sums, 1), 16)
}

/// # Safety
///
/// `from` is valid for reading eight bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn widen_u8(from: *const u8) -> __m256i {
    // SAFETY: the caller's promise.
    _mm256_cvtepu8_epi32(unsafe { _mm_loadl_epi64(from.cast()) })
}

/// # Safety
///
/// `from` is valid for reading 24 bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load_24(from: *const u8) -> __m256i {
    // SAFETY: the caller's promise: the first 16 of 24 bytes.
    let low = unsafe { _mm_loadu_si128(from.cast()) };
    // SAFETY: the last 16 of 24 bytes.
    let high = unsafe { _mm_loadu_si128(from.wrapping_add(8).cast()) };
    let low_bytes = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
    let high_bytes = _mm_setr_epi8(4, 5, 6, -1, 7, 8, 9, -1, 10, 11, 12, -1, 13, 14, 15, -1);
    _mm256_shuffle_epi8(_mm256_set_m128i(high, low), _mm256_set_m128i(high_bytes, low_bytes))
}

/// # Safety
///
/// `from` is valid for reading eight numbers.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn widen_f16(from: *const f16) -> __m256 {
    // SAFETY: the caller's promise.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.cast()) })
}

/// # Safety
///
/// `from` is valid for reading eight numbers.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn widen_bf16(from: *const bf16) -> __m256 {
    // SAFETY: the caller's promise.
    let words = _mm256_cvtepu16_epi32(unsafe { _mm_loadu_si128(from.cast()) });
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words))
}
