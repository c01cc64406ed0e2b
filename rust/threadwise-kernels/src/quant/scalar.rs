//! The definition, group by group. Its twins do the same operations in the same order, fused where it fuses, so that
//! all instruction sets give the same bits.

#![expect(clippy::disallowed_methods, reason = "a call without FMA, but the same bits as with it")]

use half::f16;

use super::{
    CHUNK, CUT, LEVELS, MAGIC, NEIGHBORS, PROJECTIONS, REFINEMENTS, SYMMETRIC_CUTS, Task, ZeroPoint,
};

/// The largest magnitude, or the index of the first number that is not finite.
pub(super) fn largest(x: &[f32]) -> Result<f32, usize> {
    match x.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(index),
        None => Ok(x.iter().fold(0.0, |largest, x| larger(x.abs(), largest))),
    }
}

/// Scale and zero point of a group.
pub(super) fn fit(task: Task, x: &[f32], importance: Option<&[f32]>) -> (f32, f32) {
    let plain = min_max(task, x);
    match task.method {
        super::Method::MinMax => plain.stored(task),
        super::Method::Mse => Search::new(task, x, importance, plain).run(plain),
    }
}

/// The codes of a row.
pub(super) fn encode(
    task: Task,
    group: usize,
    x: &[f32],
    scales: &[f32],
    zeros: &[f32],
    codes: &mut [u8],
) {
    for (j, (x, code)) in x.iter().zip(codes).enumerate() {
        let (scale, zero) = (scales[j / group], zeros[j / group]);
        *code = small(code_of(task, *x, inverse(scale), zero));
    }
}

/// The values of a row.
pub(super) fn decode(
    zero_point: ZeroPoint,
    group: usize,
    codes: &[u8],
    scales: &[f32],
    zeros: &[f32],
    values: &mut [f32],
) {
    for (j, (code, value)) in codes.iter().zip(values).enumerate() {
        *value = value_of(zero_point, f32::from(*code), scales[j / group], zeros[j / group]);
    }
}

/// A code, as a number.
fn code_of(task: Task, x: f32, inverse: f32, zero: f32) -> f32 {
    let (minimum, zero) = match task.zero_point {
        ZeroPoint::Float => (zero, 0.0),
        ZeroPoint::Symmetric | ZeroPoint::Integer => (0.0, zero),
    };
    let shifted = (x - minimum).mul_add(inverse, MAGIC + zero);
    smaller(larger(shifted, MAGIC), MAGIC + task.steps()) - MAGIC
}

/// What a code stands for.
#[inline(always)]
pub(super) fn value_of(zero_point: ZeroPoint, code: f32, scale: f32, zero: f32) -> f32 {
    match zero_point {
        ZeroPoint::Float => code.mul_add(scale, zero),
        ZeroPoint::Symmetric | ZeroPoint::Integer => (code - zero) * scale,
    }
}

/// 1/scale, or 0 for a scale that is too small.
#[inline(always)]
pub(super) fn inverse(scale: f32) -> f32 {
    if scale.abs() < f32::MIN_POSITIVE { 0.0 } else { 1.0 / scale }
}

/// The larger of both; `b` where either is no number.
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The smaller of both; `b` where either is no number.
fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The nearest whole number, halves to even.
fn whole(x: f32) -> f32 {
    (x + MAGIC) - MAGIC
}

/// A whole number from 0 to 255.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a code")]
fn small(x: f32) -> u8 {
    x as u8
}

/// The nearest number that is stored: of float16 that is finite, or of float32.
fn stored(x: f32, is_half: bool) -> f32 {
    if !is_half {
        return x;
    }
    let most = f16::MAX.to_f32();
    f16::from_f32(smaller(larger(x, -most), most)).to_f32()
}

/// A range of numbers in equal steps, before anything is rounded for storage.
#[derive(Clone, Copy)]
struct Plain {
    least: f32,
    step: f32,
    /// The minimum, or the code of zero.
    zero: f32,
}

impl Plain {
    fn stored(self, task: Task) -> (f32, f32) {
        let zero = match task.zero_point {
            ZeroPoint::Float => stored(self.zero, task.is_half),
            ZeroPoint::Symmetric | ZeroPoint::Integer => self.zero,
        };
        (stored(self.step, task.is_half), zero)
    }
}

/// The range from the least to the greatest number; of integer zero points, with zero in it; of symmetric ones, with
/// zero in its middle.
fn min_max(task: Task, x: &[f32]) -> Plain {
    // A zero is the positive one.
    let mut least = x.iter().fold(f32::INFINITY, |least, x| smaller(*x, least)) + 0.0;
    let mut greatest = x.iter().fold(f32::NEG_INFINITY, |most, x| larger(*x, most)) + 0.0;
    match task.zero_point {
        ZeroPoint::Float => {}
        ZeroPoint::Symmetric => {
            greatest = larger(0.0 - least, greatest);
            least = 0.0 - greatest;
        }
        ZeroPoint::Integer => (least, greatest) = (smaller(least, 0.0), larger(greatest, 0.0)),
    }
    let steps = task.steps();
    // In halves, so that nothing overflows.
    let step = (0.5 * greatest - 0.5 * least) / (0.5 * steps);
    let zero = match task.zero_point {
        ZeroPoint::Symmetric => 0.5 * (steps + 1.0),
        ZeroPoint::Float => least,
        ZeroPoint::Integer => smaller(larger(whole((0.0 - least) * inverse(step)), 0.0), steps),
    };
    Plain { least, step, zero }
}

/// Σ over the group, summed in chunks.
fn sum(length: usize, term: impl Fn(usize, f32) -> f32) -> f32 {
    let mut total = 0.0;
    for first in (0..length).step_by(CHUNK) {
        let last = length.min(first + CHUNK);
        total += (first..last).fold(0.0, |sum, j| term(j, sum));
    }
    total
}

/// The search for the least error, in units of the step from the extremes.
struct Search<'a> {
    task: Task,
    x: &'a [f32],
    weights: Option<&'a [f32]>,
    inverse: f32,
    /// Numbers in steps, from the least on, or from zero.
    u: Vec<f32>,
    /// Where the range begins, in steps.
    begin: f32,
    /// Σw and Σw·u.
    total: f32,
    first_moment: f32,
    best: Best,
}

/// The best trial so far: what it gains, its scale in steps, and its minimum in steps, or its code of zero.
#[derive(Clone, Copy)]
struct Best {
    gain: f32,
    scale: f32,
    zero: f32,
}

impl<'a> Search<'a> {
    fn new(task: Task, x: &'a [f32], weights: Option<&'a [f32]>, plain: Plain) -> Self {
        let inverse = inverse(plain.step);
        let is_float = task.zero_point == ZeroPoint::Float;
        let base = if is_float { plain.least } else { 0.0 };
        let begin = if is_float { 0.0 } else { plain.least * inverse };
        let u = x.iter().map(|x| (x - base) * inverse).collect();
        let zero = if is_float { 0.0 } else { plain.zero };
        let best = Best { gain: 0.0, scale: 1.0, zero };
        let mut search =
            Self { task, x, weights, inverse, u, begin, total: 0.0, first_moment: 0.0, best };
        search.total = sum(x.len(), |j, sum| sum + search.weight(j));
        search.first_moment = sum(x.len(), |j, sum| search.weight(j).mul_add(search.u[j], sum));
        search
    }

    fn weight(&self, j: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights[j])
    }

    fn run(mut self, plain: Plain) -> (f32, f32) {
        match self.task.zero_point {
            ZeroPoint::Symmetric => self.try_scales(),
            ZeroPoint::Float | ZeroPoint::Integer => self.try_cuts(),
        }
        for _ in 0..REFINEMENTS {
            let factor = 1.0 / self.best.scale;
            let offset = match self.task.zero_point {
                ZeroPoint::Float => 0.0 - self.best.zero * factor,
                ZeroPoint::Symmetric | ZeroPoint::Integer => self.best.zero,
            };
            self.attempt(factor, offset);
        }
        if self.task.zero_point == ZeroPoint::Symmetric {
            self.project();
        }
        let Best { scale, zero, .. } = self.best;
        let zero = match self.task.zero_point {
            ZeroPoint::Float => plain.step.mul_add(zero, plain.least),
            ZeroPoint::Symmetric | ZeroPoint::Integer => zero,
        };
        let found = Plain { step: plain.step * scale, zero, ..plain }.stored(self.task);
        let plain = plain.stored(self.task);
        if self.error(found) < self.error(plain) { found } else { plain }
    }

    /// Tries ranges that are shorter at either end, or a little longer, in ever finer steps around the best.
    fn try_cuts(&mut self) {
        let steps = self.task.steps();
        let mut reach = CUT * steps;
        let mut center = [reach, reach];
        self.attempt_cut(center);
        for _ in 0..LEVELS {
            let mut better = center;
            for [i, j] in NEIGHBORS {
                let cut = [i.mul_add(reach, center[0]), j.mul_add(reach, center[1])];
                if self.attempt_cut(cut) {
                    better = cut;
                }
            }
            center = better;
            reach *= 0.5;
        }
    }

    /// Tries a range that is so many steps shorter at its ends.
    fn attempt_cut(&mut self, [below, above]: [f32; 2]) -> bool {
        let steps = self.task.steps();
        let factor = steps / (steps - below - above);
        let offset = (0.0 - below - self.begin) * factor;
        let offset = match self.task.zero_point {
            ZeroPoint::Float => offset,
            _ => smaller(larger(whole(offset), 0.0), steps),
        };
        self.attempt(factor, offset)
    }

    /// Tries scales of either sign, then some around the best.
    fn try_scales(&mut self) {
        let zero = self.best.zero;
        let mut best = 1.0;
        for &cut in &SYMMETRIC_CUTS {
            for sign in [1.0, -1.0] {
                let factor = sign / (1.0 - cut);
                if self.attempt(factor, zero) {
                    best = factor;
                }
            }
        }
        for part in super::FINE_CUTS {
            self.attempt(best / part.mul_add(best.abs(), 1.0), zero);
        }
    }

    /// Lengthens the steps until Σw·u·value is Σw·u², for the codes of the steps before.
    fn project(&mut self) {
        let n = self.u.len();
        let square = sum(n, |j, sum| (self.weight(j) * self.u[j]).mul_add(self.u[j], sum));
        for _ in 0..PROJECTIONS {
            let codes = self.codes(1.0 / self.best.scale, self.best.zero);
            let sum_uq = sum(n, |j, sum| (self.weight(j) * codes[j]).mul_add(self.u[j], sum));
            if 0.0 < sum_uq.abs() {
                self.best.scale = square / sum_uq;
            }
        }
    }

    /// The numbers rounded to codes, u·factor + offset; from the code of zero on, if there is one.
    fn codes(&self, factor: f32, offset: f32) -> Vec<f32> {
        let is_float = self.task.zero_point == ZeroPoint::Float;
        let steps = self.task.steps();
        let code = |u: &f32| {
            if is_float {
                whole(smaller(larger(u.mul_add(factor, offset), 0.0), steps))
            } else {
                let shifted = u.mul_add(factor, MAGIC + offset);
                smaller(larger(shifted, MAGIC), MAGIC + steps) - (MAGIC + offset)
            }
        };
        self.u.iter().map(code).collect()
    }

    /// Rounds the numbers to codes, and finds the best scale and minimum for these codes.
    fn attempt(&mut self, factor: f32, offset: f32) -> bool {
        let is_float = self.task.zero_point == ZeroPoint::Float;
        let codes = self.codes(factor, offset);
        let n = codes.len();
        let sum_q = sum(n, |j, sum| sum + self.weight(j) * codes[j]);
        let sum_qq = sum(n, |j, sum| (self.weight(j) * codes[j]).mul_add(codes[j], sum));
        let sum_uq = sum(n, |j, sum| (self.weight(j) * codes[j]).mul_add(self.u[j], sum));
        let (numerator, denominator) = if is_float {
            let denominator = self.total.mul_add(sum_qq, 0.0 - sum_q * sum_q);
            (self.total.mul_add(sum_uq, 0.0 - sum_q * self.first_moment), denominator)
        } else {
            (sum_uq, sum_qq)
        };
        let scale = numerator / denominator;
        let gain = if 0.0 < denominator { numerator * scale } else { 0.0 };
        if self.best.gain < gain {
            let zero = (self.first_moment - scale * sum_q) / self.total;
            self.best = Best { gain, scale, zero: if is_float { zero } else { offset } };
            true
        } else {
            false
        }
    }

    /// Σw·error² in steps, as it will be.
    fn error(&self, (scale, zero): (f32, f32)) -> f32 {
        let inverse = inverse(scale);
        sum(self.x.len(), |j, sum| {
            let code = code_of(self.task, self.x[j], inverse, zero);
            let value = value_of(self.task.zero_point, code, scale, zero);
            let error = (value - self.x[j]) * self.inverse;
            (self.weight(j) * error).mul_add(error, sum)
        })
    }
}
