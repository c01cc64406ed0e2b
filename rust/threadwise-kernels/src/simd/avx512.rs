//! Sixteen `f32` or eight `f64` in a 512-bit register, with masks.

use std::arch::x86_64::*;

use super::{Arithmetic, Lanes};
use crate::activation::{self, Activation};
use crate::isa::Avx512;

macro_rules! avx512_lanes {
    ($lanes:ident, $element:ty, $count:literal, $register:ty, $mask:ty, $op:ident: {
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
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        fn $op(proof: Avx512, x: $lanes, activation: Activation) -> $lanes {
            activation::lanes::activate(proof, x, activation)
        }

        impl Lanes for $lanes {
            type Element = $element;
            type Proof = Avx512;
            type Mask = $mask;
            const COUNT: usize = $count;

            #[inline(always)]
            fn splat(_: Avx512, x: $element) -> Self {
                // SAFETY: the token proves AVX-512.
                Self(unsafe { $splat(x) })
            }

            #[inline(always)]
            #[expect(clippy::cast_possible_truncation, reason = "a mask has as many bits as lanes")]
            fn first(_: Avx512, count: usize) -> $mask {
                debug_assert!(count <= $count, "a mask of {count} lanes out of {}", $count);
                // In 32 bits, because a shift by the full width of the mask would overflow.
                ((1_u32 << count) - 1) as $mask
            }

            #[inline(always)]
            unsafe fn load(_: Avx512, from: *const $element) -> Self {
                // SAFETY: the token proves AVX-512; the caller promises a full register to read.
                Self(unsafe { $load(from) })
            }

            #[inline(always)]
            unsafe fn load_first(_: Avx512, mask: $mask, from: *const $element) -> Self {
                // SAFETY: the token proves AVX-512; the caller promises the lanes of the mask, and
                // masked-out lanes are not read.
                Self(unsafe { $load_first(mask, from) })
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                // SAFETY: a value proves AVX-512; the caller promises a full register to write.
                unsafe { $store(to, self.0) }
            }

            #[inline(always)]
            unsafe fn store_first(self, mask: $mask, to: *mut $element) {
                // SAFETY: a value proves AVX-512; the caller promises the lanes of the mask, and
                // masked-out lanes are not written.
                unsafe { $store_first(to, mask, self.0) }
            }

            #[inline(always)]
            unsafe fn transpose(
                proof: Avx512,
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
                // SAFETY: a value proves AVX-512.
                Self(unsafe { $add(self.0, other.0) })
            }

            #[inline(always)]
            fn mul_add(self, factor: Self, addend: Self) -> Self {
                // SAFETY: a value proves AVX-512.
                Self(unsafe { $mul_add(self.0, factor.0, addend.0) })
            }

            #[inline(always)]
            fn total(self) -> $element {
                // SAFETY: a value proves AVX-512.
                unsafe { $total(self.0) }
            }

            #[inline(always)]
            fn activate(self, proof: Avx512, activation: Activation) -> Self {
                // SAFETY: the token proves AVX-512.
                unsafe { $op(proof, self, activation) }
            }
        }

        impl Arithmetic for $lanes {
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                // SAFETY: a value proves AVX-512.
                Self(unsafe { $sub(self.0, other.0) })
            }

            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                // SAFETY: a value proves AVX-512.
                Self(unsafe { $mul(self.0, other.0) })
            }

            #[inline(always)]
            fn div(self, other: Self) -> Self {
                // SAFETY: a value proves AVX-512.
                Self(unsafe { $div(self.0, other.0) })
            }

            #[inline(always)]
            fn max(self, other: Self) -> Self {
                // SAFETY: a value proves AVX-512.
                Self(unsafe { $max(self.0, other.0) })
            }

            #[inline(always)]
            fn min(self, other: Self) -> Self {
                // SAFETY: a value proves AVX-512.
                Self(unsafe { $min(self.0, other.0) })
            }

            #[inline(always)]
            fn round(self) -> Self {
                // SAFETY: a value proves AVX-512.
                Self(unsafe { $round::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0) })
            }

            #[inline(always)]
            fn scale(self, n: Self) -> Self {
                // SAFETY: a value proves AVX-512.
                Self(unsafe { $scale(self.0, n.0) })
            }

            #[inline(always)]
            fn select_less(self, other: Self, then: Self, otherwise: Self) -> Self {
                // SAFETY: a value proves AVX-512.
                let less = unsafe { $less::<_CMP_LT_OQ>(self.0, other.0) };
                // SAFETY: a value proves AVX-512.
                Self(unsafe { $blend(less, otherwise.0, then.0) })
            }
        }
    };
}

avx512_lanes!(F32x16, f32, 16, __m512, __mmask16, activate_f32: {
    splat: _mm512_set1_ps, load: _mm512_loadu_ps, load_first: _mm512_maskz_loadu_ps,
    store: _mm512_storeu_ps, store_first: _mm512_mask_storeu_ps, add: _mm512_add_ps,
    sub: _mm512_sub_ps, mul: _mm512_mul_ps, div: _mm512_div_ps, mul_add: _mm512_fmadd_ps,
    max: _mm512_max_ps, min: _mm512_min_ps, round: _mm512_roundscale_ps, scale: _mm512_scalef_ps,
    less: _mm512_cmp_ps_mask, blend: _mm512_mask_blend_ps, total: _mm512_reduce_add_ps, transposed: transposed_f32,
});

avx512_lanes!(F64x8, f64, 8, __m512d, __mmask8, activate_f64: {
    splat: _mm512_set1_pd, load: _mm512_loadu_pd, load_first: _mm512_maskz_loadu_pd,
    store: _mm512_storeu_pd, store_first: _mm512_mask_storeu_pd, add: _mm512_add_pd,
    sub: _mm512_sub_pd, mul: _mm512_mul_pd, div: _mm512_div_pd, mul_add: _mm512_fmadd_pd,
    max: _mm512_max_pd, min: _mm512_min_pd, round: _mm512_roundscale_pd, scale: _mm512_scalef_pd,
    less: _mm512_cmp_pd_mask, blend: _mm512_mask_blend_pd, total: _mm512_reduce_add_pd, transposed: transposed_f64,
});

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
