//! Lanes that are read from numbers as wide, or narrower.

use half::{bf16, f16};

use super::Lanes;
use super::portable::Portable;

/// Lanes that are read from numbers of type `S`, each of which they hold exactly.
pub(crate) trait Widen<S>: Lanes {
    /// Reads `COUNT` numbers.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading `COUNT` numbers; it need not be aligned to the vector.
    unsafe fn widen(proof: Self::Proof, from: *const S) -> Self;
}

impl<V: Lanes<Element = f32>> Widen<f32> for V {
    #[inline(always)]
    unsafe fn widen(proof: V::Proof, from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { V::load(proof, from) }
    }
}

impl<V: Lanes<Element = f64>> Widen<f64> for V {
    #[inline(always)]
    unsafe fn widen(proof: V::Proof, from: *const f64) -> Self {
        // SAFETY: the caller's promise.
        unsafe { V::load(proof, from) }
    }
}

impl<const N: usize> Widen<bf16> for Portable<f32, N> {
    #[inline(always)]
    unsafe fn widen((): (), from: *const bf16) -> Self {
        // SAFETY: the caller's promise: N readable numbers; an array needs no more alignment.
        Self(unsafe { *from.cast::<[bf16; N]>() }.map(f32::from))
    }
}

impl<const N: usize> Widen<f16> for Portable<f32, N> {
    #[inline(always)]
    unsafe fn widen((): (), from: *const f16) -> Self {
        // SAFETY: the caller's promise: N readable numbers; an array needs no more alignment.
        Self(unsafe { *from.cast::<[f16; N]>() }.map(f32::from))
    }
}

impl<const N: usize> Widen<i8> for Portable<f32, N> {
    #[inline(always)]
    unsafe fn widen((): (), from: *const i8) -> Self {
        // SAFETY: the caller's promise: N readable numbers; an array needs no more alignment.
        Self(unsafe { *from.cast::<[i8; N]>() }.map(f32::from))
    }
}

impl<const N: usize> Widen<u8> for Portable<f32, N> {
    #[inline(always)]
    unsafe fn widen((): (), from: *const u8) -> Self {
        // SAFETY: the caller's promise: N readable numbers; an array needs no more alignment.
        Self(unsafe { *from.cast::<[u8; N]>() }.map(f32::from))
    }
}

#[cfg(target_arch = "x86_64")]
mod registers {
    use std::arch::x86_64::*;

    use half::{bf16, f16};

    use super::Widen;
    use crate::simd::{avx2::F32x8, avx512::F32x16};
    use crate::{Avx2, Avx512};

    /// # Safety
    ///
    /// `from` is valid for reading eight numbers.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn eight_f16(from: *const f16) -> __m256 {
        // SAFETY: the caller's promise.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.cast()) })
    }

    /// A number of bfloat16 is the upper half of one of float32.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading eight numbers.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn eight_bf16(from: *const bf16) -> __m256 {
        // SAFETY: the caller's promise.
        let eight = unsafe { _mm_loadu_si128(from.cast()) };
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(eight)))
    }

    /// # Safety
    ///
    /// `from` is valid for reading sixteen numbers.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn sixteen_bf16(from: *const bf16) -> __m512 {
        // SAFETY: the caller's promise.
        let sixteen = unsafe { _mm256_loadu_si256(from.cast()) };
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(sixteen)))
    }

    /// # Safety
    ///
    /// `from` is valid for reading eight numbers.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn eight_i8(from: *const i8) -> __m256 {
        // SAFETY: the caller's promise.
        let eight = unsafe { _mm_loadl_epi64(from.cast()) };
        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight))
    }

    /// # Safety
    ///
    /// `from` is valid for reading eight numbers.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn eight_u8(from: *const u8) -> __m256 {
        // SAFETY: the caller's promise.
        let eight = unsafe { _mm_loadl_epi64(from.cast()) };
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight))
    }

    /// # Safety
    ///
    /// `from` is valid for reading sixteen numbers.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn sixteen_u8(from: *const u8) -> __m512 {
        // SAFETY: the caller's promise.
        let sixteen = unsafe { _mm_loadu_si128(from.cast()) };
        _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(sixteen))
    }

    /// # Safety
    ///
    /// `from` is valid for reading sixteen numbers.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn sixteen_f16(from: *const f16) -> __m512 {
        // SAFETY: the caller's promise.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    /// # Safety
    ///
    /// `from` is valid for reading sixteen numbers.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn sixteen_i8(from: *const i8) -> __m512 {
        // SAFETY: the caller's promise.
        let sixteen = unsafe { _mm_loadu_si128(from.cast()) };
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(sixteen))
    }

    impl Widen<f16> for F32x8 {
        #[inline(always)]
        unsafe fn widen(_: Avx2, from: *const f16) -> Self {
            // SAFETY: the token proves the instruction set; the caller promises the numbers.
            Self(unsafe { eight_f16(from) })
        }
    }

    impl Widen<bf16> for F32x8 {
        #[inline(always)]
        unsafe fn widen(_: Avx2, from: *const bf16) -> Self {
            // SAFETY: the token proves the instruction set; the caller promises the numbers.
            Self(unsafe { eight_bf16(from) })
        }
    }

    impl Widen<bf16> for F32x16 {
        #[inline(always)]
        unsafe fn widen(_: Avx512, from: *const bf16) -> Self {
            // SAFETY: the token proves the instruction set; the caller promises the numbers.
            Self(unsafe { sixteen_bf16(from) })
        }
    }

    impl Widen<i8> for F32x8 {
        #[inline(always)]
        unsafe fn widen(_: Avx2, from: *const i8) -> Self {
            // SAFETY: the token proves the instruction set; the caller promises the numbers.
            Self(unsafe { eight_i8(from) })
        }
    }

    impl Widen<u8> for F32x8 {
        #[inline(always)]
        unsafe fn widen(_: Avx2, from: *const u8) -> Self {
            // SAFETY: the token proves the instruction set; the caller promises the numbers.
            Self(unsafe { eight_u8(from) })
        }
    }

    impl Widen<u8> for F32x16 {
        #[inline(always)]
        unsafe fn widen(_: Avx512, from: *const u8) -> Self {
            // SAFETY: the token proves the instruction set; the caller promises the numbers.
            Self(unsafe { sixteen_u8(from) })
        }
    }

    impl Widen<f16> for F32x16 {
        #[inline(always)]
        unsafe fn widen(_: Avx512, from: *const f16) -> Self {
            // SAFETY: the token proves the instruction set; the caller promises the numbers.
            Self(unsafe { sixteen_f16(from) })
        }
    }

    impl Widen<i8> for F32x16 {
        #[inline(always)]
        unsafe fn widen(_: Avx512, from: *const i8) -> Self {
            // SAFETY: the token proves the instruction set; the caller promises the numbers.
            Self(unsafe { sixteen_i8(from) })
        }
    }
}
