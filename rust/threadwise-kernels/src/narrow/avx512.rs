//! Units in 512-bit registers.

mod first;

use std::arch::x86_64::*;

use half::{bf16, f16};

use self::first::{
    across_bf16_first, across_bytes_first, across_f16_first, across_i8_first, across_u8_first,
    across_words_first, along_bf16_first, along_f16_first, along_i8_first, along_same_first,
    along_u8_first, load_first, store_first,
};
use super::strips::Lie;
use super::units::{Fetch, Units, register_fetch, register_units};
use crate::simd::Lanes;
use crate::simd::avx512::F32x16;
use crate::{Avx512, Bf16, Vnni};

register_units!(
    /// A number of 32 bits, made of one of 16.
    Singles, __m512i, 16, 1, f32, Avx512, {
        flip: 0, splat: _mm512_set1_epi32, load: _mm512_loadu_si512, store: _mm512_storeu_si512,
        load_first: load_first, store_first: store_first,
        square: F32x16::transpose, dot: dot_singles, add: add_floats, total: total_floats,
    }
);
register_fetch!(
    Singles,
    bf16,
    Avx512,
    along_bf16,
    across_bf16,
    along_bf16_first,
    across_bf16_first
);
register_fetch!(Singles, f16, Avx512, along_f16, across_f16, along_f16_first, across_f16_first);

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
        load_first: load_first, store_first: store_first,
        square: F32x16::transpose, dot: dot_pairs, add: _mm512_add_epi32, total: _mm512_reduce_add_epi32,
    }
);
register_fetch!(Pairs, i8, Avx512, along_i8, across_i8, along_i8_first, across_i8_first);
register_fetch!(Pairs, u8, Avx512, along_u8, across_u8, along_u8_first, across_u8_first);

register_units!(
    /// Two numbers of bfloat16 as they are. Their products are summed by `vdpbf16ps`: the odd ones and then
    /// the even ones are added to the sum, rounded to nearest, subnormal numbers taken and given as zeros.
    Bf16Pairs, __m512i, 16, 2, f32, Bf16, {
        flip: 0, splat: _mm512_set1_epi32, load: _mm512_loadu_si512, store: _mm512_storeu_si512,
        load_first: load_first, store_first: store_first,
        square: square_bf16, dot: dot_bf16, add: add_floats, total: total_floats,
    }
);
register_fetch!(
    Bf16Pairs,
    bf16,
    Bf16,
    along_same,
    across_words,
    along_same_first,
    across_words_first
);

register_units!(
    /// Four integers of eight bits as they are, the left ones without sign: `vpdpbusd` wants that, so that
    /// signed ones are taken 128 too large.
    Quads, __m512i, 16, 4, i32, Vnni, {
        flip: 0x8080_8080, splat: _mm512_set1_epi32, load: _mm512_loadu_si512, store: _mm512_storeu_si512,
        load_first: load_first, store_first: store_first,
        square: square_quads, dot: dot_quads, add: _mm512_add_epi32, total: _mm512_reduce_add_epi32,
    }
);
register_fetch!(Quads, i8, Vnni, along_same, across_bytes, along_same_first, across_bytes_first);

register_units!(
    /// As [`Quads`], with left operands that have no sign anyway.
    PlainQuads, __m512i, 16, 4, i32, Vnni, {
        flip: 0, splat: _mm512_set1_epi32, load: _mm512_loadu_si512, store: _mm512_storeu_si512,
        load_first: load_first, store_first: store_first,
        square: square_quads, dot: dot_quads, add: _mm512_add_epi32, total: _mm512_reduce_add_epi32,
    }
);
register_fetch!(
    PlainQuads,
    i8,
    Vnni,
    along_same,
    across_bytes,
    along_same_first,
    across_bytes_first
);
register_fetch!(
    PlainQuads,
    u8,
    Vnni,
    along_same,
    across_bytes,
    along_same_first,
    across_bytes_first
);

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

/// # Safety
///
/// `from` is valid for reading a register.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn along_same<E>(from: *const E) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_loadu_si512(from.cast()) }
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

/// # Safety
///
/// As [`Fetch::along`] says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn along_bf16(from: *const bf16) -> __m512i {
    // SAFETY: the caller's promise: sixteen elements.
    let words = unsafe { half(from) };
    _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(words))
}

/// # Safety
///
/// As [`Fetch::across`] says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn across_bf16(from: *const bf16, _: isize) -> __m512i {
    // SAFETY: a group is one row.
    unsafe { along_bf16(from) }
}

/// # Safety
///
/// As [`Fetch::along`] says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn along_f16(from: *const f16) -> __m512i {
    // SAFETY: the caller's promise: sixteen elements.
    let words = unsafe { half(from) };
    _mm512_castps_si512(_mm512_cvtph_ps(words))
}

/// # Safety
///
/// As [`Fetch::across`] says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn across_f16(from: *const f16, _: isize) -> __m512i {
    // SAFETY: a group is one row.
    unsafe { along_f16(from) }
}

/// # Safety
///
/// As [`Fetch::along`] says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn along_i8(from: *const i8) -> __m512i {
    // SAFETY: the caller's promise: 32 elements.
    let bytes = unsafe { half(from) };
    _mm512_cvtepi8_epi16(bytes)
}

/// # Safety
///
/// As [`Fetch::along`] says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn along_u8(from: *const u8) -> __m512i {
    // SAFETY: the caller's promise: 32 elements.
    let bytes = unsafe { half(from) };
    _mm512_cvtepu8_epi16(bytes)
}

/// # Safety
///
/// As [`Fetch::across`] says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn across_i8(from: *const i8, row: isize) -> __m512i {
    // SAFETY: the caller's promise: sixteen elements of the first row.
    let first = unsafe { quarter(from) };
    // SAFETY: and of the second.
    let second = unsafe { quarter(from.wrapping_offset(row)) };
    let (first, second) = (_mm512_cvtepi8_epi32(first), _mm512_cvtepi8_epi32(second));
    _mm512_mask_blend_epi16(0xaaaa_aaaa, first, _mm512_slli_epi32::<16>(second))
}

/// # Safety
///
/// As [`Fetch::across`] says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn across_u8(from: *const u8, row: isize) -> __m512i {
    // SAFETY: the caller's promise: sixteen elements of the first row.
    let first = unsafe { quarter(from) };
    // SAFETY: and of the second.
    let second = unsafe { quarter(from.wrapping_offset(row)) };
    let (first, second) = (_mm512_cvtepu8_epi32(first), _mm512_cvtepu8_epi32(second));
    _mm512_or_si512(first, _mm512_slli_epi32::<16>(second))
}

/// # Safety
///
/// As [`Fetch::across`] says, for elements of two bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn across_words<E>(from: *const E, row: isize) -> __m512i {
    // SAFETY: the caller's promise: sixteen elements of the first row.
    let first = unsafe { half(from) };
    // SAFETY: and of the second.
    let second = unsafe { half(from.wrapping_offset(row)) };
    let (first, second) = (_mm512_cvtepu16_epi32(first), _mm512_cvtepu16_epi32(second));
    _mm512_or_si512(first, _mm512_slli_epi32::<16>(second))
}

/// # Safety
///
/// As [`Fetch::across`] says, for elements of one byte.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn across_bytes<E>(from: *const E, row: isize) -> __m512i {
    let mut rows = [_mm512_setzero_si512(); 4];
    for (i, units) in rows.iter_mut().enumerate() {
        // SAFETY: the caller's promise: sixteen elements of row i.
        let bytes = unsafe { quarter(from.wrapping_offset(i as isize * row)) };
        *units = _mm512_cvtepu8_epi32(bytes);
    }
    of_four(rows)
}

/// Units of one byte each from four rows of bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn of_four(rows: [__m512i; 4]) -> __m512i {
    let low = _mm512_or_si512(rows[0], _mm512_slli_epi32::<8>(rows[1]));
    let high = _mm512_or_si512(rows[2], _mm512_slli_epi32::<8>(rows[3]));
    _mm512_or_si512(low, _mm512_slli_epi32::<16>(high))
}
