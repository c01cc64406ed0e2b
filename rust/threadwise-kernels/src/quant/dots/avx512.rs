//! Words in 512-bit registers, with `vpdpbusd`.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::words::Words;
use crate::simd::Lanes;
use crate::simd::avx512::F32x16;
use crate::{Avx512, Vnni};

/// Sixteen words.
#[derive(Clone, Copy)]
pub(in crate::quant) struct Words16(__m512i);

/// What numbers the lowest four bits of a word stand for, where codes have 2, 3 and 4 bits.
const TABLES: [[f32; 16]; 3] = [
    [0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0],
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0],
];

impl Words for Words16 {
    type Proof = Vnni;
    type Floats = F32x16;
    const COUNT: usize = 16;

    #[inline(always)]
    fn floats(proof: Vnni) -> Avx512 {
        proof.avx512()
    }

    #[inline(always)]
    fn splat(_: Vnni, word: u32) -> Self {
        // SAFETY: the token proves the instruction set.
        Self(unsafe { _mm512_set1_epi32(word.cast_signed()) })
    }

    #[inline(always)]
    unsafe fn load(_: Vnni, from: *const u8) -> Self {
        // SAFETY: the token proves the instruction set; the caller promises a full register to read.
        Self(unsafe { _mm512_loadu_si512(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_24(_: Vnni, from: *const u8) -> Self {
        // SAFETY: the token proves the instruction set; the caller promises the bytes.
        Self(unsafe { load_24(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: a value proves the instruction set; the caller promises a full register to write.
        unsafe { _mm512_storeu_si512(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn widen_u8(_: Vnni, from: *const u8) -> Self {
        // SAFETY: the token proves the instruction set; the caller promises the bytes.
        Self(unsafe { widen_u8(from) })
    }

    #[inline(always)]
    fn right(self, proof: Vnni, by: u32) -> Self {
        // SAFETY: a value proves the instruction set. (The amount is known when it is compiled.)
        Self(unsafe { _mm512_srlv_epi32(self.0, Self::splat(proof, by).0) })
    }

    #[inline(always)]
    fn left(self, proof: Vnni, by: u32) -> Self {
        // SAFETY: a value proves the instruction set. (The amount is known when it is compiled.)
        Self(unsafe { _mm512_sllv_epi32(self.0, Self::splat(proof, by).0) })
    }

    #[inline(always)]
    fn select(self, other: Self, mask: Self) -> Self {
        // SAFETY: a value proves the instruction set. (Of mask, self, other: self where mask, else other.)
        Self(unsafe { _mm512_ternarylogic_epi32::<0xca>(mask.0, self.0, other.0) })
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: a value proves the instruction set.
        Self(unsafe { _mm512_and_si512(self.0, other.0) })
    }

    #[inline(always)]
    fn dot(self, _: Vnni, x: Self, sums: Self) -> Self {
        // SAFETY: the token proves the instruction set.
        Self(unsafe { _mm512_dpbusd_epi32(sums.0, self.0, x.0) })
    }

    #[inline(always)]
    fn dot_small(self, proof: Vnni, x: Self, sums: Self) -> Self {
        self.dot(proof, x, sums)
    }

    #[inline(always)]
    fn to_floats(self) -> F32x16 {
        // SAFETY: a value proves the instruction set.
        F32x16(unsafe { _mm512_cvtepi32_ps(self.0) })
    }

    #[inline(always)]
    fn table(proof: Vnni, bits: u32) -> F32x16 {
        let table = &TABLES[if bits == 8 { 0 } else { bits as usize - 2 }];
        // SAFETY: sixteen floats.
        unsafe { F32x16::load(proof.avx512(), table.as_ptr()) }
    }

    #[inline(always)]
    fn low(self, proof: Vnni, bits: u32, table: F32x16) -> F32x16 {
        if bits == 8 {
            return self.and(Self::splat(proof, 0xff)).to_floats();
        }
        // SAFETY: the token proves the instruction set. (It takes the lowest four bits.)
        F32x16(unsafe { _mm512_permutexvar_ps(self.0, table.0) })
    }

    #[inline(always)]
    unsafe fn gather(self, from: *const f32) -> F32x16 {
        // SAFETY: a value proves the instruction set; the caller promises the floats.
        let floats = unsafe { _mm512_loadu_ps(from) };
        // SAFETY: a value proves the instruction set.
        F32x16(unsafe { _mm512_permutexvar_ps(self.0, floats) })
    }

    #[inline(always)]
    unsafe fn widen_f16(_: Vnni, from: *const f16) -> F32x16 {
        // SAFETY: the token proves the instruction set; the caller promises the numbers.
        F32x16(unsafe { widen_f16(from) })
    }

    #[inline(always)]
    unsafe fn widen_bf16(_: Vnni, from: *const bf16) -> F32x16 {
        // SAFETY: the token proves the instruction set; the caller promises the numbers.
        F32x16(unsafe { widen_bf16(from) })
    }
}

/// # Safety
///
/// `from` is valid for reading sixteen bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn widen_u8(from: *const u8) -> __m512i {
    // SAFETY: the caller's promise.
    _mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(from.cast()) })
}

/// # Safety
///
/// `from` is valid for reading 48 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn load_24(from: *const u8) -> __m512i {
    // SAFETY: the caller's promise: twelve words.
    let words = unsafe { _mm512_maskz_loadu_epi32(0x0fff, from.cast()) };
    // Three words to each quarter of the register, and there three bytes to each word.
    let quarters = _mm512_setr_epi32(0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11);
    let bytes = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
    let words = _mm512_permutexvar_epi32(quarters, words);
    _mm512_shuffle_epi8(words, _mm512_broadcast_i32x4(bytes))
}

/// # Safety
///
/// `from` is valid for reading sixteen numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn widen_f16(from: *const f16) -> __m512 {
    // SAFETY: the caller's promise.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(from.cast()) })
}

/// # Safety
///
/// `from` is valid for reading sixteen numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn widen_bf16(from: *const bf16) -> __m512 {
    // SAFETY: the caller's promise.
    let words = _mm512_cvtepu16_epi32(unsafe { _mm256_loadu_si256(from.cast()) });
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))
}

/// Sixteen numbers as bfloat16.
///
/// # Safety
///
/// The CPU has AVX-512 BF16, and `to` is valid for writing them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16")]
pub(super) unsafe fn store_bf16(numbers: F32x16, to: *mut bf16) {
    let rounded = _mm512_cvtneps_pbh(numbers.0);
    // SAFETY: the caller's promise.
    unsafe { to.cast::<__m256bh>().write_unaligned(rounded) }
}
