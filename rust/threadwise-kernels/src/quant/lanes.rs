//! Scales and zero points on vector units: a group in each lane, so that nothing is summed across lanes.
//!
//! Twin of `scalar`: the same operations in the same order. The numbers of as many groups as there are lanes lie in a
//! *tile*, transposed: number j of all groups, then number j + 1 of all.

use super::ranges::{Plain, inverse, load, min_max, store, whole, write};
use super::{
    CHUNK, CUT, FINE_CUTS, LEVELS, MAGIC, Method, NEIGHBORS, PROJECTIONS, REFINEMENTS,
    SYMMETRIC_CUTS, Task, ZeroPoint,
};
use crate::simd::Half;

/// The best trial so far.
#[derive(Clone, Copy)]
struct Best<V> {
    gain: V,
    scale: V,
    zero: V,
}

/// Three sums over codes q: Σw·q, Σw·q², Σw·u·q.
type Sums<V> = [V; 3];

/// Finds the parameters of the groups of a tile. `u` is room for another tile; `w` is the tile of weights, or any.
#[inline(always)]
pub(super) fn fit<V: Half, const W: bool, const K: usize>(
    proof: V::Proof,
    task: Task,
    x: &[f32],
    u: &mut [f32],
    w: &[f32],
) -> [V; 2] {
    let plain = min_max::<V>(proof, task, x);
    let stored = store(proof, task, plain);
    if task.method == Method::MinMax {
        return stored;
    }
    let is_float = task.zero_point == ZeroPoint::Float;
    let zero = V::splat(proof, 0.0);
    let inverse = inverse(proof, plain.step);
    let (base, begin) =
        if is_float { (plain.least, zero) } else { (zero, plain.least.mul(inverse)) };
    let [total, moment] = moments::<V, W>(proof, x, u, w, base, inverse);
    let steps = task.steps();
    let first = if is_float { zero } else { plain.zero };
    let best = Best { gain: zero, scale: V::splat(proof, 1.0), zero: first };
    let mut search = Search::<V, W, K> { proof, is_float, steps, u, w, total, moment, best };
    if task.zero_point == ZeroPoint::Symmetric {
        search.try_scales();
    } else {
        search.try_cuts(begin);
    }
    for _ in 0..REFINEMENTS {
        let factor = V::splat(proof, 1.0).div(search.best.scale);
        let offset =
            if is_float { zero.sub(search.best.zero.mul(factor)) } else { search.best.zero };
        let sums = search.sums([factor], [offset]);
        search.judge(sums[0], offset);
    }
    if task.zero_point == ZeroPoint::Symmetric {
        search.project();
    }
    let best = search.best;
    let found = Plain {
        least: plain.least,
        step: plain.step.mul(best.scale),
        zero: if is_float { plain.step.mul_add(best.zero, plain.least) } else { best.zero },
    };
    let found = store(proof, task, found);
    let [worse, better] = errors::<V, W>(proof, task, x, w, inverse, [stored, found]);
    [better.select_less(worse, found[0], stored[0]), better.select_less(worse, found[1], stored[1])]
}

/// Writes the numbers in steps, and returns Σw and Σw·u.
#[inline(always)]
fn moments<V: Half, const W: bool>(
    proof: V::Proof,
    x: &[f32],
    u: &mut [f32],
    w: &[f32],
    base: V,
    inverse: V,
) -> [V; 2] {
    let one = V::splat(proof, 1.0);
    let mut totals = [V::splat(proof, 0.0); 2];
    let size = CHUNK * V::COUNT;
    for ((x, u), w) in x.chunks(size).zip(u.chunks_mut(size)).zip(w.chunks(size)) {
        let mut sums = [V::splat(proof, 0.0); 2];
        let numbers = x.chunks_exact(V::COUNT).zip(w.chunks_exact(V::COUNT));
        for ((x, w), to) in numbers.zip(u.chunks_exact_mut(V::COUNT)) {
            let u = load::<V>(proof, x).sub(base).mul(inverse);
            write(u, to);
            let w = if W { load::<V>(proof, w) } else { one };
            sums = [sums[0].add(w), w.mul_add(u, sums[1])];
        }
        totals = [totals[0].add(sums[0]), totals[1].add(sums[1])];
    }
    totals
}

/// Σw·error² of two choices, in steps, as it will be.
#[inline(always)]
fn errors<V: Half, const W: bool>(
    proof: V::Proof,
    task: Task,
    x: &[f32],
    w: &[f32],
    unit: V,
    choices: [[V; 2]; 2],
) -> [V; 2] {
    let is_float = task.zero_point == ZeroPoint::Float;
    let (zero, magic) = (V::splat(proof, 0.0), V::splat(proof, MAGIC));
    let most = V::splat(proof, MAGIC + task.steps());
    let inverses = [inverse(proof, choices[0][0]), inverse(proof, choices[1][0])];
    let mut totals = [zero; 2];
    let size = CHUNK * V::COUNT;
    for (x, w) in x.chunks(size).zip(w.chunks(size)) {
        let mut sums = [zero; 2];
        for (x, w) in x.chunks_exact(V::COUNT).zip(w.chunks_exact(V::COUNT)) {
            let x = load::<V>(proof, x);
            for i in 0..2 {
                let [scale, offset] = choices[i];
                let (minimum, from) = if is_float { (offset, zero) } else { (zero, offset) };
                let shifted = x.sub(minimum).mul_add(inverses[i], magic.add(from));
                let code = shifted.max(magic).min(most).sub(magic);
                let value = if is_float {
                    code.mul_add(scale, offset)
                } else {
                    code.sub(offset).mul(scale)
                };
                let error = value.sub(x).mul(unit);
                let weighted = if W { load::<V>(proof, w).mul(error) } else { error };
                sums[i] = weighted.mul_add(error, sums[i]);
            }
        }
        totals = [totals[0].add(sums[0]), totals[1].add(sums[1])];
    }
    totals
}

/// The search for the least error, `K` trials at a time.
struct Search<'a, V: Half, const W: bool, const K: usize> {
    proof: V::Proof,
    is_float: bool,
    steps: f32,
    u: &'a [f32],
    w: &'a [f32],
    total: V,
    moment: V,
    best: Best<V>,
}

impl<V: Half, const W: bool, const K: usize> Search<'_, V, W, K> {
    #[inline(always)]
    fn splat(&self, x: f32) -> V {
        V::splat(self.proof, x)
    }

    /// Ranges that are shorter at either end, or a little longer, in ever finer steps around the best.
    #[inline(always)]
    fn try_cuts(&mut self, begin: V) {
        let mut reach = CUT * self.steps;
        let mut center = [self.splat(reach); 2];
        let (factor, offset) = self.cut(center, begin);
        let sums = self.sums([factor], [offset]);
        self.judge(sums[0], offset);
        for _ in 0..LEVELS {
            let mut better = center;
            let far = self.splat(reach);
            for some in NEIGHBORS.chunks_exact(K) {
                let (mut cuts, mut factors, mut offsets) = ([center; K], [far; K], [far; K]);
                for (k, [i, j]) in some.iter().enumerate() {
                    let below = self.splat(*i).mul_add(far, center[0]);
                    cuts[k] = [below, self.splat(*j).mul_add(far, center[1])];
                    (factors[k], offsets[k]) = self.cut(cuts[k], begin);
                }
                let sums = self.sums(factors, offsets);
                for k in 0..K {
                    let before = self.best.gain;
                    self.judge(sums[k], offsets[k]);
                    for end in 0..2 {
                        better[end] = before.select_less(self.best.gain, cuts[k][end], better[end]);
                    }
                }
            }
            center = better;
            reach *= 0.5;
        }
    }

    /// Factor and offset of a range that is so many steps shorter at its ends.
    #[inline(always)]
    fn cut(&self, [below, above]: [V; 2], begin: V) -> (V, V) {
        let (zero, steps) = (self.splat(0.0), self.splat(self.steps));
        let factor = steps.div(steps.sub(below).sub(above));
        let offset = zero.sub(below).sub(begin).mul(factor);
        if self.is_float {
            (factor, offset)
        } else {
            (factor, whole(self.proof, offset).max(zero).min(steps))
        }
    }

    /// Scales of either sign, then some around the best.
    #[inline(always)]
    fn try_scales(&mut self) {
        let (zero, one) = (self.best.zero, self.splat(1.0));
        let mut best = one;
        for some in SYMMETRIC_CUTS.chunks_exact(K / 2) {
            let mut factors = [one; K];
            for (k, cut) in some.iter().enumerate() {
                factors[2 * k] = self.splat(1.0 / (1.0 - cut));
                factors[2 * k + 1] = self.splat(-1.0 / (1.0 - cut));
            }
            let sums = self.sums(factors, [zero; K]);
            for k in 0..K {
                let before = self.best.gain;
                self.judge(sums[k], zero);
                best = before.select_less(self.best.gain, factors[k], best);
            }
        }
        let magnitude = best.max(self.splat(0.0).sub(best));
        for some in FINE_CUTS.chunks_exact(K) {
            let mut factors = [one; K];
            for (factor, part) in factors.iter_mut().zip(some) {
                *factor = best.div(self.splat(*part).mul_add(magnitude, one));
            }
            let sums = self.sums(factors, [zero; K]);
            for sums in sums {
                self.judge(sums, zero);
            }
        }
    }

    /// Lengthens the steps until Σw·u·value is Σw·u², for the codes of the steps before.
    #[inline(always)]
    fn project(&mut self) {
        let (zero, one) = (self.splat(0.0), self.splat(1.0));
        let mut square = zero;
        let size = CHUNK * V::COUNT;
        for (u, w) in self.u.chunks(size).zip(self.w.chunks(size)) {
            let mut sum = zero;
            for (u, w) in u.chunks_exact(V::COUNT).zip(w.chunks_exact(V::COUNT)) {
                let u = load::<V>(self.proof, u);
                let weighted = if W { load::<V>(self.proof, w).mul(u) } else { u };
                sum = weighted.mul_add(u, sum);
            }
            square = square.add(sum);
        }
        for _ in 0..PROJECTIONS {
            let [[.., sum_uq]] = self.sums([one.div(self.best.scale)], [self.best.zero]);
            let magnitude = sum_uq.max(zero.sub(sum_uq));
            self.best.scale = zero.select_less(magnitude, square.div(sum_uq), self.best.scale);
        }
    }

    /// The sums over the codes u·factor + offset.
    #[inline(always)]
    fn sums<const N: usize>(&self, factors: [V; N], offsets: [V; N]) -> [Sums<V>; N] {
        if self.is_float {
            self.float_sums(factors, offsets)
        } else {
            self.code_sums(factors, offsets)
        }
    }

    #[inline(always)]
    fn float_sums<const N: usize>(&self, factors: [V; N], offsets: [V; N]) -> [Sums<V>; N] {
        let (zero, magic) = (self.splat(0.0), self.splat(MAGIC));
        let most = self.splat(self.steps);
        let mut totals = [[zero; 3]; N];
        let size = CHUNK * V::COUNT;
        for (u, w) in self.u.chunks(size).zip(self.w.chunks(size)) {
            let mut sums = [[zero; 3]; N];
            for (u, w) in u.chunks_exact(V::COUNT).zip(w.chunks_exact(V::COUNT)) {
                let u = load::<V>(self.proof, u);
                for k in 0..N {
                    let code = u.mul_add(factors[k], offsets[k]).max(zero).min(most);
                    let code = code.add(magic).sub(magic);
                    let weighted = if W { load::<V>(self.proof, w).mul(code) } else { code };
                    sums[k] = [
                        sums[k][0].add(weighted),
                        weighted.mul_add(code, sums[k][1]),
                        weighted.mul_add(u, sums[k][2]),
                    ];
                }
            }
            add(&mut totals, &sums);
        }
        totals
    }

    #[inline(always)]
    fn code_sums<const N: usize>(&self, factors: [V; N], offsets: [V; N]) -> [Sums<V>; N] {
        let (zero, magic) = (self.splat(0.0), self.splat(MAGIC));
        let most = self.splat(MAGIC + self.steps);
        let mut shifts = [magic; N];
        for (shift, offset) in shifts.iter_mut().zip(offsets) {
            *shift = magic.add(offset);
        }
        let mut totals = [[zero; 3]; N];
        let size = CHUNK * V::COUNT;
        for (u, w) in self.u.chunks(size).zip(self.w.chunks(size)) {
            let mut sums = [[zero; 3]; N];
            for (u, w) in u.chunks_exact(V::COUNT).zip(w.chunks_exact(V::COUNT)) {
                let u = load::<V>(self.proof, u);
                for k in 0..N {
                    let code = u.mul_add(factors[k], shifts[k]).max(magic).min(most);
                    let code = code.sub(shifts[k]);
                    let weighted = if W { load::<V>(self.proof, w).mul(code) } else { code };
                    sums[k][1] = weighted.mul_add(code, sums[k][1]);
                    sums[k][2] = weighted.mul_add(u, sums[k][2]);
                }
            }
            add(&mut totals, &sums);
        }
        totals
    }

    /// Keeps a trial where it gains more than the best: its least squares are computed from its sums.
    #[inline(always)]
    fn judge(&mut self, [sum_q, sum_qq, sum_uq]: Sums<V>, offset: V) {
        let zero = self.splat(0.0);
        let (numerator, denominator) = if self.is_float {
            let denominator = self.total.mul_add(sum_qq, zero.sub(sum_q.mul(sum_q)));
            (self.total.mul_add(sum_uq, zero.sub(sum_q.mul(self.moment))), denominator)
        } else {
            (sum_uq, sum_qq)
        };
        let scale = numerator.div(denominator);
        let gain = zero.select_less(denominator, numerator.mul(scale), zero);
        let minimum =
            if self.is_float { self.moment.sub(scale.mul(sum_q)).div(self.total) } else { offset };
        let before = self.best.gain;
        self.best = Best {
            gain: before.select_less(gain, gain, before),
            scale: before.select_less(gain, scale, self.best.scale),
            zero: before.select_less(gain, minimum, self.best.zero),
        };
    }
}

#[inline(always)]
fn add<V: Half, const N: usize>(totals: &mut [Sums<V>; N], sums: &[Sums<V>; N]) {
    for (total, sums) in totals.iter_mut().zip(sums) {
        for (total, sum) in total.iter_mut().zip(sums) {
            *total = total.add(*sum);
        }
    }
}
