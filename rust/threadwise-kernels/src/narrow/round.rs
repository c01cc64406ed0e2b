//! From sums to results: bias and activation in the sums' type, then one rounding.

use half::{bf16, f16};
use ndarray::ArrayViewMut2;

use crate::Isa;
use crate::gemm::Epilogue;
use crate::simd::{Lanes, portable::Portable};
#[cfg(target_arch = "x86_64")]
use crate::simd::{avx2::F32x8, avx512::F32x16};

/// Elements that are rounded at a time.
const CHUNK: usize = 64;

/// What sums of `S` are stored as.
pub trait Rounded<S>: Copy + Default + Send + Sync + 'static {
    /// The results of a row of sums: each with the bias of its column, then the activation, then rounded
    /// to nearest, halves to even; integers as they are. The sums are used up.
    ///
    /// # Panics
    ///
    /// If the row, its place or the bias differ in length, or integers have an epilogue.
    fn finish(isa: Isa, sums: &mut [S], epilogue: Epilogue<'_, S>, to: &mut [Self]);

    /// The place of results as a place for sums, if they are the same but for the epilogue.
    #[must_use]
    fn sums<'a>(_: &'a mut ArrayViewMut2<'_, Self>) -> Option<ArrayViewMut2<'a, S>> {
        None
    }
}

impl Rounded<i32> for i32 {
    fn finish(_: Isa, sums: &mut [i32], epilogue: Epilogue<'_, i32>, to: &mut [i32]) {
        let plain = epilogue.bias.is_none() && epilogue.activation.is_none();
        assert!(plain, "integers have no epilogue");
        to.copy_from_slice(sums);
    }

    fn sums<'a>(results: &'a mut ArrayViewMut2<'_, i32>) -> Option<ArrayViewMut2<'a, i32>> {
        Some(results.view_mut())
    }
}

/// How a chunk of sums is rounded.
pub(crate) trait Round: Copy + Default + Send + Sync + 'static {
    /// In plain Rust, which the compiler vectorizes for the function it is inlined into.
    fn round(sums: &[f32], to: &mut [Self]);

    /// The same where the CPU converts.
    ///
    /// # Safety
    ///
    /// The CPU executes AVX2, FMA and F16C.
    #[inline(always)]
    unsafe fn round_f16c(sums: &[f32], to: &mut [Self]) {
        Self::round(sums, to);
    }

    /// Sixteen at a time.
    ///
    /// # Safety
    ///
    /// The CPU executes AVX-512 F, BW, DQ and VL, and so AVX2, FMA and F16C.
    #[inline(always)]
    unsafe fn round_avx512(sums: &[f32], to: &mut [Self]) {
        Self::round(sums, to);
    }

    fn sums<'a>(_: &'a mut ArrayViewMut2<'_, Self>) -> Option<ArrayViewMut2<'a, f32>> {
        None
    }
}

impl Round for f32 {
    #[inline(always)]
    fn round(sums: &[f32], to: &mut [f32]) {
        to.copy_from_slice(sums);
    }

    fn sums<'a>(results: &'a mut ArrayViewMut2<'_, f32>) -> Option<ArrayViewMut2<'a, f32>> {
        Some(results.view_mut())
    }
}

impl Round for bf16 {
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the upper half is left")]
    fn round(sums: &[f32], to: &mut [bf16]) {
        for (sum, to) in sums.iter().zip(to) {
            let bits = sum.to_bits();
            // Half a unit less one, and one more if the last bit is set: halves go to even.
            let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
            let quiet = bits >> 16 | 0x40;
            *to = bf16::from_bits(if sum.is_nan() { quiet } else { rounded } as u16);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn round_avx512(sums: &[f32], to: &mut [bf16]) {
        use std::arch::x86_64::*;
        let convert = |sums: __m512| {
            let bits = _mm512_castps_si512(sums);
            let upper = _mm512_srli_epi32::<16>(bits);
            let last = _mm512_and_si512(upper, _mm512_set1_epi32(1));
            let half = _mm512_add_epi32(last, _mm512_set1_epi32(0x7fff));
            let rounded = _mm512_srli_epi32::<16>(_mm512_add_epi32(bits, half));
            let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(sums, sums);
            let quiet = _mm512_set1_epi32(0x40);
            _mm512_cvtepi32_epi16(_mm512_mask_or_epi32(rounded, is_nan, upper, quiet))
        };
        // SAFETY: bfloat16 is 16 bits wide.
        unsafe { sixteen(sums, to, convert) };
    }
}

impl Round for f16 {
    #[inline(always)]
    fn round(sums: &[f32], to: &mut [f16]) {
        for (sum, to) in sums.iter().zip(to) {
            *to = f16::from_f32(*sum);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn round_f16c(sums: &[f32], to: &mut [f16]) {
        use std::arch::x86_64::{
            _MM_FROUND_TO_NEAREST_INT, _mm_storeu_si128, _mm256_cvtps_ph, _mm256_loadu_ps,
        };
        let (whole, rest) = sums.as_chunks::<8>();
        let (whole_to, rest_to) = to.as_chunks_mut::<8>();
        for (sums, to) in whole.iter().zip(whole_to) {
            // SAFETY: eight numbers.
            let sums = unsafe { _mm256_loadu_ps(sums.as_ptr()) };
            let rounded = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(sums);
            // SAFETY: eight places.
            unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), rounded) };
        }
        Self::round(rest, rest_to);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn round_avx512(sums: &[f32], to: &mut [f16]) {
        use std::arch::x86_64::{_MM_FROUND_TO_NEAREST_INT, _mm512_cvtps_ph};
        let convert = |sums| _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(sums);
        // SAFETY: float16 is 16 bits wide.
        unsafe { sixteen(sums, to, convert) };
    }
}

/// Converts sixteen numbers at a time, and those that are left.
///
/// # Safety
///
/// The CPU executes AVX-512 F, BW, DQ and VL. `R` is 16 bits wide.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn sixteen<R>(
    sums: &[f32],
    to: &mut [R],
    convert: impl Fn(std::arch::x86_64::__m512) -> std::arch::x86_64::__m256i,
) {
    use std::arch::x86_64::{
        _mm256_mask_storeu_epi16, _mm256_storeu_si256, _mm512_loadu_ps, _mm512_maskz_loadu_ps,
    };
    assert_eq!(sums.len(), to.len(), "a place for each sum");
    let (whole, rest) = sums.as_chunks::<16>();
    let (whole_to, rest_to) = to.as_chunks_mut::<16>();
    for (sums, to) in whole.iter().zip(whole_to) {
        // SAFETY: sixteen numbers.
        let rounded = convert(unsafe { _mm512_loadu_ps(sums.as_ptr()) });
        // SAFETY: sixteen places of 16 bits, as the caller promises.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), rounded) };
    }
    if !rest.is_empty() {
        let mask = (1 << rest.len()) - 1;
        // SAFETY: the mask has as many lanes as numbers are left.
        let rounded = convert(unsafe { _mm512_maskz_loadu_ps(mask, rest.as_ptr()) });
        // SAFETY: and as many places.
        unsafe { _mm256_mask_storeu_epi16(rest_to.as_mut_ptr().cast(), mask, rounded) };
    }
}

impl<R: Round> Rounded<f32> for R {
    fn finish(isa: Isa, sums: &mut [f32], epilogue: Epilogue<'_, f32>, to: &mut [R]) {
        assert_eq!(sums.len(), to.len(), "a place for each sum");
        assert!(epilogue.bias.is_none_or(|bias| bias.len() == sums.len()), "one summand a column");
        match isa {
            Isa::Scalar => finish::<Portable<f32, 4>, R>((), sums, epilogue, to, R::round),
            // SAFETY: the token proves the instruction set.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(proof) => unsafe { finish_avx2(proof, sums, epilogue, to) },
            // SAFETY: the token proves the instruction set.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(proof) => unsafe { finish_avx512(proof, sums, epilogue, to) },
            // SAFETY: the token proves the instruction set.
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(proof) => unsafe { finish_avx512(proof.avx512(), sums, epilogue, to) },
        }
    }

    fn sums<'a>(results: &'a mut ArrayViewMut2<'_, R>) -> Option<ArrayViewMut2<'a, f32>> {
        <R as Round>::sums(results)
    }
}

/// The epilogue, then `round`.
#[inline(always)]
fn finish<V: Lanes<Element = f32>, R: Round>(
    proof: V::Proof,
    sums: &mut [f32],
    epilogue: Epilogue<'_, f32>,
    to: &mut [R],
    round: impl Fn(&[f32], &mut [R]),
) {
    for (i, sums) in sums.chunks_mut(CHUNK).enumerate() {
        let first = i * CHUNK;
        if let Some(bias) = epilogue.bias {
            for (sum, bias) in sums.iter_mut().zip(&bias[first..]) {
                *sum += bias;
            }
        }
        if let Some(activation) = epilogue.activation {
            for sums in sums.chunks_mut(V::COUNT) {
                let mask = V::first(proof, sums.len());
                // SAFETY: the mask has as many lanes as there are sums.
                let x = unsafe { V::load_first(proof, mask, sums.as_ptr()) };
                // SAFETY: as above.
                unsafe { x.activate(proof, activation).store_first(mask, sums.as_mut_ptr()) };
            }
        }
        round(sums, &mut to[first..first + sums.len()]);
    }
}

/// # Safety
///
/// The CPU executes AVX2, FMA and F16C.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn finish_avx2<R: Round>(
    proof: crate::Avx2,
    sums: &mut [f32],
    epilogue: Epilogue<'_, f32>,
    to: &mut [R],
) {
    // SAFETY: the caller's promise.
    finish::<F32x8, R>(proof, sums, epilogue, to, |sums, to| unsafe { R::round_f16c(sums, to) });
}

/// # Safety
///
/// The CPU executes AVX-512 F, BW, DQ and VL, and so AVX2, FMA and F16C.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn finish_avx512<R: Round>(
    proof: crate::Avx512,
    sums: &mut [f32],
    epilogue: Epilogue<'_, f32>,
    to: &mut [R],
) {
    // SAFETY: the caller's promise.
    finish::<F32x16, R>(proof, sums, epilogue, to, |sums, to| unsafe { R::round_avx512(sums, to) });
}
