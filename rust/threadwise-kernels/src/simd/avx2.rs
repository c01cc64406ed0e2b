//! Eight `f32` or four `f64` in a 256-bit register, fused multiply-add.

use std::arch::x86_64::*;

use super::{Arithmetic, Lanes};
use crate::activation::{self, Activation};
use crate::isa::Avx2;

/// A row of these, read from lane `COUNT - count` on, is the mask of the first `count` lanes.
const MASKS_32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
const MASKS_64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

macro_rules! avx2_lanes {
    ($lanes:ident, $element:ty, $count:literal, $register:ty, $masks:ident, $op:ident: {
        splat: $splat:ident, load: $load:ident, load_first: $load_first:ident,
        store: $store:ident, store_first: $store_first:ident, add: $add:ident, sub: $sub:ident,
        mul: $mul:ident, div: $div:ident, mul_add: $mul_add:ident, max: $max:ident,
        min: $min:ident, round: $round:ident, scale: $scale:ident, less: $less:ident,
        blend: $blend:ident, total: $total:ident, transposed: $transposed:ident,
    }) => {
        #[doc = concat!(stringify!($count), " lanes of `", stringify!($element), "`.")]
        #[derive(Clone, Copy)]
        pub(crate) struct $lanes($register);

        /// The activation of every lane: a function of its own, because a product's tiles call it
        /// from many places and seldom.
        #[inline(never)]
        #[target_feature(enable = "avx2,fma")]
        fn $op(proof: Avx2, x: $lanes, activation: Activation) -> $lanes {
            activation::lanes::activate(proof, x, activation)
        }

        impl Lanes for $lanes {
            type Element = $element;
            type Proof = Avx2;
            type Mask = __m256i;
            const COUNT: usize = $count;

            #[inline(always)]
            fn splat(_: Avx2, x: $element) -> Self {
                // SAFETY: the token proves AVX2.
                Self(unsafe { $splat(x) })
            }

            #[inline(always)]
            fn first(_: Avx2, count: usize) -> __m256i {
                let row = &$masks[$count - count..][..$count];
                // SAFETY: the token proves AVX2; `row` is as long as a register.
                unsafe { _mm256_loadu_si256(row.as_ptr().cast()) }
            }

            #[inline(always)]
            unsafe fn load(_: Avx2, from: *const $element) -> Self {
                // SAFETY: the token proves AVX2; the caller promises a full register to read.
                Self(unsafe { $load(from) })
            }

            #[inline(always)]
            unsafe fn load_first(_: Avx2, mask: __m256i, from: *const $element) -> Self {
                // SAFETY: the token proves AVX2; the caller promises the lanes of the mask, and
                // masked-out lanes are not read.
                Self(unsafe { $load_first(from, mask) })
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                // SAFETY: a value proves AVX2; the caller promises a full register to write.
                unsafe { $store(to, self.0) }
            }

            #[inline(always)]
            unsafe fn store_first(self, mask: __m256i, to: *mut $element) {
                // SAFETY: a value proves AVX2; the caller promises the lanes of the mask, and
                // masked-out lanes are not written.
                unsafe { $store_first(to, mask, self.0) }
            }

            #[inline(always)]
            unsafe fn transpose(
                proof: Avx2,
                from: *const $element,
                from_row: isize,
                to: *mut $element,
                to_row: isize,
            ) {
                let mut rows = [Self::splat(proof, 0.0).0; $count];
                for (i, row) in rows.iter_mut().enumerate() {
                    let from = from.wrapping_offset(i as isize * from_row);
                    // SAFETY: row i of the square.
                    let lanes = unsafe { Self::load(proof, from) };
                    *row = lanes.0;
                }
                // SAFETY: the token proves the instruction set.
                let columns = unsafe { $transposed(&rows) };
                for (j, column) in columns.into_iter().enumerate() {
                    let to = to.wrapping_offset(j as isize * to_row);
                    // SAFETY: row j of the transposed square.
                    unsafe { Self(column).store(to) };
                }
            }

            #[inline(always)]
            fn prefetch(at: *const $element) {
                // SAFETY: every x86-64 CPU has the instruction, and it never faults.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
            }

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: a value proves AVX2.
                Self(unsafe { $add(self.0, other.0) })
            }

            #[inline(always)]
            fn mul_add(self, factor: Self, addend: Self) -> Self {
                // SAFETY: a value proves FMA.
                Self(unsafe { $mul_add(self.0, factor.0, addend.0) })
            }

            #[inline(always)]
            fn total(self) -> $element {
                // SAFETY: a value proves AVX2.
                unsafe { $total(self.0) }
            }

            #[inline(always)]
            fn activate(self, proof: Avx2, activation: Activation) -> Self {
                // SAFETY: the token proves AVX2.
                unsafe { $op(proof, self, activation) }
            }
        }

        impl Arithmetic for $lanes {
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                // SAFETY: a value proves AVX2.
                Self(unsafe { $sub(self.0, other.0) })
            }

            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                // SAFETY: a value proves AVX2.
                Self(unsafe { $mul(self.0, other.0) })
            }

            #[inline(always)]
            fn div(self, other: Self) -> Self {
                // SAFETY: a value proves AVX2.
                Self(unsafe { $div(self.0, other.0) })
            }

            #[inline(always)]
            fn max(self, other: Self) -> Self {
                // SAFETY: a value proves AVX2.
                Self(unsafe { $max(self.0, other.0) })
            }

            #[inline(always)]
            fn min(self, other: Self) -> Self {
                // SAFETY: a value proves AVX2.
                Self(unsafe { $min(self.0, other.0) })
            }

            #[inline(always)]
            fn round(self) -> Self {
                // SAFETY: a value proves AVX2.
                Self(unsafe { $round::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0) })
            }

            #[inline(always)]
            fn scale(self, n: Self) -> Self {
                // SAFETY: a value proves AVX2.
                Self(unsafe { $scale(self.0, n.0) })
            }

            #[inline(always)]
            fn select_less(self, other: Self, then: Self, otherwise: Self) -> Self {
                // SAFETY: a value proves AVX2.
                let less = unsafe { $less::<_CMP_LT_OQ>(self.0, other.0) };
                // SAFETY: a value proves AVX2.
                Self(unsafe { $blend(otherwise.0, then.0, less) })
            }
        }
    };
}

avx2_lanes!(F32x8, f32, 8, __m256, MASKS_32, activate_f32: {
    splat: _mm256_set1_ps, load: _mm256_loadu_ps, load_first: _mm256_maskload_ps,
    store: _mm256_storeu_ps, store_first: _mm256_maskstore_ps, add: _mm256_add_ps,
    sub: _mm256_sub_ps, mul: _mm256_mul_ps, div: _mm256_div_ps, mul_add: _mm256_fmadd_ps,
    max: _mm256_max_ps, min: _mm256_min_ps, round: _mm256_round_ps, scale: scale_f32,
    less: _mm256_cmp_ps, blend: _mm256_blendv_ps, total: total_f32, transposed: transposed_f32,
});

avx2_lanes!(F64x4, f64, 4, __m256d, MASKS_64, activate_f64: {
    splat: _mm256_set1_pd, load: _mm256_loadu_pd, load_first: _mm256_maskload_pd,
    store: _mm256_storeu_pd, store_first: _mm256_maskstore_pd, add: _mm256_add_pd,
    sub: _mm256_sub_pd, mul: _mm256_mul_pd, div: _mm256_div_pd, mul_add: _mm256_fmadd_pd,
    max: _mm256_max_pd, min: _mm256_min_pd, round: _mm256_round_pd, scale: scale_f64,
    less: _mm256_cmp_pd, blend: _mm256_blendv_pd, total: total_f64, transposed: transposed_f64,
});

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
