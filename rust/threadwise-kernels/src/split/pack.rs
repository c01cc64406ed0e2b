//! Pieces of squares, in the order of tiles.
//!
//! Of each piece there are two tiles of 16 rows of 16 units. A unit is two terms of a line, one of the first half of
//! the step and the one as far into the second. Of A, a row of a tile is a line; of B, a row is such a pair of terms. Where lines run along memory
//! the first way is natural, where terms lie apart the second: the other is its transpose.

use std::arch::x86_64::{
    __m512, __m512i, _mm512_add_epi32, _mm512_and_si512, _mm512_castps_si512, _mm512_castsi512_ps,
    _mm512_loadu_ps, _mm512_mask_blend_epi16, _mm512_set1_epi32, _mm512_srli_epi32,
    _mm512_storeu_si512, _mm512_sub_ps,
};

use std::mem::MaybeUninit;

use super::{SIDE, STEP, Square};
use crate::Avx512;
use crate::simd::Lanes;
use crate::simd::avx512::F32x16;

/// Rows of a tile, units in a row, and lanes of a vector.
const TILE: usize = SIDE / 2;

/// Units of a tile.
const UNITS: usize = TILE * TILE;

/// Terms or lines between what is packed and what is asked for.
const AHEAD: usize = 2 * SIDE;

/// Units of a step, aligned as vectors are.
#[repr(C, align(64))]
struct Room(MaybeUninit<[u32; STEP]>);

/// Rows of A.
///
/// # Safety
///
/// As [`super::PackFn`] says, on a CPU with AVX-512.
pub(super) unsafe fn left(square: &Square<f32>, to: *mut u32) {
    // SAFETY: passed on from the caller.
    unsafe { pack(square, to, true) };
}

/// Columns of B.
///
/// # Safety
///
/// As [`super::PackFn`] says, on a CPU with AVX-512.
pub(super) unsafe fn right(square: &Square<f32>, to: *mut u32) {
    // SAFETY: passed on from the caller.
    unsafe { pack(square, to, false) };
}

/// # Safety
///
/// As [`super::PackFn`] says, on a CPU with AVX-512 F, BW, DQ and VL.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn pack(square: &Square<f32>, to: *mut u32, is_left: bool) {
    let is_whole = square.lines == SIDE && square.terms == SIDE;
    if is_whole && square.line == 1 {
        // SAFETY: all lines and terms are there, and lines are adjacent.
        unsafe { by_terms(square.first, square.term, to, is_left) };
    } else if is_whole && square.term == 1 {
        // SAFETY: all lines and terms are there, and terms are adjacent.
        unsafe { by_lines(square.first, square.line, to, is_left) };
    } else {
        let mut copy = [0.0; SIDE * SIDE];
        for (i, row) in copy.chunks_exact_mut(SIDE).take(square.lines).enumerate() {
            let line = square.first.wrapping_offset(i as isize * square.line);
            for (p, to) in row.iter_mut().take(square.terms).enumerate() {
                // SAFETY: term p of line i.
                *to = unsafe { *line.wrapping_offset(p as isize * square.term) };
            }
        }
        // SAFETY: the copy has all lines and terms.
        unsafe { by_lines(copy.as_ptr(), SIDE as isize, to, is_left) };
    }
}

/// A square whose terms are adjacent.
///
/// # Safety
///
/// As [`pack`], with all lines and terms.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn by_lines(from: *const f32, line: isize, to: *mut u32, is_left: bool) {
    let mut room = Room(MaybeUninit::uninit());
    let place = if is_left { to } else { room.0.as_mut_ptr().cast() };
    for i in 0..SIDE {
        let row = from.wrapping_offset(i as isize * line);
        F32x16::prefetch(row.wrapping_add(AHEAD));
        F32x16::prefetch(row.wrapping_add(AHEAD + TILE));
        // SAFETY: the first half of line i.
        let near = pieces(unsafe { _mm512_loadu_ps(row) });
        // SAFETY: the second half.
        let far = pieces(unsafe { _mm512_loadu_ps(row.wrapping_add(TILE)) });
        for piece in 0..3 {
            let units = units(near[piece], far[piece]);
            let place = place.wrapping_add(piece * 2 * UNITS + i * TILE);
            // SAFETY: row i of the two tiles of this piece.
            unsafe { _mm512_storeu_si512(place.cast(), units) };
        }
    }
    if !is_left {
        // SAFETY: six tiles each, the first all written.
        unsafe { transpose(&room, to) };
    }
}

/// A square whose lines are adjacent.
///
/// # Safety
///
/// As [`pack`], with all lines and terms.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn by_terms(from: *const f32, term: isize, to: *mut u32, is_left: bool) {
    let mut room = Room(MaybeUninit::uninit());
    let place = if is_left { room.0.as_mut_ptr().cast() } else { to };
    for pair in 0..TILE {
        let early = from.wrapping_offset(pair as isize * term);
        let late = early.wrapping_offset(TILE as isize * term);
        let ahead = late.wrapping_offset(TILE as isize * term);
        for half in 0..2 {
            let at = half * TILE;
            F32x16::prefetch(ahead.wrapping_add(at));
            F32x16::prefetch(ahead.wrapping_offset(TILE as isize * term).wrapping_add(at));
            // SAFETY: half of the lines of a term.
            let low = pieces(unsafe { _mm512_loadu_ps(early.wrapping_add(at)) });
            // SAFETY: and of the one that it is paired with.
            let high = pieces(unsafe { _mm512_loadu_ps(late.wrapping_add(at)) });
            for piece in 0..3 {
                let units = units(low[piece], high[piece]);
                let place = place.wrapping_add((2 * piece + half) * UNITS + pair * TILE);
                // SAFETY: row `pair` of the tile of this piece and these lines.
                unsafe { _mm512_storeu_si512(place.cast(), units) };
            }
        }
    }
    if is_left {
        // SAFETY: six tiles each, the first all written.
        unsafe { transpose(&room, to) };
    }
}

/// Transposes each of six tiles.
///
/// # Safety
///
/// `from` has been written, and `to` is writable for as many; the CPU has AVX-512.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn transpose(from: &Room, to: *mut u32) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx512::assume() };
    let row = TILE as isize;
    let from: *const u32 = from.0.as_ptr().cast();
    for tile in 0..STEP / UNITS {
        let (from, to) = (from.wrapping_add(tile * UNITS), to.wrapping_add(tile * UNITS));
        // SAFETY: whole tiles; their bits are moved, whatever they mean.
        unsafe { F32x16::transpose(proof, from.cast(), row, to.cast(), row) };
    }
}

/// The three pieces, in upper halves.
#[inline]
#[target_feature(enable = "avx512f")]
fn pieces(x: __m512) -> [__m512i; 3] {
    let first = nearest(x);
    let rest = _mm512_sub_ps(x, _mm512_castsi512_ps(first));
    let second = nearest(rest);
    let third = _mm512_sub_ps(rest, _mm512_castsi512_ps(second));
    [first, second, _mm512_castps_si512(third)]
}

/// The nearest number of eight bits.
#[inline]
#[target_feature(enable = "avx512f")]
fn nearest(x: __m512) -> __m512i {
    let up = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
    _mm512_and_si512(up, _mm512_set1_epi32(0xffff_0000_u32.cast_signed()))
}

/// Units of pieces that are the upper halves of `low` and of `high`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn units(low: __m512i, high: __m512i) -> __m512i {
    _mm512_mask_blend_epi16(0xaaaa_aaaa, _mm512_srli_epi32::<16>(low), high)
}
