//! The rows on vector units: one pass for the sum, one for the quotients.

use super::scalar;
use crate::simd::slices::{load, load_first, vectors, write, write_first};
use crate::simd::{Arithmetic, Element, Lanes};
use crate::{Avx2, Avx512};

/// Sums that are kept side by side: a multiply-add takes about four cycles, and one can begin in each.
const SUMS: usize = 4;

/// Twin of [`scalar::rms_norm`], for any vectors.
#[inline(always)]
fn rms_norm<V: Arithmetic>(
    proof: V::Proof,
    x: &[V::Element],
    weight: &[V::Element],
    eps: f64,
    y: &mut [V::Element],
) {
    let sum = sum_of_squares::<V>(proof, x);
    let root = if sum.is_finite() {
        (sum / x.len() as f64 + eps).sqrt()
    } else {
        scalar::root_mean_square(x, eps)
    };
    let root = V::splat(proof, V::Element::from_f64(root));
    let (x, x_tail) = vectors::<V>(x);
    let (weight, weight_tail) = vectors::<V>(weight);
    let (y, y_tail) = y.split_at_mut(y.len() - x_tail.len());
    for ((x, w), y) in x.zip(weight).zip(y.chunks_exact_mut(V::COUNT)) {
        write(load::<V>(proof, x).div(root).mul(load(proof, w)), y);
    }
    write_first(
        proof,
        load_first::<V>(proof, x_tail).div(root).mul(load_first(proof, weight_tail)),
        y_tail,
    );
}

/// Σₖ xₖ²: a product's rounding is fused with that of its sum.
#[inline(always)]
fn sum_of_squares<V: Lanes>(proof: V::Proof, x: &[V::Element]) -> f64 {
    let mut sums = [V::splat(proof, V::Element::default()); SUMS];
    let blocks = x.chunks_exact(SUMS * V::COUNT);
    let (rest, tail) = vectors::<V>(blocks.remainder());
    for block in blocks {
        for (sum, x) in sums.iter_mut().zip(block.chunks_exact(V::COUNT)) {
            let x = load::<V>(proof, x);
            *sum = x.mul_add(x, *sum);
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        let x = load::<V>(proof, x);
        *sum = x.mul_add(x, *sum);
    }
    let [a, b, c, d] = sums;
    let x = load_first::<V>(proof, tail);
    x.mul_add(x, a.add(b).add(c.add(d))).total().to_f64()
}

/// # Safety
///
/// The CPU has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn avx2<V: Arithmetic<Proof = Avx2>>(
    x: &[V::Element],
    weight: &[V::Element],
    eps: f64,
    y: &mut [V::Element],
) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx2::assume() };
    rms_norm::<V>(proof, x, weight, eps, y);
}

/// # Safety
///
/// The CPU has AVX-512 F, BW, DQ and VL.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn avx512<V: Arithmetic<Proof = Avx512>>(
    x: &[V::Element],
    weight: &[V::Element],
    eps: f64,
    y: &mut [V::Element],
) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx512::assume() };
    rms_norm::<V>(proof, x, weight, eps, y);
}
