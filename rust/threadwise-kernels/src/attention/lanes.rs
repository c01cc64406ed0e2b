//! Attention on vector units: block by block of keys, all rows.

use std::ops::Range;

use super::layout::TILE;
use super::product::multiply;
use super::{BLOCK, Stored, Task};
use crate::activation::lanes::exp;
use crate::simd::slices::{load, write};
use crate::simd::{Arithmetic, Lanes, Widen};
#[cfg(target_arch = "x86_64")]
use crate::simd::{avx2::F32x8, avx512::F32x16};
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512};

/// Calls `$function::<V, S, ROWS, VECTORS>` for chunks of at most six rows.
macro_rules! in_chunks {
    ($rows:expr, $function:ident::<$vectors:ident>($row:ident, $($argument:expr),*)) => {
        let mut $row = 0;
        while $row < $rows {
            // SAFETY: for so many rows from this on, what the caller has shown for all of them.
            $row += unsafe { match $rows - $row {
                1 => $function::<V, S, 1, $vectors>($($argument),*),
                2 | 3 => $function::<V, S, 2, $vectors>($($argument),*),
                4 | 5 => $function::<V, S, 4, $vectors>($($argument),*),
                _ => $function::<V, S, 6, $vectors>($($argument),*),
            } };
        }
    };
}

/// Twin of [`super::scalar::attend`]. `WIDE` vectors are computed at a time, or `NARROW`, which make a tile.
#[inline(always)]
fn attend<V, S, const WIDE: usize, const NARROW: usize>(proof: V::Proof, mut task: Task<'_, S>)
where
    V: Arithmetic<Element = f32> + Widen<S>,
    S: Stored,
{
    const { assert!(NARROW * V::COUNT == TILE, "a tile") };
    let seen = task.seen.iter().filter(|seen| !seen.is_empty());
    let (mut first, mut end) = (usize::MAX, 0);
    for seen in seen {
        first = first.min(seen.start);
        end = end.max(seen.end);
    }
    let mut begin = if first < end { first / BLOCK * BLOCK } else { end };
    while begin < end {
        let keys = first.max(begin)..end.min(begin + BLOCK);
        score::<V, S, WIDE, NARROW>(proof, &mut task, begin, &keys);
        for r in 0..task.seen.len() {
            weigh::<V, S>(proof, &mut task, r, begin, &keys);
        }
        sum_values::<V, S, WIDE, NARROW>(proof, &mut task, begin, &keys);
        begin += BLOCK;
    }
}

/// Whole tiles that contain these tokens, from `begin` on.
#[inline(always)]
fn tiles(begin: usize, keys: &Range<usize>) -> Range<usize> {
    (keys.start - begin) / TILE * TILE..(keys.end - begin).next_multiple_of(TILE)
}

/// The scores of a block: queries times keys. Where row r of the block begins is r·[`BLOCK`].
#[inline(always)]
fn score<V, S, const WIDE: usize, const NARROW: usize>(
    proof: V::Proof,
    task: &mut Task<'_, S>,
    begin: usize,
    keys: &Range<usize>,
) where
    V: Lanes<Element = f32> + Widen<S>,
    S: Stored,
{
    let (rows, width) = (task.seen.len(), task.layout.width());
    let Range { start: mut token, end } = tiles(begin, keys);
    let (queries, scores) = (task.queries.as_ptr(), task.scores.as_mut_ptr());
    let seen = task.seen;
    while token < end {
        let at = begin + token;
        let keys = task.page.numbers.as_ptr().wrapping_add((begin + token) * width);
        let to = scores.wrapping_add(token);
        if token + WIDE * V::COUNT <= end {
            in_chunks!(
                rows,
                scores_of::<WIDE>(row, proof, queries, width, keys, to, row, (seen, at))
            );
            token += WIDE * V::COUNT;
        } else {
            in_chunks!(
                rows,
                scores_of::<NARROW>(row, proof, queries, width, keys, to, row, (seen, at))
            );
            token += TILE;
        }
    }
}

/// The first to the last of these tokens that any of the rows sees.
#[inline(always)]
fn reach(seen: &[Range<usize>], tokens: &Range<usize>) -> Range<usize> {
    let (mut first, mut end) = (tokens.end, tokens.start);
    for seen in seen {
        if seen.start.max(tokens.start) < seen.end.min(tokens.end) {
            first = first.min(seen.start.max(tokens.start));
            end = end.max(seen.end.min(tokens.end));
        }
    }
    first..end
}

/// The scores of some rows and some tiles, from token `first` on, if any of the rows sees one; says how many
/// rows.
///
/// # Safety
///
/// From row `row` on there are `ROWS` rows of queries and of scores; the tiles' keys are readable, and their
/// scores writable.
#[inline(always)]
unsafe fn scores_of<V, S, const ROWS: usize, const VECTORS: usize>(
    proof: V::Proof,
    queries: *const f32,
    width: usize,
    keys: *const S,
    to: *mut f32,
    row: usize,
    (seen, first): (&[Range<usize>], usize),
) -> usize
where
    V: Lanes<Element = f32> + Widen<S>,
{
    let seen = reach(&seen[row..row + ROWS], &(first..first + VECTORS * V::COUNT));
    if seen.is_empty() {
        return ROWS;
    }
    let mut from = [keys; VECTORS];
    for (v, from) in from.iter_mut().enumerate() {
        let token = v * V::COUNT;
        *from = keys.wrapping_add(token / TILE * TILE * width + token % TILE);
    }
    let sums = [[V::splat(proof, 0.0); VECTORS]; ROWS];
    let queries = (queries.wrapping_add(row * width), width);
    // SAFETY: the caller's promise: `width` numbers of each query, and the tiles, each of as many vectors.
    let sums = unsafe { multiply::<V, S, ROWS, VECTORS>(proof, queries, from, TILE, width, sums) };
    for (r, sums) in sums.into_iter().enumerate() {
        for (v, sum) in sums.into_iter().enumerate() {
            let to = to.wrapping_add((row + r) * BLOCK + v * V::COUNT);
            // SAFETY: the caller's promise: the scores of these tiles in this row.
            unsafe { sum.store(to) };
        }
    }
    ROWS
}

/// From scores of a row to weights; what it does not see weighs nothing.
#[inline(always)]
fn weigh<V, S>(
    proof: V::Proof,
    task: &mut Task<'_, S>,
    row: usize,
    begin: usize,
    keys: &Range<usize>,
) where
    V: Arithmetic<Element = f32>,
    S: Stored,
{
    let tiles = tiles(begin, keys);
    let seen = &task.seen[row];
    let first = seen.start.clamp(begin + tiles.start, begin + tiles.end) - begin - tiles.start;
    let end = seen.end.clamp(begin + tiles.start, begin + tiles.end) - begin - tiles.start;
    let scores = &mut task.scores[row * BLOCK..][tiles.clone()];
    if first >= end {
        scores.fill(0.0);
        return;
    }
    if S::IS_SCALED {
        scale::<V>(proof, scores, &task.page.scales[begin + tiles.start..]);
    }
    scores[..first].fill(f32::NEG_INFINITY);
    scores[end..].fill(f32::NEG_INFINITY);
    let mut largest = V::splat(proof, f32::NEG_INFINITY);
    for scores in scores.chunks_exact(V::COUNT) {
        largest = largest.max(load::<V>(proof, scores));
    }
    let before = task.state.largest[row];
    let largest = largest.largest();
    let largest = if before > largest { before } else { largest };
    let shift = V::splat(proof, largest);
    let mut sum = V::splat(proof, 0.0);
    for scores in scores.chunks_exact_mut(V::COUNT) {
        let weights = exp::<V>(proof, load::<V>(proof, scores).sub(shift));
        sum = sum.add(weights);
        write(weights, scores);
    }
    let sum = sum.total();
    if S::IS_SCALED {
        let scales = &task.page.scales[task.layout.tokens() + begin + tiles.start..];
        scale::<V>(proof, scores, scales);
    }
    if largest.to_bits() == before.to_bits() {
        task.state.sum[row] += sum;
        return;
    }
    let factor = exp::<V>(proof, V::splat(proof, before).sub(shift));
    let mut first = [0.0];
    crate::simd::slices::write_first(proof, factor, &mut first);
    task.state.largest[row] = largest;
    task.state.sum[row] = task.state.sum[row] * first[0] + sum;
    let width = task.layout.padded();
    let values = &mut task.state.values[row * width..(row + 1) * width];
    for values in values.chunks_exact_mut(V::COUNT) {
        write(load::<V>(proof, values).mul(factor), values);
    }
}

/// Multiplies each number by its scale. Numbers that nobody sees may meet scales of nothing.
#[inline(always)]
fn scale<V: Arithmetic<Element = f32>>(proof: V::Proof, numbers: &mut [f32], scales: &[f32]) {
    let scales = scales[..numbers.len()].chunks_exact(V::COUNT);
    for (numbers, scales) in numbers.chunks_exact_mut(V::COUNT).zip(scales) {
        write(load::<V>(proof, numbers).mul(load::<V>(proof, scales)), numbers);
    }
}

/// Adds the weighted values of a block.
#[inline(always)]
fn sum_values<V, S, const WIDE: usize, const NARROW: usize>(
    proof: V::Proof,
    task: &mut Task<'_, S>,
    begin: usize,
    keys: &Range<usize>,
) where
    V: Lanes<Element = f32> + Widen<S>,
    S: Stored,
{
    let (rows, width, seen) = (task.seen.len(), task.layout.padded(), task.seen);
    let weights = task.scores.as_ptr();
    let numbers = task.page.numbers.as_ptr();
    let values = numbers.wrapping_add(task.layout.values() + begin * width);
    let state = task.state.values.as_mut_ptr();
    let mut column = 0;
    while column < width {
        let (values, to) = (values.wrapping_add(column), state.wrapping_add(column));
        let sees = (seen, begin, keys);
        if column + WIDE * V::COUNT <= width {
            in_chunks!(rows, values_of::<WIDE>(row, proof, weights, sees, values, width, to, row));
            column += WIDE * V::COUNT;
        } else {
            in_chunks!(
                rows,
                values_of::<NARROW>(row, proof, weights, sees, values, width, to, row)
            );
            column += TILE;
        }
    }
}

/// The weighted values of some rows and some columns, of those of the keys that any of the rows sees; says how many
/// rows. Weights and values are of the tokens from `begin` on.
///
/// # Safety
///
/// From row `row` on there are `ROWS` rows of weights of the keys, and of the state; these columns of their
/// values, `width` apart, are readable.
#[inline(always)]
unsafe fn values_of<V, S, const ROWS: usize, const VECTORS: usize>(
    proof: V::Proof,
    weights: *const f32,
    (seen, begin, keys): (&[Range<usize>], usize, &Range<usize>),
    values: *const S,
    width: usize,
    to: *mut f32,
    row: usize,
) -> usize
where
    V: Lanes<Element = f32> + Widen<S>,
{
    let seen = reach(&seen[row..row + ROWS], keys);
    if seen.is_empty() {
        return ROWS;
    }
    let (first, count) = (seen.start - begin, seen.len());
    let values = values.wrapping_add(first * width);
    let mut sums = [[V::splat(proof, 0.0); VECTORS]; ROWS];
    let mut from = [values; VECTORS];
    for (v, from) in from.iter_mut().enumerate() {
        *from = values.wrapping_add(v * V::COUNT);
    }
    for (r, sums) in sums.iter_mut().enumerate() {
        for (v, sum) in sums.iter_mut().enumerate() {
            let at = to.wrapping_add((row + r) * width + v * V::COUNT);
            // SAFETY: the caller's promise: these columns of the row's state.
            *sum = unsafe { V::load(proof, at) };
        }
    }
    let weights = (weights.wrapping_add(row * BLOCK + first), BLOCK);
    // SAFETY: the caller's promise: the weights of these rows, and these columns of the values.
    let sums = unsafe { multiply::<V, S, ROWS, VECTORS>(proof, weights, from, width, count, sums) };
    for (r, sums) in sums.into_iter().enumerate() {
        for (v, sum) in sums.into_iter().enumerate() {
            let at = to.wrapping_add((row + r) * width + v * V::COUNT);
            // SAFETY: as above.
            unsafe { sum.store(at) };
        }
    }
    ROWS
}

/// # Safety
///
/// Nothing is asked of the CPU: it is unsafe only to have the type of the others.
pub(super) unsafe fn portable<V, S: Stored>(task: Task<'_, S>)
where
    V: Arithmetic<Element = f32, Proof = ()> + Widen<S>,
{
    attend::<V, S, 4, 4>((), task);
}

/// # Safety
///
/// The CPU has AVX2, FMA and F16C.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn avx2<S: Stored>(task: Task<'_, S>)
where
    F32x8: Widen<S>,
{
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx2::assume() };
    attend::<F32x8, S, 2, 2>(proof, task);
}

/// # Safety
///
/// The CPU has AVX-512 F, BW, DQ and VL.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn avx512<S: Stored>(task: Task<'_, S>)
where
    F32x16: Widen<S>,
{
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx512::assume() };
    attend::<F32x16, S, 4, 1>(proof, task);
}
