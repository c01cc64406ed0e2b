//! How sums of float32 become results: bias and activation in float32, then one rounding.

use half::{bf16, f16};
use ndarray::ArrayViewMut2;

use super::results::{RoundFn, Rounded, Rows};
use crate::Isa;
use crate::gemm::Epilogue;
use crate::simd::{Lanes, portable::Portable};
#[cfg(target_arch = "x86_64")]
use crate::simd::{avx2::F32x8, avx512::F32x16};

/// Elements that are rounded at a time.
const CHUNK: usize = 64;

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
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn round_avx512(sums: &[f32], to: &mut [bf16]) {
        use std::arch::x86_64::*;
        let one = _mm512_set1_epi16(1);
        let pairs = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let pairs = _mm512_mullo_epi32(pairs, _mm512_set1_epi32(0x0004_0004));
        let lowers = _mm512_add_epi32(pairs, _mm512_set1_epi32(0x0002_0000));
        let uppers = _mm512_add_epi32(pairs, _mm512_set1_epi32(0x0003_0001));
        let convert = |a, b| {
            let (first, second) = (_mm512_castps_si512(a), _mm512_castps_si512(b));
            let lower = _mm512_permutex2var_epi16(first, lowers, second);
            let upper = _mm512_permutex2var_epi16(first, uppers, second);
            // More than half a unit, or half of one and the last bit is set: halves go to even.
            let rest = _mm512_adds_epu16(lower, _mm512_and_si512(upper, one));
            let is_up = _mm512_cmpgt_epu16_mask(rest, _mm512_set1_epi16(i16::MIN));
            let rounded = _mm512_mask_add_epi16(upper, is_up, upper, one);
            if _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, b) == 0 {
                return rounded;
            }
            let [first, second] = [a, b].map(|x| _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x));
            let is_nan = u32::from(first) | u32::from(second) << 16;
            let quiet = _mm512_or_si512(upper, _mm512_set1_epi16(0x40));
            _mm512_mask_mov_epi16(rounded, is_nan, quiet)
        };
        // SAFETY: bfloat16 is 16 bits wide.
        unsafe { by_two(sums, to, convert) };
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
    #[inline]
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
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn round_avx512(sums: &[f32], to: &mut [f16]) {
        use std::arch::x86_64::{
            __m512, __m512i, _MM_FROUND_TO_NEAREST_INT, _mm512_castsi256_si512, _mm512_cvtps_ph,
            _mm512_inserti64x4,
        };
        let rounded = |sums: __m512| _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(sums);
        let convert = |a, b| -> __m512i {
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(rounded(a)), rounded(b))
        };
        // SAFETY: float16 is 16 bits wide.
        unsafe { by_two(sums, to, convert) };
    }
}

/// Converts two registers of numbers at a time, and those that are left.
///
/// # Safety
///
/// The CPU executes AVX-512 F, BW, DQ and VL. `R` is 16 bits wide.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn by_two<R>(
    sums: &[f32],
    to: &mut [R],
    convert: impl Fn(std::arch::x86_64::__m512, std::arch::x86_64::__m512) -> std::arch::x86_64::__m512i,
) {
    use std::arch::x86_64::{
        _mm512_loadu_ps, _mm512_mask_storeu_epi16, _mm512_maskz_loadu_ps, _mm512_storeu_si512,
    };
    assert_eq!(sums.len(), to.len(), "a place for each sum");
    let some = |sums: &[f32], to: &mut [R]| {
        let mask = u32::MAX >> (32 - sums.len());
        let (lower, upper) = ((mask & 0xffff) as u16, (mask >> 16) as u16);
        let later = sums.as_ptr().wrapping_add(16);
        // SAFETY: the mask has as many lanes as there are numbers, at most sixteen.
        let a = unsafe { _mm512_maskz_loadu_ps(lower, sums.as_ptr()) };
        // SAFETY: as many as are left after sixteen.
        let b = unsafe { _mm512_maskz_loadu_ps(upper, later) };
        // SAFETY: as many places as there are numbers.
        unsafe { _mm512_mask_storeu_epi16(to.as_mut_ptr().cast(), mask, convert(a, b)) };
    };
    let (whole, rest) = sums.as_chunks::<32>();
    let (whole_to, rest_to) = to.as_chunks_mut::<32>();
    for (sums, to) in whole.iter().zip(whole_to) {
        // SAFETY: the first sixteen of 32 numbers.
        let a = unsafe { _mm512_loadu_ps(sums.as_ptr()) };
        // SAFETY: the others.
        let b = unsafe { _mm512_loadu_ps(sums[16..].as_ptr()) };
        // SAFETY: 32 places of 16 bits, as the caller promises.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), convert(a, b)) };
    }
    if !rest.is_empty() {
        some(rest, rest_to);
    }
}

impl<R: Round> Rounded<f32> for R {
    fn rounding(isa: Isa) -> RoundFn<f32, R> {
        match isa {
            Isa::Scalar => finish_portable,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => finish_avx2,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) | Isa::Amx(_) => finish_avx512,
        }
    }

    fn sums<'a>(results: &'a mut ArrayViewMut2<'_, R>) -> Option<ArrayViewMut2<'a, f32>> {
        <R as Round>::sums(results)
    }
}

/// The epilogue, then `round`.
///
/// # Safety
///
/// As [`RoundFn`] says.
#[inline(always)]
unsafe fn finish<V: Lanes<Element = f32>, R: Round>(
    proof: V::Proof,
    rows: &Rows<'_, f32, R>,
    round: impl Fn(&[f32], &mut [R]),
) {
    let Epilogue { bias, activation } = rows.epilogue;
    if bias.is_none() && activation.is_none() {
        // SAFETY: passed on from the caller.
        return unsafe { rows.each(|sums, to| round(sums, to)) };
    }
    let row = |sums: &mut [f32], to: &mut [R]| {
        for (i, sums) in sums.chunks_mut(CHUNK).enumerate() {
            let first = i * CHUNK;
            if let Some(bias) = bias {
                for (sum, bias) in sums.iter_mut().zip(&bias[first..]) {
                    *sum += bias;
                }
            }
            if let Some(activation) = activation {
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
    };
    // SAFETY: passed on from the caller.
    unsafe { rows.each(row) };
}

/// # Safety
///
/// As [`RoundFn`] says.
unsafe fn finish_portable<R: Round>(rows: &Rows<'_, f32, R>) {
    // SAFETY: passed on from the caller.
    unsafe { finish::<Portable<f32, 4>, R>((), rows, R::round) };
}

/// # Safety
///
/// As [`RoundFn`] says. The CPU executes AVX2, FMA and F16C.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn finish_avx2<R: Round>(rows: &Rows<'_, f32, R>) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { crate::Avx2::assume() };
    // SAFETY: the caller promises the instruction set.
    let round = |sums: &[f32], to: &mut [R]| unsafe { R::round_f16c(sums, to) };
    // SAFETY: passed on from the caller.
    unsafe { finish::<F32x8, R>(proof, rows, round) };
}

/// # Safety
///
/// As [`RoundFn`] says. The CPU executes AVX-512 F, BW, DQ and VL, and so AVX2, FMA and F16C.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn finish_avx512<R: Round>(rows: &Rows<'_, f32, R>) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { crate::Avx512::assume() };
    // SAFETY: the caller promises the instruction set.
    let round = |sums: &[f32], to: &mut [R]| unsafe { R::round_avx512(sums, to) };
    // SAFETY: passed on from the caller.
    unsafe { finish::<F32x16, R>(proof, rows, round) };
}
