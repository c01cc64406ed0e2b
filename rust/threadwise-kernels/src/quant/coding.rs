//! Numbers of a row to codes, and back, on vector units.

use super::ranges::load;
use super::{MAGIC, Task, ZeroPoint, scalar};
use crate::simd::Coding;

/// Codes that are worked on at once.
const STRIP: usize = 16;

/// Vectors whose extremes are sought side by side, because each step waits for the one before.
const CHAINS: usize = 4;

/// Twin of [`scalar::encode`], for a row. The row that may follow in memory is asked for meanwhile: it is the next.
#[inline(always)]
#[expect(clippy::disallowed_methods, reason = "the functions that this is inlined into have FMA")]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are the code")]
pub(super) fn encode<V: Coding>(
    proof: V::Proof,
    task: Task,
    group: usize,
    x: &[f32],
    scales: &[f32],
    zeros: &[f32],
    codes: &mut [u8],
) {
    let ahead = x.len();
    let is_float = task.zero_point == ZeroPoint::Float;
    let least = V::splat(proof, MAGIC);
    let most = MAGIC + task.steps();
    for (i, (x, codes)) in x.chunks(group).zip(codes.chunks_mut(group)).enumerate() {
        let inverse = scalar::inverse(scales[i]);
        let (minimum, zero) = if is_float { (zeros[i], 0.0) } else { (0.0, zeros[i]) };
        let shift = MAGIC + zero;
        let (from, factor) = (V::splat(proof, minimum), V::splat(proof, inverse));
        let (offset, end) = (V::splat(proof, shift), V::splat(proof, most));
        let mut to = codes.chunks_exact_mut(V::COUNT);
        let mut numbers = x.chunks_exact(V::COUNT);
        for (x, to) in (&mut numbers).zip(&mut to) {
            V::prefetch(x.as_ptr().wrapping_add(ahead));
            let shifted = load::<V>(proof, x).sub(from).mul_add(factor, offset);
            let shifted = shifted.max(least).min(end);
            // SAFETY: so many bytes as the vector has lanes.
            unsafe { shifted.store_low_bytes(to.as_mut_ptr()) };
        }
        for (x, code) in numbers.remainder().iter().zip(to.into_remainder()) {
            let shifted = (x - minimum).mul_add(inverse, shift);
            let shifted = if shifted > MAGIC { shifted } else { MAGIC };
            *code = (if shifted < most { shifted } else { most }).to_bits() as u8;
        }
    }
}

/// Twin of [`scalar::decode`], for a row.
#[inline(always)]
pub(super) fn decode(
    zero_point: ZeroPoint,
    group: usize,
    codes: &[u8],
    scales: &[f32],
    zeros: &[f32],
    values: &mut [f32],
) {
    for (i, (codes, values)) in codes.chunks(group).zip(values.chunks_mut(group)).enumerate() {
        let (scale, zero) = (scales[i], zeros[i]);
        let (strips, rest) = codes.as_chunks::<STRIP>();
        let (strips_to, rest_to) = values.as_chunks_mut::<STRIP>();
        for (codes, values) in strips.iter().zip(strips_to) {
            for (code, value) in codes.iter().zip(values) {
                *value = scalar::value_of(zero_point, f32::from(*code), scale, zero);
            }
        }
        for (code, value) in rest.iter().zip(rest_to) {
            *value = scalar::value_of(zero_point, f32::from(*code), scale, zero);
        }
    }
}

/// The largest magnitude; no number if some number is not finite.
#[inline(always)]
pub(super) fn largest<V: Coding>(proof: V::Proof, x: &[f32]) -> f32 {
    let zero = V::splat(proof, 0.0);
    let (mut most, mut least, mut bad) = ([zero; CHAINS], [zero; CHAINS], [zero; CHAINS]);
    let mut runs = x.chunks_exact(CHAINS * V::COUNT);
    for x in &mut runs {
        for k in 0..CHAINS {
            let x = load::<V>(proof, &x[k * V::COUNT..][..V::COUNT]);
            (most[k], least[k]) = (x.max(most[k]), x.min(least[k]));
            // Zero times what is not finite is no number.
            bad[k] = x.mul_add(zero, bad[k]);
        }
    }
    for k in 1..CHAINS {
        most[0] = most[k].max(most[0]);
        least[0] = least[k].min(least[0]);
        bad[0] = bad[k].add(bad[0]);
    }
    let mut found = [0.0; STRIP];
    // SAFETY: no vector has more lanes than a strip has numbers.
    unsafe { zero.sub(least[0]).max(most[0]).store(found.as_mut_ptr()) };
    let rest = runs.remainder().iter().map(|x| (x.abs(), 0.0 * x));
    let (largest, bad) = rest.fold((0.0_f32, bad[0].total()), |(most, bad), (x, next)| {
        (if x > most { x } else { most }, bad + next)
    });
    if bad.is_nan() { f32::NAN } else { found.into_iter().fold(largest, f32::max) }
}
