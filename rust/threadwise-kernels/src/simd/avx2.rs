//! Eight `f32` or four `f64` in a 256-bit register, fused multiply-add.

use std::arch::x86_64::*;

use super::register::register_lanes;
use super::{Arithmetic, Coding, Half, Lanes};
use crate::activation::{self, Activation};
use crate::isa::Avx2;

/// A row of these, read from lane `COUNT - count` on, is the mask of the first `count` lanes.
const MASKS_32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
const MASKS_64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

register_lanes!(F32x8, f32, 8, __m256, __m256i, Avx2, "avx2,fma", {
    activate: activate_f32, first: first_f32,
    splat: _mm256_set1_ps, load: _mm256_loadu_ps, load_first: _mm256_maskload_ps,
    store: _mm256_storeu_ps, store_first: _mm256_maskstore_ps, add: _mm256_add_ps,
    sub: _mm256_sub_ps, mul: _mm256_mul_ps, div: _mm256_div_ps, sqrt: _mm256_sqrt_ps, mul_add: _mm256_fmadd_ps,
    max: _mm256_max_ps, min: _mm256_min_ps, round: _mm256_round_ps, scale: scale_f32,
    less: _mm256_cmp_ps, blend: _mm256_blendv_ps, total: total_f32, totals: totals_f32, largest: largest_f32,
    transposed: transposed_f32,
});

register_lanes!(F64x4, f64, 4, __m256d, __m256i, Avx2, "avx2,fma", {
    activate: activate_f64, first: first_f64,
    splat: _mm256_set1_pd, load: _mm256_loadu_pd, load_first: _mm256_maskload_pd,
    store: _mm256_storeu_pd, store_first: _mm256_maskstore_pd, add: _mm256_add_pd,
    sub: _mm256_sub_pd, mul: _mm256_mul_pd, div: _mm256_div_pd, sqrt: _mm256_sqrt_pd, mul_add: _mm256_fmadd_pd,
    max: _mm256_max_pd, min: _mm256_min_pd, round: _mm256_round_pd, scale: scale_f64,
    less: _mm256_cmp_pd, blend: _mm256_blendv_pd, total: total_f64, totals: totals_f64, largest: largest_f64,
    transposed: transposed_f64,
});

impl Half for F32x8 {
    #[inline(always)]
    fn to_half(self) -> Self {
        // SAFETY: a value proves the instruction set.
        Self(unsafe { half(self.0) })
    }
}

impl Coding for F32x8 {
    type Wide = F64x4;

    #[inline(always)]
    fn wide(self) -> [F64x4; 2] {
        // SAFETY: a value proves the instruction set.
        unsafe { wide(self.0) }
    }

    #[inline(always)]
    unsafe fn least(proof: Avx2, from: *const f32) -> Self {
        let mut rows = [Self::splat(proof, 0.0).0; 8];
        for (i, row) in rows.iter_mut().enumerate() {
            // SAFETY: row i of the square.
            let lanes = unsafe { Self::load(proof, from.wrapping_add(8 * i)) };
            *row = lanes.0;
        }
        // SAFETY: the token proves the instruction set.
        Self(unsafe { least_f32(&rows) })
    }

    #[inline(always)]
    unsafe fn store_low_bytes(self, to: *mut u8) {
        // SAFETY: a value proves the instruction set.
        let bytes = unsafe { low_bytes(self.0) };
        // SAFETY: a value proves the instruction set; the caller promises eight bytes.
        unsafe { _mm_storel_epi64(to.cast(), bytes) }
    }
}

/// The least number of each of eight rows: first halves of two rows meet, then the numbers.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn least_f32(rows: &[__m256; 8]) -> __m256 {
    let mut fours = [rows[0]; 4];
    for (k, four) in fours.iter_mut().enumerate() {
        let low = _mm256_permute2f128_ps::<0x20>(rows[k], rows[4 + k]);
        *four = _mm256_min_ps(low, _mm256_permute2f128_ps::<0x31>(rows[k], rows[4 + k]));
    }
    let [x, y, z, w] = fours;
    let first = _mm256_min_ps(_mm256_unpacklo_ps(x, y), _mm256_unpackhi_ps(x, y));
    let second = _mm256_min_ps(_mm256_unpacklo_ps(z, w), _mm256_unpackhi_ps(z, w));
    let (first, second) = (_mm256_castps_pd(first), _mm256_castps_pd(second));
    let (low, high) = (_mm256_unpacklo_pd(first, second), _mm256_unpackhi_pd(first, second));
    _mm256_min_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn wide(x: __m256) -> [F64x4; 2] {
    let (low, high) = (_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    [F64x4(_mm256_cvtps_pd(low)), F64x4(_mm256_cvtps_pd(high))]
}

/// In the low half.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn low_bytes(x: __m256) -> __m128i {
    let bytes = _mm256_castps_si256(x);
    let first = _mm256_set1_epi32(0x0c08_0400);
    let fours = _mm256_shuffle_epi8(bytes, first);
    _mm_unpacklo_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256::<1>(fours))
}

/// There and back.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn half(x: __m256) -> __m256 {
    _mm256_cvtph_ps(_mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x))
}

/// The mask of the first lanes: those before `count` of a row of ones and zeros.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn first_f32(count: usize) -> __m256i {
    let row = &MASKS_32[8 - count..][..8];
    // SAFETY: `row` is as long as a register.
    unsafe { _mm256_loadu_si256(row.as_ptr().cast()) }
}

/// As [`first_f32`].
#[inline]
#[target_feature(enable = "avx2,fma")]
fn first_f64(count: usize) -> __m256i {
    let row = &MASKS_64[4 - count..][..4];
    // SAFETY: `row` is as long as a register.
    unsafe { _mm256_loadu_si256(row.as_ptr().cast()) }
}

/// x·2ⁿ. The power is built in two halves, so that neither leaves the range of normal exponents
/// while the product may overflow to infinity or fade into the subnormal numbers.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn scale_f32(x: __m256, n: __m256) -> __m256 {
    let n = _mm256_cvtps_epi32(n);
    let half = _mm256_srai_epi32::<1>(n);
    let power = |n: __m256i| {
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n, _mm256_set1_epi32(127))))
    };
    _mm256_mul_ps(_mm256_mul_ps(x, power(half)), power(_mm256_sub_epi32(n, half)))
}

/// x·2ⁿ, in two halves as in [`scale_f32`].
#[inline]
#[target_feature(enable = "avx2,fma")]
fn scale_f64(x: __m256d, n: __m256d) -> __m256d {
    let n = _mm256_cvtpd_epi32(n);
    let half = _mm_srai_epi32::<1>(n);
    let power = |n: __m128i| {
        let biased = _mm256_add_epi64(_mm256_cvtepi32_epi64(n), _mm256_set1_epi64x(1023));
        _mm256_castsi256_pd(_mm256_slli_epi64::<52>(biased))
    };
    _mm256_mul_pd(_mm256_mul_pd(x, power(half)), power(_mm_sub_epi32(n, half)))
}

/// The sum of eight lanes, halves first.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn total_f32(x: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// The sum of four lanes, halves first.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn total_f64(x: __m256d) -> f64 {
    let two = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd::<1>(x));
    _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
}

/// The sums of eight lanes, as [`total_f32`]: of two vectors, then of all four, side by side.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn totals_f32([a, b, c, d]: [__m256; 4]) -> [f32; 4] {
    let fours = |x, y| {
        _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(x, y), _mm256_permute2f128_ps::<0x31>(x, y))
    };
    let (first, second) = (fours(a, b), fours(c, d));
    let low = _mm256_shuffle_ps::<0x44>(first, second);
    let twos = _mm256_add_ps(low, _mm256_shuffle_ps::<0xee>(first, second));
    let ones = _mm256_add_ps(twos, _mm256_permute_ps::<0xb1>(twos));
    // The low half has the totals of a and c, each twice, the high one those of b and d.
    let (even, odd) = (_mm256_castps256_ps128(ones), _mm256_extractf128_ps::<1>(ones));
    let totals = _mm_blend_ps::<0b1010>(even, odd);
    let mut to = [0.0; 4];
    // SAFETY: there is room for four.
    unsafe { _mm_storeu_ps(to.as_mut_ptr(), totals) };
    to
}

/// The sums of four lanes, as [`totals_f32`].
#[inline]
#[target_feature(enable = "avx2,fma")]
fn totals_f64([a, b, c, d]: [__m256d; 4]) -> [f64; 4] {
    let twos = |x, y| {
        _mm256_add_pd(_mm256_permute2f128_pd::<0x20>(x, y), _mm256_permute2f128_pd::<0x31>(x, y))
    };
    let (first, second) = (twos(a, b), twos(c, d));
    let low = _mm256_unpacklo_pd(first, second);
    let ones = _mm256_add_pd(low, _mm256_unpackhi_pd(first, second));
    let totals = _mm256_permute4x64_pd::<0xd8>(ones);
    let mut to = [0.0; 4];
    // SAFETY: there is room for four.
    unsafe { _mm256_storeu_pd(to.as_mut_ptr(), totals) };
    to
}

/// The largest of eight lanes, halves first.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn largest_f32(x: __m256) -> f32 {
    let four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
}

/// The largest of four lanes, halves first.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn largest_f64(x: __m256d) -> f64 {
    let two = _mm_max_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd::<1>(x));
    _mm_cvtsd_f64(_mm_max_sd(two, _mm_unpackhi_pd(two, two)))
}

/// A matrix of eight rows, transposed: first within groups of four columns, then the two halves.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn transposed_f32(rows: &[__m256; 8]) -> [__m256; 8] {
    let mut quads = *rows;
    for (quad, rows) in quads.as_chunks_mut::<4>().0.iter_mut().zip(rows.as_chunks::<4>().0) {
        let pairs = |x, y| {
            let (low, high) = (_mm256_unpacklo_ps(x, y), _mm256_unpackhi_ps(x, y));
            (_mm256_castps_pd(low), _mm256_castps_pd(high))
        };
        let ((a, b), (c, d)) = (pairs(rows[0], rows[1]), pairs(rows[2], rows[3]));
        *quad = [
            _mm256_castpd_ps(_mm256_unpacklo_pd(a, c)),
            _mm256_castpd_ps(_mm256_unpackhi_pd(a, c)),
            _mm256_castpd_ps(_mm256_unpacklo_pd(b, d)),
            _mm256_castpd_ps(_mm256_unpackhi_pd(b, d)),
        ];
    }
    let mut columns = *rows;
    for c in 0..4 {
        let (x, y) = (quads[c], quads[4 + c]);
        columns[c] = _mm256_permute2f128_ps::<0x20>(x, y);
        columns[4 + c] = _mm256_permute2f128_ps::<0x31>(x, y);
    }
    columns
}

/// A matrix of four rows, transposed.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn transposed_f64(rows: &[__m256d; 4]) -> [__m256d; 4] {
    let (a, b) = (_mm256_unpacklo_pd(rows[0], rows[1]), _mm256_unpackhi_pd(rows[0], rows[1]));
    let (c, d) = (_mm256_unpacklo_pd(rows[2], rows[3]), _mm256_unpackhi_pd(rows[2], rows[3]));
    [
        _mm256_permute2f128_pd::<0x20>(a, c),
        _mm256_permute2f128_pd::<0x20>(b, d),
        _mm256_permute2f128_pd::<0x31>(a, c),
        _mm256_permute2f128_pd::<0x31>(b, d),
    ]
}
