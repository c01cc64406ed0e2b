//! A row is added to another, and the sum is scaled to unit root mean square, in one pass over them.

use super::scalar;
use crate::Isa;
use crate::simd::portable::Portable;
use crate::simd::slices::{load, load_first, write, write_first};
use crate::simd::{Arithmetic, Element};
#[cfg(target_arch = "x86_64")]
use crate::simd::{avx2::F32x8, avx512::F32x16};
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512};

/// `(x, delta, weight, eps, y)`.
///
/// # Safety
///
/// The CPU has the instruction set of the function.
type AddFn = unsafe fn(&mut [f32], &[f32], &[f32], f64, &mut [f32]);

/// The kernel on one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct AddRmsNorm {
    row: AddFn,
}

impl AddRmsNorm {
    /// The kernel on `isa`.
    #[must_use]
    pub fn new(isa: Isa) -> Self {
        let row: AddFn = match isa {
            Isa::Scalar => portable,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => avx2,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) | Isa::Amx(_) => avx512,
        };
        Self { row }
    }

    /// xⱼ += δⱼ, then yⱼ = wⱼ·xⱼ/√(Σₖ xₖ²/d + ε): the sum is rounded once, and the rest is as the module says of
    /// [`RmsNorm`](super::RmsNorm).
    ///
    /// # Panics
    ///
    /// If the slices differ in length.
    pub fn row(&self, x: &mut [f32], delta: &[f32], weight: &[f32], eps: f64, y: &mut [f32]) {
        let lengths = [delta.len(), weight.len(), y.len()];
        assert_eq!(lengths, [x.len(); 3], "a number of each for each element");
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.row)(x, delta, weight, eps, y) }
    }
}

#[inline(always)]
fn add_rms_norm<V: Arithmetic<Element = f32>>(
    proof: V::Proof,
    x: &mut [f32],
    delta: &[f32],
    weight: &[f32],
    eps: f64,
    y: &mut [f32],
) {
    let whole = x.len() - x.len() % V::COUNT;
    // Two sums side by side, each of every second vector.
    let mut sums = [V::splat(proof, 0.0); 2];
    let (head, tail) = x.split_at_mut(whole);
    for (x, delta) in head.chunks_exact_mut(V::COUNT).zip(delta.chunks_exact(V::COUNT)) {
        let total = load::<V>(proof, x).add(load(proof, delta));
        write(total, x);
        sums = [sums[1], total.mul_add(total, sums[0])];
    }
    let total = load_first::<V>(proof, tail).add(load_first(proof, &delta[whole..]));
    write_first(proof, total, tail);
    let sum = total.mul_add(total, sums[0].add(sums[1])).total();
    let sum = sum.to_f64();
    let root = if sum.is_finite() {
        (sum / x.len() as f64 + eps).sqrt()
    } else {
        scalar::root_mean_square(x, eps)
    };
    let root = V::splat(proof, f32::from_f64(root));
    let (x, x_tail) = x.split_at(whole);
    let (weight, weight_tail) = weight.split_at(whole);
    let (y, y_tail) = y.split_at_mut(whole);
    let rows = x.chunks_exact(V::COUNT).zip(weight.chunks_exact(V::COUNT));
    for ((x, w), y) in rows.zip(y.chunks_exact_mut(V::COUNT)) {
        write(load::<V>(proof, x).div(root).mul(load(proof, w)), y);
    }
    let last = load_first::<V>(proof, x_tail).div(root);
    write_first(proof, last.mul(load_first(proof, weight_tail)), y_tail);
}

/// # Safety
///
/// Nothing is asked of the CPU: it is unsafe only to have the type of the others.
unsafe fn portable(x: &mut [f32], delta: &[f32], weight: &[f32], eps: f64, y: &mut [f32]) {
    add_rms_norm::<Portable<f32, 4>>((), x, delta, weight, eps, y);
}

/// # Safety
///
/// The CPU has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(x: &mut [f32], delta: &[f32], weight: &[f32], eps: f64, y: &mut [f32]) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx2::assume() };
    add_rms_norm::<F32x8>(proof, x, delta, weight, eps, y);
}

/// # Safety
///
/// The CPU has AVX-512 F, BW, DQ and VL.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn avx512(x: &mut [f32], delta: &[f32], weight: &[f32], eps: f64, y: &mut [f32]) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx512::assume() };
    add_rms_norm::<F32x16>(proof, x, delta, weight, eps, y);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "the inputs are of this type")]
    fn every_twin_adds_and_norms_within_the_rounding_bound() {
        for d in (0..=67_usize).chain([127, 128, 129, 1000]) {
            for size in [1.0, 3e38] {
                let wave = |seed: f64, size: f64| {
                    let at = move |j: usize| ((j as f64 * 1.7 + seed).sin() * size) as f32;
                    (0..d).map(at).collect::<Vec<_>>()
                };
                let (x, delta, weight) = (wave(0.3, size), wave(0.9, size * 0.1), wave(1.1, 3.0));
                let sums: Vec<f32> = x.iter().zip(&delta).map(|(x, y)| x + y).collect();
                let mut exact = vec![0.0_f64; d];
                let [wide_sums, wide_weight] =
                    [&sums, &weight].map(|x| x.iter().map(|x| x.to_f64()).collect::<Vec<_>>());
                scalar::rms_norm(&wide_sums, &wide_weight, 1e-6, &mut exact);
                let units = (d as f64 / 2.0 + 6.0) * f32::UNIT_ROUNDOFF;
                for isa in Isa::detected() {
                    let (mut x, mut y) = (x.clone(), vec![f32::NAN; d]);
                    AddRmsNorm::new(isa).row(&mut x, &delta, &weight, 1e-6, &mut y);
                    assert_eq!(x, sums, "{}: the sums, rounded once", isa.name());
                    for (y, exact) in y.iter().zip(&exact) {
                        let bound = units / (1.0 - units) * exact.abs() * 1.001;
                        let error = (y.to_f64() - exact).abs();
                        assert!(error <= bound, "{}, d = {d}: {y}, not {exact}", isa.name());
                    }
                }
            }
        }
    }
}
