//! Ranges of groups on vector units, from the extremes and as they are stored: a group in each lane.

use super::{MAGIC, Task, ZeroPoint};
use crate::simd::{Half, Lanes};

/// A range of numbers in equal steps.
#[derive(Clone, Copy)]
pub(super) struct Plain<V> {
    pub(super) least: V,
    pub(super) step: V,
    /// The minimum, or the code of zero.
    pub(super) zero: V,
}

/// The scale and the zero point as they are stored.
#[inline(always)]
pub(super) fn store<V: Half>(proof: V::Proof, task: Task, plain: Plain<V>) -> [V; 2] {
    if !task.is_half {
        return [plain.step, plain.zero];
    }
    let most = V::splat(proof, half::f16::MAX.to_f32_const());
    let least = V::splat(proof, -half::f16::MAX.to_f32_const());
    let step = plain.step.max(least).min(most).to_half();
    let is_float = task.zero_point == ZeroPoint::Float;
    [step, if is_float { plain.zero.max(least).min(most).to_half() } else { plain.zero }]
}

/// 1/scale, or 0 for a scale that is too small.
#[inline(always)]
pub(super) fn inverse<V: Half>(proof: V::Proof, scale: V) -> V {
    let (zero, one) = (V::splat(proof, 0.0), V::splat(proof, 1.0));
    let magnitude = scale.max(zero.sub(scale));
    magnitude.select_less(V::splat(proof, f32::MIN_POSITIVE), zero, one.div(scale))
}

/// The range from the least to the greatest number.
#[inline(always)]
pub(super) fn min_max<V: Half>(proof: V::Proof, task: Task, x: &[f32]) -> Plain<V> {
    let mut least = V::splat(proof, f32::INFINITY);
    let mut greatest = V::splat(proof, f32::NEG_INFINITY);
    for x in x.chunks_exact(V::COUNT) {
        let x = load::<V>(proof, x);
        (least, greatest) = (x.min(least), x.max(greatest));
    }
    range(proof, task, least, greatest)
}

/// The range with these ends; of integer zero points, with zero in it; of symmetric ones, with zero in its middle.
#[inline(always)]
pub(super) fn range<V: Half>(proof: V::Proof, task: Task, least: V, greatest: V) -> Plain<V> {
    let zero = V::splat(proof, 0.0);
    // A zero is the positive one.
    let (mut least, mut greatest) = (least.add(zero), greatest.add(zero));
    if task.zero_point == ZeroPoint::Symmetric {
        greatest = zero.sub(least).max(greatest);
        least = zero.sub(greatest);
    } else if task.zero_point == ZeroPoint::Integer {
        (least, greatest) = (least.min(zero), greatest.max(zero));
    }
    let half = V::splat(proof, 0.5);
    let steps = task.steps();
    let step = half.mul(greatest).sub(half.mul(least)).div(V::splat(proof, 0.5 * steps));
    let zero = match task.zero_point {
        ZeroPoint::Symmetric => V::splat(proof, 0.5 * (steps + 1.0)),
        ZeroPoint::Float => least,
        ZeroPoint::Integer => {
            let code = whole(proof, zero.sub(least).mul(inverse(proof, step)));
            code.max(zero).min(V::splat(proof, steps))
        }
    };
    Plain { least, step, zero }
}

/// The nearest whole number, halves to even.
#[inline(always)]
pub(super) fn whole<V: Half>(proof: V::Proof, x: V) -> V {
    let magic = V::splat(proof, MAGIC);
    x.add(magic).sub(magic)
}

/// A whole vector.
#[inline(always)]
pub(super) fn load<V: Lanes>(proof: V::Proof, x: &[V::Element]) -> V {
    assert_eq!(x.len(), V::COUNT, "a whole vector");
    // SAFETY: `x` has as many elements as the vector has lanes.
    unsafe { V::load(proof, x.as_ptr()) }
}

/// Writes a whole vector.
#[inline(always)]
pub(super) fn write<V: Lanes>(vector: V, y: &mut [V::Element]) {
    assert_eq!(y.len(), V::COUNT, "a whole vector");
    // SAFETY: `y` has as many elements as the vector has lanes.
    unsafe { vector.store(y.as_mut_ptr()) }
}
