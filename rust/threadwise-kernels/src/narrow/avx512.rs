//! Units in 512-bit registers.

mod first;

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::strips::Lie;
use super::units::{Fetch, Units, register_fetch, register_units};
use crate::simd::Lanes;
use crate::simd::avx512::F32x16;
use crate::{Avx512, Bf16, Vnni};

register_units!(
    /// A number of 32 bits, made of one of 16.
    Singles, __m512i, 16, 1, f32, Avx512, {
        flip: 0, splat: _mm512_set1_epi32, load: _mm512_loadu_si512, store: _mm512_storeu_si512,
        load_first: first::load, store_first: first::store,
        square: F32x16::transpose, dot: dot_singles, add: add_floats, total: total_floats,
    }
);
register_fetch!(Singles, bf16, Avx512, widened_bf16(half), widened_bf16(half[0]), first);
register_fetch!(Singles, f16, Avx512, widened_f16(half), widened_f16(half[0]), first);

/// A row is two groups of one number each, which a unit of [`Bf16Pairs`] holds.
pub(super) enum Double {}

impl Lie<Singles, bf16> for Double {
    const GROUPS: usize = 2;

    #[inline(always)]
    unsafe fn group(proof: Avx512, row: *const bf16, q: usize) -> Singles {
        // SAFETY: the caller's promise.
        let Singles(pairs) = unsafe { Singles::load(proof, row.cast()) };
        // SAFETY: the token proves the instruction set.
        Singles(unsafe { half_of_pairs(pairs, q) })
    }
}

register_units!(
    /// Two integers of 16 bits, made of two of eight.
    Pairs, __m512i, 16, 2, i32, Avx512, {
        flip: 0, splat: _mm512_set1_epi32, load: _mm512_loadu_si512, store: _mm512_storeu_si512,
        load_first: first::load, store_first: first::store,
        square: F32x16::transpose, dot: dot_pairs, add: _mm512_add_epi32, total: _mm512_reduce_add_epi32,
    }
);
register_fetch!(Pairs, i8, Avx512, widened_i8(half), joined_i8(quarter[0, 1]), first);
register_fetch!(Pairs, u8, Avx512, widened_u8(half), joined_u8(quarter[0, 1]), first);

register_units!(
    /// Two numbers of bfloat16 as they are. Their products are summed by `vdpbf16ps`: the odd ones and then
    /// the even ones are added to the sum, rounded to nearest, subnormal numbers taken and given as zeros.
    Bf16Pairs, __m512i, 16, 2, f32, Bf16, {
        flip: 0, splat: _mm512_set1_epi32, load: _mm512_loadu_si512, store: _mm512_storeu_si512,
        load_first: first::load, store_first: first::store,
        square: square_bf16, dot: dot_bf16, add: add_floats, total: total_floats,
    }
);
register_fetch!(Bf16Pairs, bf16, Bf16, same(whole), joined_words(half[0, 1]), first);

register_units!(
    /// Four integers of eight bits as they are, the left ones without sign: `vpdpbusd` wants that, so that
    /// signed ones are taken 128 too large.
    Quads, __m512i, 16, 4, i32, Vnni, {
        flip: 0x8080_8080, splat: _mm512_set1_epi32, load: _mm512_loadu_si512, store: _mm512_storeu_si512,
        load_first: first::load, store_first: first::store,
        square: square_quads, dot: dot_quads, add: _mm512_add_epi32, total: _mm512_reduce_add_epi32,
    }
);
register_fetch!(Quads, i8, Vnni, same(whole), joined_bytes(quarter[0, 1, 2, 3]), first);

register_units!(
    /// As [`Quads`], with left operands that have no sign anyway.
    PlainQuads, __m512i, 16, 4, i32, Vnni, {
        flip: 0, splat: _mm512_set1_epi32, load: _mm512_loadu_si512, store: _mm512_storeu_si512,
        load_first: first::load, store_first: first::store,
        square: square_quads, dot: dot_quads, add: _mm512_add_epi32, total: _mm512_reduce_add_epi32,
    }
);
register_fetch!(PlainQuads, i8, Vnni, same(whole), joined_bytes(quarter[0, 1, 2, 3]), first);
register_fetch!(PlainQuads, u8, Vnni, same(whole), joined_bytes(quarter[0, 1, 2, 3]), first);

/// # Safety
///
/// As [`Units::transpose`] says.
#[inline(always)]
unsafe fn square_bf16(proof: Bf16, from: *const f32, from_row: isize, to: *mut f32, to_row: isize) {
    // SAFETY: passed on.
    unsafe { F32x16::transpose(proof.avx512(), from, from_row, to, to_row) }
}

/// # Safety
///
/// As [`Units::transpose`] says.
#[inline(always)]
unsafe fn square_quads(
    proof: Vnni,
    from: *const f32,
    from_row: isize,
    to: *mut f32,
    to_row: isize,
) {
    // SAFETY: passed on.
    unsafe { F32x16::transpose(proof.avx512(), from, from_row, to, to_row) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn dot_singles(left: __m512i, right: __m512i, sums: __m512i) -> __m512i {
    let (left, right) = (_mm512_castsi512_ps(left), _mm512_castsi512_ps(right));
    _mm512_castps_si512(_mm512_fmadd_ps(left, right, _mm512_castsi512_ps(sums)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn dot_pairs(left: __m512i, right: __m512i, sums: __m512i) -> __m512i {
    _mm512_add_epi32(sums, _mm512_madd_epi16(left, right))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
fn dot_bf16(left: __m512i, right: __m512i, sums: __m512i) -> __m512i {
    let (left, right) =
        ((&raw const left).cast::<__m512bh>(), (&raw const right).cast::<__m512bh>());
    // SAFETY: a register of pairs of bfloat16 has 512 bits whatever its type.
    let left = unsafe { left.read() };
    // SAFETY: as above.
    let right = unsafe { right.read() };
    _mm512_castps_si512(_mm512_dpbf16_ps(_mm512_castsi512_ps(sums), left, right))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn dot_quads(left: __m512i, right: __m512i, sums: __m512i) -> __m512i {
    _mm512_dpbusd_epi32(sums, left, right)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn add_floats(x: __m512i, y: __m512i) -> __m512i {
    _mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(y)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn total_floats(x: __m512i) -> f32 {
    _mm512_reduce_add_ps(_mm512_castsi512_ps(x))
}

/// The even numbers of some pairs of bfloat16, or the odd ones, widened.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn half_of_pairs(pairs: __m512i, q: usize) -> __m512i {
    if q == 0 {
        _mm512_slli_epi32::<16>(pairs)
    } else {
        _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff_0000_u32.cast_signed()))
    }
}

/// # Safety
///
/// `from` is valid for reading a register.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn whole<E>(from: *const E) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_loadu_si512(from.cast()) }
}

/// Half a register.
///
/// # Safety
///
/// `from` is valid for reading 32 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn half<E>(from: *const E) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_loadu_si256(from.cast()) }
}

/// A quarter of a register.
///
/// # Safety
///
/// `from` is valid for reading 16 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn quarter<E>(from: *const E) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe { _mm_loadu_si128(from.cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn same([elements]: [__m512i; 1]) -> __m512i {
    elements
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn widened_bf16([words]: [__m256i; 1]) -> __m512i {
    _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(words))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn widened_f16([words]: [__m256i; 1]) -> __m512i {
    _mm512_castps_si512(_mm512_cvtph_ps(words))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn widened_i8([bytes]: [__m256i; 1]) -> __m512i {
    _mm512_cvtepi8_epi16(bytes)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn widened_u8([bytes]: [__m256i; 1]) -> __m512i {
    _mm512_cvtepu8_epi16(bytes)
}

/// Pairs of a byte of each row, widened.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn joined_i8([first, second]: [__m128i; 2]) -> __m512i {
    let (first, second) = (_mm512_cvtepi8_epi32(first), _mm512_cvtepi8_epi32(second));
    _mm512_mask_blend_epi16(0xaaaa_aaaa, first, _mm512_slli_epi32::<16>(second))
}

/// Pairs of a byte of each row, widened.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn joined_u8([first, second]: [__m128i; 2]) -> __m512i {
    let (first, second) = (_mm512_cvtepu8_epi32(first), _mm512_cvtepu8_epi32(second));
    _mm512_or_si512(first, _mm512_slli_epi32::<16>(second))
}

/// Units of a word of each row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn joined_words([first, second]: [__m256i; 2]) -> __m512i {
    let (first, second) = (_mm512_cvtepu16_epi32(first), _mm512_cvtepu16_epi32(second));
    _mm512_or_si512(first, _mm512_slli_epi32::<16>(second))
}

/// Units of a byte of each row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn joined_bytes(rows: [__m128i; 4]) -> __m512i {
    let mut units = [_mm512_setzero_si512(); 4];
    for (units, row) in units.iter_mut().zip(rows) {
        *units = _mm512_cvtepu8_epi32(row);
    }
    let low = _mm512_or_si512(units[0], _mm512_slli_epi32::<8>(units[1]));
    let high = _mm512_or_si512(units[2], _mm512_slli_epi32::<8>(units[3]));
    _mm512_or_si512(low, _mm512_slli_epi32::<16>(high))
}
