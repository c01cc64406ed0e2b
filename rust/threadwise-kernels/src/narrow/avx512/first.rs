//! Parts of registers: the first elements or units, zeros after them.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::of_four;

/// The first `count` of 64 bits.
#[inline]
fn first(count: usize) -> u64 {
    if count >= 64 { u64::MAX } else { !(u64::MAX << count) }
}

/// # Safety
///
/// As [`Units::load_first`](super::Units::load_first) says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[expect(clippy::cast_possible_truncation, reason = "a register has sixteen places")]
pub(super) unsafe fn load_first(from: *const i32, count: usize) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_maskz_loadu_epi32(first(count) as __mmask16, from) }
}

/// # Safety
///
/// As [`Units::store_first`](super::Units::store_first) says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[expect(clippy::cast_possible_truncation, reason = "a register has sixteen places")]
pub(super) unsafe fn store_first(to: *mut i32, count: usize, units: __m512i) {
    // SAFETY: the caller's promise.
    unsafe { _mm512_mask_storeu_epi32(to, first(count) as __mmask16, units) }
}

/// Half a register, zeros after the first `count` elements.
///
/// # Safety
///
/// `from` is valid for reading them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[expect(clippy::cast_possible_truncation, reason = "half a register has 32 bytes")]
unsafe fn half_first<E>(from: *const E, count: usize) -> __m256i {
    let mask = first(count * size_of::<E>()) as __mmask32;
    // SAFETY: the caller's promise.
    unsafe { _mm256_maskz_loadu_epi8(mask, from.cast()) }
}

/// A quarter of a register, zeros after the first `count` bytes.
///
/// # Safety
///
/// `from` is valid for reading them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[expect(clippy::cast_possible_truncation, reason = "a quarter of a register has 16 bytes")]
unsafe fn quarter_first<E>(from: *const E, count: usize) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe { _mm_maskz_loadu_epi8(first(count) as __mmask16, from.cast()) }
}

/// # Safety
///
/// As [`Fetch::along_first`](super::Fetch::along_first) says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn along_same_first<E>(from: *const E, count: usize) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_maskz_loadu_epi8(first(count * size_of::<E>()), from.cast()) }
}

/// # Safety
///
/// As [`Fetch::along_first`](super::Fetch::along_first) says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn along_bf16_first(from: *const bf16, count: usize) -> __m512i {
    // SAFETY: the caller's promise.
    let words = unsafe { half_first(from, count) };
    _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(words))
}

/// # Safety
///
/// As [`Fetch::along_first`](super::Fetch::along_first) says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn along_f16_first(from: *const f16, count: usize) -> __m512i {
    // SAFETY: the caller's promise.
    let words = unsafe { half_first(from, count) };
    _mm512_castps_si512(_mm512_cvtph_ps(words))
}

/// # Safety
///
/// As [`Fetch::along_first`](super::Fetch::along_first) says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn along_i8_first(from: *const i8, count: usize) -> __m512i {
    // SAFETY: the caller's promise.
    let words = unsafe { half_first(from, count) };
    _mm512_cvtepi8_epi16(words)
}

/// # Safety
///
/// As [`Fetch::along_first`](super::Fetch::along_first) says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn along_u8_first(from: *const u8, count: usize) -> __m512i {
    // SAFETY: the caller's promise.
    let words = unsafe { half_first(from, count) };
    _mm512_cvtepu8_epi16(words)
}

/// # Safety
///
/// As [`Fetch::across_first`](super::Fetch::across_first) says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn across_bf16_first(
    from: *const bf16,
    _: isize,
    (rows, columns): (usize, usize),
) -> __m512i {
    // SAFETY: a group is one row.
    unsafe { along_bf16_first(from, if rows == 0 { 0 } else { columns }) }
}

/// # Safety
///
/// As [`Fetch::across_first`](super::Fetch::across_first) says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn across_f16_first(
    from: *const f16,
    _: isize,
    (rows, columns): (usize, usize),
) -> __m512i {
    // SAFETY: a group is one row.
    unsafe { along_f16_first(from, if rows == 0 { 0 } else { columns }) }
}

/// # Safety
///
/// As [`Fetch::across_first`](super::Fetch::across_first) says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn across_i8_first(
    from: *const i8,
    row: isize,
    (rows, columns): (usize, usize),
) -> __m512i {
    let count = |i| if i < rows { columns } else { 0 };
    // SAFETY: the caller's promise about the first row.
    let first = unsafe { quarter_first(from, count(0)) };
    // SAFETY: and about the second.
    let second = unsafe { quarter_first(from.wrapping_offset(row), count(1)) };
    let (first, second) = (_mm512_cvtepi8_epi32(first), _mm512_cvtepi8_epi32(second));
    _mm512_mask_blend_epi16(0xaaaa_aaaa, first, _mm512_slli_epi32::<16>(second))
}

/// # Safety
///
/// As [`Fetch::across_first`](super::Fetch::across_first) says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn across_u8_first(
    from: *const u8,
    row: isize,
    (rows, columns): (usize, usize),
) -> __m512i {
    let count = |i| if i < rows { columns } else { 0 };
    // SAFETY: the caller's promise about the first row.
    let first = unsafe { quarter_first(from, count(0)) };
    // SAFETY: and about the second.
    let second = unsafe { quarter_first(from.wrapping_offset(row), count(1)) };
    let (first, second) = (_mm512_cvtepu8_epi32(first), _mm512_cvtepu8_epi32(second));
    _mm512_or_si512(first, _mm512_slli_epi32::<16>(second))
}

/// # Safety
///
/// As [`Fetch::across_first`](super::Fetch::across_first) says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn across_words_first<E>(
    from: *const E,
    row: isize,
    (rows, columns): (usize, usize),
) -> __m512i {
    let count = |i| if i < rows { columns } else { 0 };
    // SAFETY: the caller's promise about the first row.
    let first = unsafe { half_first(from, count(0)) };
    // SAFETY: and about the second.
    let second = unsafe { half_first(from.wrapping_offset(row), count(1)) };
    let (first, second) = (_mm512_cvtepu16_epi32(first), _mm512_cvtepu16_epi32(second));
    _mm512_or_si512(first, _mm512_slli_epi32::<16>(second))
}

/// # Safety
///
/// As [`Fetch::across_first`](super::Fetch::across_first) says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn across_bytes_first<E>(
    from: *const E,
    row: isize,
    (below, columns): (usize, usize),
) -> __m512i {
    let mut rows = [_mm512_setzero_si512(); 4];
    for (i, units) in rows.iter_mut().enumerate() {
        let count = if i < below { columns } else { 0 };
        // SAFETY: the caller's promise about row i.
        let bytes = unsafe { quarter_first(from.wrapping_offset(i as isize * row), count) };
        *units = _mm512_cvtepu8_epi32(bytes);
    }
    of_four(rows)
}
