//! The definition, group by group.

use super::{Task, ZeroPoint, stored};

/// Adding it rounds a number of magnitude below 2²² to the nearest whole one, halves to even.
const MAGIC: f32 = 12_582_912.0; // 1.5·2²³

/// The largest magnitude, or the index of the first number that is not finite.
pub(super) fn largest(x: &[f32]) -> Result<f32, usize> {
    match x.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(index),
        None => Ok(x.iter().fold(0.0, |largest, x| x.abs().max(largest))),
    }
}

/// Scale and zero point from the least and the greatest number.
fn min_max(task: Task, x: &[f32]) -> (f32, f32) {
    let mut least = x.iter().copied().fold(f32::INFINITY, f32::min);
    let mut greatest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let steps = task.bits.largest() as f32;
    if task.zero_point == ZeroPoint::Symmetric {
        greatest = greatest.max(-least);
        least = -greatest;
    } else if task.zero_point == ZeroPoint::Integer {
        (least, greatest) = (least.min(0.0), greatest.max(0.0));
    }
    // In halves, so that nothing overflows.
    let scale = stored((0.5 * greatest - 0.5 * least) / (0.5 * steps), task.is_half);
    let zero = match task.zero_point {
        ZeroPoint::Symmetric => 0.5 * (steps + 1.0),
        ZeroPoint::Float => stored(least, task.is_half),
        ZeroPoint::Integer => ((-least * inverse(scale) + MAGIC) - MAGIC).clamp(0.0, steps),
    };
    (scale, zero)
}

/// 1/scale, or 0 for a scale that is too small.
fn inverse(scale: f32) -> f32 {
    if scale.abs() < f32::MIN_POSITIVE { 0.0 } else { 1.0 / scale }
}

/// Scale and zero point of a group.
pub(super) fn fit(task: Task, x: &[f32], _importance: Option<&[f32]>) -> (f32, f32) {
    min_max(task, x)
}

/// The codes of a group.
#[expect(
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "twins fuse; codes are small"
)]
pub(super) fn encode(task: Task, x: &[f32], scale: f32, zero: f32, codes: &mut [u8]) {
    let inverse = inverse(scale);
    let steps = task.bits.largest() as f32;
    let (minimum, zero) = match task.zero_point {
        ZeroPoint::Float => (zero, 0.0),
        ZeroPoint::Symmetric | ZeroPoint::Integer => (0.0, zero),
    };
    for (x, code) in x.iter().zip(codes) {
        let shifted = (x - minimum).mul_add(inverse, MAGIC + zero);
        *code = (shifted.clamp(MAGIC, MAGIC + steps) - MAGIC) as u8;
    }
}

/// The values of a group.
#[expect(clippy::disallowed_methods, reason = "twins fuse")]
pub(super) fn decode(
    zero_point: ZeroPoint,
    codes: &[u8],
    scale: f32,
    zero: f32,
    values: &mut [f32],
) {
    for (&code, value) in codes.iter().zip(values) {
        let code = f32::from(code);
        *value = match zero_point {
            ZeroPoint::Float => code.mul_add(scale, zero),
            ZeroPoint::Symmetric | ZeroPoint::Integer => (code - zero) * scale,
        };
    }
}
