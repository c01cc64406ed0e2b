//! Sixteen `f32` or eight `f64` in a 512-bit register, with masks.

use std::arch::x86_64::*;

use super::register::register_lanes;
use super::{Arithmetic, Coding, Half, Lanes};
use crate::activation::{self, Activation};
use crate::isa::Avx512;

register_lanes!(F32x16, f32, 16, __m512, __mmask16, Avx512, "avx512f,avx512bw,avx512dq,avx512vl", {
    activate: activate_f32, first: first_f32,
    splat: _mm512_set1_ps, load: _mm512_loadu_ps, load_first: load_first_f32,
    store: _mm512_storeu_ps, store_first: _mm512_mask_storeu_ps, add: _mm512_add_ps,
    sub: _mm512_sub_ps, mul: _mm512_mul_ps, div: _mm512_div_ps, sqrt: _mm512_sqrt_ps, mul_add: _mm512_fmadd_ps,
    max: _mm512_max_ps, min: _mm512_min_ps, round: _mm512_roundscale_ps, scale: _mm512_scalef_ps,
    less: _mm512_cmp_ps_mask, blend: blend_f32, total: _mm512_reduce_add_ps, totals: totals_f32,
    largest: _mm512_reduce_max_ps, transposed: transposed_f32,
});

register_lanes!(F64x8, f64, 8, __m512d, __mmask8, Avx512, "avx512f,avx512bw,avx512dq,avx512vl", {
    activate: activate_f64, first: first_f64,
    splat: _mm512_set1_pd, load: _mm512_loadu_pd, load_first: load_first_f64,
    store: _mm512_storeu_pd, store_first: _mm512_mask_storeu_pd, add: _mm512_add_pd,
    sub: _mm512_sub_pd, mul: _mm512_mul_pd, div: _mm512_div_pd, sqrt: _mm512_sqrt_pd, mul_add: _mm512_fmadd_pd,
    max: _mm512_max_pd, min: _mm512_min_pd, round: _mm512_roundscale_pd, scale: _mm512_scalef_pd,
    less: _mm512_cmp_pd_mask, blend: blend_f64, total: _mm512_reduce_add_pd, totals: totals_f64,
    largest: _mm512_reduce_max_pd, transposed: transposed_f64,
});

impl Half for F32x16 {
    #[inline(always)]
    fn to_half(self) -> Self {
        // SAFETY: a value proves the instruction set.
        Self(unsafe { half(self.0) })
    }
}

impl Coding for F32x16 {
    type Wide = F64x8;

    #[inline(always)]
    fn wide(self) -> [F64x8; 2] {
        // SAFETY: a value proves the instruction set.
        unsafe { wide(self.0) }
    }

    #[inline(always)]
    unsafe fn least(proof: Avx512, from: *const f32) -> Self {
        let mut rows = [Self::splat(proof, 0.0).0; 16];
        for (i, row) in rows.iter_mut().enumerate() {
            // SAFETY: row i of the square.
            let lanes = unsafe { Self::load(proof, from.wrapping_add(16 * i)) };
            *row = lanes.0;
        }
        // SAFETY: the token proves the instruction set.
        Self(unsafe { least_f32(&rows) })
    }

    #[inline(always)]
    unsafe fn store_low_bytes(self, to: *mut u8) {
        // SAFETY: a value proves the instruction set.
        let bytes = unsafe { low_bytes(self.0) };
        // SAFETY: a value proves the instruction set; the caller promises sixteen bytes.
        unsafe { _mm_storeu_si128(to.cast(), bytes) }
    }
}

/// The least number of each of sixteen rows: first groups of four numbers of four rows meet, then the numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn least_f32(rows: &[__m512; 16]) -> __m512 {
    let mut fours = [rows[0]; 4];
    for (k, four) in fours.iter_mut().enumerate() {
        let (x, y, z, w) = (rows[k], rows[4 + k], rows[8 + k], rows[12 + k]);
        let (low, high) = (_mm512_shuffle_f32x4::<0x44>(x, y), _mm512_shuffle_f32x4::<0xee>(x, y));
        let (low_2, high_2) =
            (_mm512_shuffle_f32x4::<0x44>(z, w), _mm512_shuffle_f32x4::<0xee>(z, w));
        let (first, second) = (_mm512_min_ps(low, high), _mm512_min_ps(low_2, high_2));
        let even = _mm512_shuffle_f32x4::<0x88>(first, second);
        *four = _mm512_min_ps(even, _mm512_shuffle_f32x4::<0xdd>(first, second));
    }
    let [x, y, z, w] = fours;
    let first = _mm512_min_ps(_mm512_unpacklo_ps(x, y), _mm512_unpackhi_ps(x, y));
    let second = _mm512_min_ps(_mm512_unpacklo_ps(z, w), _mm512_unpackhi_ps(z, w));
    let (first, second) = (_mm512_castps_pd(first), _mm512_castps_pd(second));
    let (low, high) = (_mm512_unpacklo_pd(first, second), _mm512_unpackhi_pd(first, second));
    _mm512_min_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn wide(x: __m512) -> [F64x8; 2] {
    let (low, high) = (_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
    [F64x8(_mm512_cvtps_pd(low)), F64x8(_mm512_cvtps_pd(high))]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn low_bytes(x: __m512) -> __m128i {
    _mm512_cvtepi32_epi8(_mm512_castps_si512(x))
}

/// There and back.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn half(x: __m512) -> __m512 {
    _mm512_cvtph_ps(_mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x))
}

/// The mask of the first lanes, shifted in 32 bits because a shift by its full width would overflow.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[expect(clippy::cast_possible_truncation, reason = "a mask has as many bits as lanes")]
fn first_f32(count: usize) -> __mmask16 {
    ((1_u32 << count) - 1) as __mmask16
}

/// # Safety
///
/// `from` is valid for reading as many elements as `mask` has lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn load_first_f32(from: *const f32, mask: __mmask16) -> __m512 {
    // SAFETY: the caller's promise; masked-out lanes are not read.
    unsafe { _mm512_maskz_loadu_ps(mask, from) }
}

/// `then` where `mask` is set, `otherwise` elsewhere.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn blend_f32(otherwise: __m512, then: __m512, mask: __mmask16) -> __m512 {
    _mm512_mask_blend_ps(mask, otherwise, then)
}

/// The mask of the first lanes, shifted in 32 bits because a shift by its full width would overflow.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[expect(clippy::cast_possible_truncation, reason = "a mask has as many bits as lanes")]
fn first_f64(count: usize) -> __mmask8 {
    ((1_u32 << count) - 1) as __mmask8
}

/// # Safety
///
/// `from` is valid for reading as many elements as `mask` has lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn load_first_f64(from: *const f64, mask: __mmask8) -> __m512d {
    // SAFETY: the caller's promise; masked-out lanes are not read.
    unsafe { _mm512_maskz_loadu_pd(mask, from) }
}

/// `then` where `mask` is set, `otherwise` elsewhere.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn blend_f64(otherwise: __m512d, then: __m512d, mask: __mmask8) -> __m512d {
    _mm512_mask_blend_pd(mask, otherwise, then)
}

/// The sums of sixteen lanes, halves first as `_mm512_reduce_add_ps` has them: of two vectors, then of all four, side by
/// side.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn totals_f32([a, b, c, d]: [__m512; 4]) -> [f32; 4] {
    let eights = |x, y| {
        _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(x, y), _mm512_shuffle_f32x4::<0xee>(x, y))
    };
    let (first, second) = (eights(a, b), eights(c, d));
    let (even, odd) =
        (_mm512_shuffle_f32x4::<0x88>(first, second), _mm512_shuffle_f32x4::<0xdd>(first, second));
    let fours = _mm512_add_ps(even, odd);
    let twos = _mm512_add_ps(fours, _mm512_permute_ps::<0x4e>(fours));
    let ones = _mm512_add_ps(twos, _mm512_permute_ps::<0xb1>(twos));
    let firsts = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 8, 4, 0);
    let totals = _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, ones));
    let mut to = [0.0; 4];
    // SAFETY: there is room for four.
    unsafe { _mm_storeu_ps(to.as_mut_ptr(), totals) };
    to
}

/// The sums of eight lanes, as [`totals_f32`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn totals_f64([a, b, c, d]: [__m512d; 4]) -> [f64; 4] {
    let fours = |x, y| {
        _mm512_add_pd(_mm512_shuffle_f64x2::<0x44>(x, y), _mm512_shuffle_f64x2::<0xee>(x, y))
    };
    let (first, second) = (fours(a, b), fours(c, d));
    let (even, odd) =
        (_mm512_shuffle_f64x2::<0x88>(first, second), _mm512_shuffle_f64x2::<0xdd>(first, second));
    let twos = _mm512_add_pd(even, odd);
    let ones = _mm512_add_pd(twos, _mm512_permute_pd::<0x55>(twos));
    let firsts = _mm512_set_epi64(0, 0, 0, 0, 6, 4, 2, 0);
    let totals = _mm512_castpd512_pd256(_mm512_permutexvar_pd(firsts, ones));
    let mut to = [0.0; 4];
    // SAFETY: there is room for four.
    unsafe { _mm256_storeu_pd(to.as_mut_ptr(), totals) };
    to
}

/// A matrix of sixteen rows, transposed: first within groups of four rows and four columns, then the
/// groups.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn transposed_f32(rows: &[__m512; 16]) -> [__m512; 16] {
    let mut quads = *rows;
    for (quad, rows) in quads.as_chunks_mut::<4>().0.iter_mut().zip(rows.as_chunks::<4>().0) {
        let pairs = |x, y| {
            let (low, high) = (_mm512_unpacklo_ps(x, y), _mm512_unpackhi_ps(x, y));
            (_mm512_castps_pd(low), _mm512_castps_pd(high))
        };
        let ((a, b), (c, d)) = (pairs(rows[0], rows[1]), pairs(rows[2], rows[3]));
        *quad = [
            _mm512_castpd_ps(_mm512_unpacklo_pd(a, c)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(a, c)),
            _mm512_castpd_ps(_mm512_unpacklo_pd(b, d)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(b, d)),
        ];
    }
    let mut columns = *rows;
    for c in 0..4 {
        let (x, y, z, w) = (quads[c], quads[4 + c], quads[8 + c], quads[12 + c]);
        let (even, odd) = (_mm512_shuffle_f32x4::<0x88>(x, y), _mm512_shuffle_f32x4::<0xdd>(x, y));
        let (even_2, odd_2) =
            (_mm512_shuffle_f32x4::<0x88>(z, w), _mm512_shuffle_f32x4::<0xdd>(z, w));
        columns[c] = _mm512_shuffle_f32x4::<0x88>(even, even_2);
        columns[4 + c] = _mm512_shuffle_f32x4::<0x88>(odd, odd_2);
        columns[8 + c] = _mm512_shuffle_f32x4::<0xdd>(even, even_2);
        columns[12 + c] = _mm512_shuffle_f32x4::<0xdd>(odd, odd_2);
    }
    columns
}

/// A matrix of eight rows, transposed: first within pairs, then the pairs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn transposed_f64(rows: &[__m512d; 8]) -> [__m512d; 8] {
    let mut columns = *rows;
    for c in 0..2 {
        let pair = |i: usize| {
            let (x, y) = (rows[2 * i], rows[2 * i + 1]);
            if c == 0 { _mm512_unpacklo_pd(x, y) } else { _mm512_unpackhi_pd(x, y) }
        };
        let (x, y, z, w) = (pair(0), pair(1), pair(2), pair(3));
        let (even, odd) = (_mm512_shuffle_f64x2::<0x88>(x, y), _mm512_shuffle_f64x2::<0xdd>(x, y));
        let (even_2, odd_2) =
            (_mm512_shuffle_f64x2::<0x88>(z, w), _mm512_shuffle_f64x2::<0xdd>(z, w));
        columns[c] = _mm512_shuffle_f64x2::<0x88>(even, even_2);
        columns[2 + c] = _mm512_shuffle_f64x2::<0x88>(odd, odd_2);
        columns[4 + c] = _mm512_shuffle_f64x2::<0xdd>(even, even_2);
        columns[6 + c] = _mm512_shuffle_f64x2::<0xdd>(odd, odd_2);
    }
    columns
}
