//! The gate of a feed-forward layer, `SwiGLU`.
//!
//! y = silu(g)·u, silu(x) = x/(1 + exp(−x)): N. Shazeer, *GLU Variants Improve Transformer*, 2020,
//! arXiv:2002.05202.
//!
//! **Error.** At most 11u·|g·u| + the smallest normal number times (1 + |u|): the ten roundings of the activation,
//! whose bound is relative to |g|, and one for the product.
//!
//! **Bits.** They depend on the numbers and the instruction set.

use crate::activation::lanes::activate;
use crate::simd::Arithmetic;
use crate::simd::portable::Portable;
use crate::simd::slices::{load, load_first, write, write_first};
#[cfg(target_arch = "x86_64")]
use crate::simd::{avx2::F32x8, avx512::F32x16};
use crate::{Activation, Isa};
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512};

/// `y = silu(gate) * up`: `(gate, up, y)`.
///
/// # Safety
///
/// The CPU has the instruction set of the function.
type GateFn = unsafe fn(&[f32], &[f32], &mut [f32]);

/// The kernel on one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    run: GateFn,
}

impl Gate {
    /// The kernel on `isa`.
    #[must_use]
    pub fn new(isa: Isa) -> Self {
        let run: GateFn = match isa {
            Isa::Scalar => portable,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => avx2,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) | Isa::Amx(_) => avx512,
        };
        Self { run }
    }

    /// yⱼ = silu(gⱼ)·uⱼ.
    ///
    /// # Panics
    ///
    /// If the slices differ in length.
    pub fn swiglu(&self, gate: &[f32], up: &[f32], y: &mut [f32]) {
        assert_eq!(gate.len(), up.len(), "a gate for each number");
        assert_eq!(gate.len(), y.len(), "one result a number");
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.run)(gate, up, y) }
    }
}

#[inline(always)]
fn swiglu<V: Arithmetic<Element = f32>>(proof: V::Proof, gate: &[f32], up: &[f32], y: &mut [f32]) {
    let (gates, ups) = (gate.chunks_exact(V::COUNT), up.chunks_exact(V::COUNT));
    let (last_gate, last_up) = (gates.remainder(), ups.remainder());
    let (y, last_y) = y.split_at_mut(y.len() - last_gate.len());
    for ((gate, up), y) in gates.zip(ups).zip(y.chunks_exact_mut(V::COUNT)) {
        let gate = activate(proof, load::<V>(proof, gate), Activation::Silu);
        write(gate.mul(load(proof, up)), y);
    }
    let gate = activate(proof, load_first::<V>(proof, last_gate), Activation::Silu);
    write_first(proof, gate.mul(load_first(proof, last_up)), last_y);
}

/// # Safety
///
/// Nothing is asked of the CPU: it is unsafe only to have the type of the others.
unsafe fn portable(gate: &[f32], up: &[f32], y: &mut [f32]) {
    swiglu::<Portable<f32, 4>>((), gate, up, y);
}

/// # Safety
///
/// The CPU has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(gate: &[f32], up: &[f32], y: &mut [f32]) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx2::assume() };
    swiglu::<F32x8>(proof, gate, up, y);
}

/// # Safety
///
/// The CPU has AVX-512 F, BW, DQ and VL.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn avx512(gate: &[f32], up: &[f32], y: &mut [f32]) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx512::assume() };
    swiglu::<F32x16>(proof, gate, up, y);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::scalar;

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "the inputs are of this type")]
    fn every_twin_stays_within_eleven_roundings_of_the_definition() {
        for length in (0..=67_usize).chain([1000]) {
            let gate: Vec<f32> = (0..length).map(|i| ((i as f64).sin() * 40.0) as f32).collect();
            let up: Vec<f32> = (0..length).map(|i| ((i as f64 * 0.7).cos() * 3.0) as f32).collect();
            for isa in Isa::detected() {
                let mut room = vec![-7.0; length + 2];
                Gate::new(isa).swiglu(&gate, &up, &mut room[1..=length]);
                for i in 0..length {
                    let [g, u] = [gate[i], up[i]].map(f64::from);
                    let exact = scalar::activate(g, Activation::Silu) * u;
                    let tiny = f64::from(f32::MIN_POSITIVE) * (1.0 + u.abs());
                    let bound = 11.0 * f64::from(f32::EPSILON) / 2.0 * (g * u).abs() + tiny;
                    let error = (f64::from(room[1 + i]) - exact).abs();
                    assert!(error <= bound, "{}, {i} of {length}: {}", isa.name(), room[1 + i]);
                }
                let edges = [room[0], room[length + 1]].map(f32::to_bits);
                assert_eq!(edges, [(-7.0_f32).to_bits(); 2], "{}: wrote beside", isa.name());
            }
        }
    }
}
