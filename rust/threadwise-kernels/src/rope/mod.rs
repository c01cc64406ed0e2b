//! Rotary position embedding of a row, in its half-split form.
//!
//! (yᵢ, yᵢ₊ₕ) = (xᵢ·cos φᵢ − xᵢ₊ₕ·sin φᵢ, xᵢ₊ₕ·cos φᵢ + xᵢ·sin φᵢ) with h half the width, the angles φᵢ = t·θ^(−i/h)
//! of position t: J. Su and others, `RoFormer`, 2021, arXiv:2104.09864, which pairs neighbors; pairs h apart are
//! those of Llama's and Mistral's weights.
//!
//! **Error.** At most 2u·(|xᵢ·c| + |xᵢ₊ₕ·s|) to first order, for the cosine c and the sine s as they are passed:
//! two products and a sum, each rounded once.
//!
//! **Bits.** They depend on the row, the cosines and sines, and the instruction set.

use crate::Isa;
#[cfg(target_arch = "x86_64")]
use crate::simd::slices::{load, load_first, write, write_first};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Arithmetic, avx2::F32x8, avx512::F32x16};
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512};

/// Rotates a row in place: `(x, cos, sin)`.
///
/// # Safety
///
/// The CPU has the instruction set of the function.
type RotateFn = unsafe fn(&mut [f32], &[f32], &[f32]);

/// The kernel on one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Rope {
    rotate: RotateFn,
}

impl Rope {
    /// The kernel on `isa`.
    #[must_use]
    pub fn new(isa: Isa) -> Self {
        let rotate: RotateFn = match isa {
            Isa::Scalar => definition,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => avx2,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) | Isa::Amx(_) => avx512,
        };
        Self { rotate }
    }

    /// Rotates a row in place.
    ///
    /// # Panics
    ///
    /// If there is not one cosine and one sine for each pair.
    pub fn rotate(&self, x: &mut [f32], cos: &[f32], sin: &[f32]) {
        assert_eq!(x.len(), 2 * cos.len(), "a cosine for each pair");
        assert_eq!(x.len(), 2 * sin.len(), "a sine for each pair");
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.rotate)(x, cos, sin) }
    }
}

/// The definition, and the kernel where there are no vectors.
fn definition(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (first, second) = x.split_at_mut(cos.len());
    for ((a, b), (c, s)) in first.iter_mut().zip(second).zip(cos.iter().zip(sin)) {
        (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn rotate<V: Arithmetic<Element = f32>>(proof: V::Proof, x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (mut first, mut second) = x.split_at_mut(cos.len());
    let (mut cos, mut sin) = (cos, sin);
    let zero = V::splat(proof, 0.0);
    while cos.len() >= V::COUNT {
        let (a, rest_a) = std::mem::take(&mut first).split_at_mut(V::COUNT);
        let (b, rest_b) = std::mem::take(&mut second).split_at_mut(V::COUNT);
        let (c, s) = (load::<V>(proof, &cos[..V::COUNT]), load::<V>(proof, &sin[..V::COUNT]));
        let (x, y) = (load::<V>(proof, a), load::<V>(proof, b));
        write(x.mul_add(c, zero.sub(y.mul(s))), a);
        write(y.mul_add(c, x.mul(s)), b);
        (first, second) = (rest_a, rest_b);
        (cos, sin) = (&cos[V::COUNT..], &sin[V::COUNT..]);
    }
    let (c, s) = (load_first::<V>(proof, cos), load_first::<V>(proof, sin));
    let (x, y) = (load_first::<V>(proof, first), load_first::<V>(proof, second));
    write_first(proof, x.mul_add(c, zero.sub(y.mul(s))), first);
    write_first(proof, y.mul_add(c, x.mul(s)), second);
}

/// # Safety
///
/// The CPU has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx2::assume() };
    rotate::<F32x8>(proof, x, cos, sin);
}

/// # Safety
///
/// The CPU has AVX-512 F, BW, DQ and VL.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn avx512(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx512::assume() };
    rotate::<F32x16>(proof, x, cos, sin);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "the inputs are of this type")]
    fn every_twin_stays_within_two_roundings_and_in_its_row() {
        for half in 0..=67_usize {
            let wave = |seed: f64| (0..half).map(move |i| (i as f64 * 1.7 + seed).sin() as f32);
            let (cos, sin) = (wave(0.3).collect::<Vec<_>>(), wave(2.0).collect::<Vec<_>>());
            let x: Vec<f32> = wave(1.0).chain(wave(0.7)).map(|x| x * 5.0).collect();
            for isa in Isa::detected() {
                let mut room = [&[-7.0][..], &x, &[-7.0]].concat();
                Rope::new(isa).rotate(&mut room[1..=2 * half], &cos, &sin);
                for i in 0..half {
                    let [a, b] = [x[i], x[half + i]].map(f64::from);
                    let [c, s] = [cos[i], sin[i]].map(f64::from);
                    for (y, p, q) in
                        [(room[1 + i], a * c, -b * s), (room[1 + half + i], b * c, a * s)]
                    {
                        let (error, size) = ((f64::from(y) - (p + q)).abs(), p.abs() + q.abs());
                        let bound = 2.1 * f64::from(f32::EPSILON) / 2.0 * size;
                        assert!(error <= bound, "{}, {i} of {half}: {y}", isa.name());
                    }
                }
                let edges = [room[0], room[2 * half + 1]].map(f32::to_bits);
                assert_eq!(edges, [(-7.0_f32).to_bits(); 2], "{}: wrote beside", isa.name());
            }
        }
    }
}
