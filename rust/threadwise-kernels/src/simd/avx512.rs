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
        blend: $blend:ident, total: $total:ident,
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
    less: _mm512_cmp_ps_mask, blend: _mm512_mask_blend_ps, total: _mm512_reduce_add_ps,
});

avx512_lanes!(F64x8, f64, 8, __m512d, __mmask8, activate_f64: {
    splat: _mm512_set1_pd, load: _mm512_loadu_pd, load_first: _mm512_maskz_loadu_pd,
    store: _mm512_storeu_pd, store_first: _mm512_mask_storeu_pd, add: _mm512_add_pd,
    sub: _mm512_sub_pd, mul: _mm512_mul_pd, div: _mm512_div_pd, mul_add: _mm512_fmadd_pd,
    max: _mm512_max_pd, min: _mm512_min_pd, round: _mm512_roundscale_pd, scale: _mm512_scalef_pd,
    less: _mm512_cmp_pd_mask, blend: _mm512_mask_blend_pd, total: _mm512_reduce_add_pd,
});
