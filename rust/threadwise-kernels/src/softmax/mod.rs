//! The softmax of a row, in place.
//!
//! yⱼ = exp(xⱼ − m)/Σₖ exp(xₖ − m) with m = maxₖ xₖ, so that nothing overflows.
//!
//! **Error.** At most (d + 12 + 2·(m − minₖ xₖ))·u·|yⱼ| + the smallest normal number, to first order: a difference
//! is off by u of itself, exp by two units in the last place, the sum of d numbers by d roundings, and
//! numerator and denominator both by what exp is.
//!
//! **Bits.** They depend on the row and the instruction set.

use crate::Isa;
use crate::activation::lanes::exp;
use crate::simd::Arithmetic;
use crate::simd::portable::Portable;
use crate::simd::slices::{load, load_first, write, write_first};
#[cfg(target_arch = "x86_64")]
use crate::simd::{avx2::F32x8, avx512::F32x16};
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512};

/// # Safety
///
/// The CPU has the instruction set of the function.
type SoftmaxFn = unsafe fn(&mut [f32]);

/// The kernel on one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    run: SoftmaxFn,
}

impl Softmax {
    /// The kernel on `isa`.
    #[must_use]
    pub fn new(isa: Isa) -> Self {
        let run: SoftmaxFn = match isa {
            Isa::Scalar => portable,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => avx2,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) | Isa::Amx(_) => avx512,
        };
        Self { run }
    }

    /// Replaces a row by its softmax. A NaN makes all of it NaN.
    pub fn row(&self, x: &mut [f32]) {
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.run)(x) }
    }
}

#[inline(always)]
fn softmax<V: Arithmetic<Element = f32>>(proof: V::Proof, x: &mut [f32]) {
    let whole = x.len() - x.len() % V::COUNT;
    let (x, tail) = x.split_at_mut(whole);
    let mut largest = V::splat(proof, f32::NEG_INFINITY);
    for x in x.chunks_exact(V::COUNT) {
        largest = largest.max(load::<V>(proof, x));
    }
    let mut largest = largest.largest();
    for x in &*tail {
        largest = if largest > *x { largest } else { *x };
    }
    let shift = V::splat(proof, largest);
    let mut sum = V::splat(proof, 0.0);
    for x in x.chunks_exact_mut(V::COUNT) {
        let weights = exp::<V>(proof, load::<V>(proof, x).sub(shift));
        sum = sum.add(weights);
        write(weights, x);
    }
    let weights = exp::<V>(proof, load_first::<V>(proof, tail).sub(shift));
    write_first(proof, weights, tail);
    let sum = sum.add(load_first(proof, tail)).total();
    let sum = V::splat(proof, sum);
    for x in x.chunks_exact_mut(V::COUNT) {
        write(load::<V>(proof, x).div(sum), x);
    }
    write_first(proof, load_first::<V>(proof, tail).div(sum), tail);
}

/// # Safety
///
/// Nothing is asked of the CPU: it is unsafe only to have the type of the others.
unsafe fn portable(x: &mut [f32]) {
    softmax::<Portable<f32, 4>>((), x);
}

/// # Safety
///
/// The CPU has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(x: &mut [f32]) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx2::assume() };
    softmax::<F32x8>(proof, x);
}

/// # Safety
///
/// The CPU has AVX-512 F, BW, DQ and VL.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn avx512(x: &mut [f32]) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx512::assume() };
    softmax::<F32x16>(proof, x);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twins(x: &[f32]) -> Vec<(&'static str, Vec<f32>)> {
        let run = |isa: Isa| {
            let mut room = [&[-7.0][..], x, &[-7.0]].concat();
            Softmax::new(isa).row(&mut room[1..=x.len()]);
            let edges = [room[0], room[x.len() + 1]].map(f32::to_bits);
            assert_eq!(edges, [(-7.0_f32).to_bits(); 2], "{}: wrote beside", isa.name());
            (isa.name(), room[1..=x.len()].to_vec())
        };
        Isa::detected().into_iter().map(run).collect()
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "the inputs are of this type")]
    fn every_twin_stays_within_the_rounding_bound() {
        for (length, size) in (0..=67_usize).chain([1000]).flat_map(|d| [(d, 3.0), (d, 60.0)]) {
            let x: Vec<f32> = (0..length).map(|i| ((i as f64 * 1.7).sin() * size) as f32).collect();
            let wide: Vec<f64> = x.iter().copied().map(f64::from).collect();
            let largest = wide.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = wide.iter().map(|x| (x - largest).exp()).sum();
            let terms = length as f64 + 12.0 + 2.0 * 2.0 * size;
            for (name, y) in twins(&x) {
                for (y, x) in y.into_iter().zip(&wide) {
                    let exact = (x - largest).exp() / sum;
                    let tiny = f64::from(f32::MIN_POSITIVE);
                    let bound = terms * f64::from(f32::EPSILON) / 2.0 * exact + tiny;
                    assert!(
                        (f64::from(y) - exact).abs() <= bound,
                        "{name}, {length}: {y}, {exact}"
                    );
                }
            }
        }
    }

    #[test]
    fn nan_spreads_and_what_is_impossible_has_no_share() {
        for (name, y) in twins(&[1.0, f32::NAN, 2.0, 3.0, 1.0]) {
            assert!(y.iter().all(|y| y.is_nan()), "{name}: {y:?}");
        }
        for (name, y) in twins(&[f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY]) {
            assert_eq!(y, [0.0, 1.0, 0.0], "{name}");
        }
    }
}
