//! Losses of a row of outputs, and their derivatives in its place.
//!
//! | name | loss of a row z with target t | derivative |
//! | --- | --- | --- |
//! | cross entropy | −Σⱼ tⱼ·ln pⱼ, p the softmax of z | pⱼ·Σₖtₖ − tⱼ |
//! | squares | Σⱼ (zⱼ − tⱼ)² | 2·(zⱼ − tⱼ) |
//! | Huber | Σⱼ dⱼ²/2 where d = zⱼ − tⱼ is at most δ, else δ·(abs d − δ/2) | d, at most δ in size |
//! | binary cross entropy | Σⱼ max(zⱼ, 0) − zⱼ·tⱼ + ln(1 + exp(−abs zⱼ)) | 1/(1 + exp(−zⱼ)) − tⱼ |
//!
//! Derivatives come times a factor. P. J. Huber, *Robust Estimation of a Location Parameter*, Ann. Math. Statist. 35,
//! 1964. ln(1 + e) is 2·artanh(e/(2 + e)), whose Taylor series converges by a factor of nine a term there.

use crate::activation::lanes::{exp, number};
use crate::simd::slices::{load, load_first, write, write_first};
use crate::simd::{Arithmetic, Element};

/// A loss whose target is a row of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Of the softmax of the outputs.
    CrossEntropy,
    /// Sum of squares.
    Squares,
    /// Squares up to δ, linear beyond.
    Huber(f64),
    /// Of the logistic function of each output.
    BinaryCrossEntropy,
}

/// The loss of a row, whose place its derivative takes.
#[inline(always)]
pub(super) fn values<V: Arithmetic>(
    proof: V::Proof,
    loss: Loss,
    z: &mut [V::Element],
    target: &[V::Element],
    factor: V::Element,
) -> f64 {
    if loss == Loss::CrossEntropy {
        return soft_labels::<V>(proof, z, target, factor);
    }
    let whole = z.len() - z.len() % V::COUNT;
    let ((z, z_tail), (target, target_tail)) = (z.split_at_mut(whole), target.split_at(whole));
    let scale = V::splat(proof, factor);
    let mut sum = number::<V>(proof, 0.0);
    for (z, target) in z.chunks_exact_mut(V::COUNT).zip(target.chunks_exact(V::COUNT)) {
        let (value, slope) = one(proof, loss, load::<V>(proof, z), load(proof, target));
        sum = sum.add(value);
        write(slope.mul(scale), z);
    }
    let (x, t) = (load_first::<V>(proof, z_tail), load_first(proof, target_tail));
    let (value, slope) = one(proof, loss, x, t);
    // Lanes that no number is in have losses, too: by way of the row, they become zero.
    write_first(proof, value, z_tail);
    let sum = sum.add(load_first(proof, z_tail));
    write_first(proof, slope.mul(scale), z_tail);
    sum.total().to_f64()
}

/// Loss and derivative of one output.
#[inline(always)]
fn one<V: Arithmetic>(proof: V::Proof, loss: Loss, z: V, t: V) -> (V, V) {
    let (zero, unit) = (number::<V>(proof, 0.0), number::<V>(proof, 1.0));
    let d = z.sub(t);
    match loss {
        Loss::CrossEntropy | Loss::Squares => (d.mul(d), d.add(d)),
        Loss::Huber(delta) => {
            let (delta, half) = (number::<V>(proof, delta), number::<V>(proof, 0.5));
            let size = zero.sub(d).max(d);
            let near = half.mul(d).mul(d);
            let far = delta.mul(size.sub(half.mul(delta)));
            let edge = d.select_less(zero, zero.sub(delta), delta);
            (delta.select_less(size, far, near), delta.select_less(size, edge, d))
        }
        Loss::BinaryCrossEntropy => {
            let e = exp(proof, zero.sub(zero.sub(z).max(z)));
            let value = zero.max(z).sub(z.mul(t)).add(log_1p(proof, e));
            let below = z.select_less(zero, e, unit);
            (value, below.div(unit.add(e)).sub(t))
        }
    }
}

/// ln(1 + e) for e from 0 to 1.
#[inline(always)]
fn log_1p<V: Arithmetic>(proof: V::Proof, e: V) -> V {
    let s = e.div(e.add(number::<V>(proof, 2.0)));
    let square = s.mul(s);
    let terms = if size_of::<V::Element>() == 4 { 8 } else { 17 };
    let mut sum = number::<V>(proof, 0.0);
    for k in (0..terms).rev() {
        sum = sum.mul_add(square, number::<V>(proof, 2.0 / f64::from(2 * k + 1)));
    }
    s.mul(sum)
}

/// Cross entropy with the right answer by its number.
#[inline(always)]
pub(super) fn label<V: Arithmetic>(
    proof: V::Proof,
    z: &mut [V::Element],
    right: usize,
    factor: V::Element,
) -> f64 {
    let largest = largest::<V>(proof, z);
    let shifted = z[right].to_f64() - largest.to_f64();
    let sum = exponentials::<V>(proof, z, largest);
    scaled::<V>(proof, z, V::Element::from_f64(factor.to_f64() / sum.to_f64()));
    z[right] = V::Element::from_f64(z[right].to_f64() - factor.to_f64());
    sum.to_f64().ln() - shifted
}

/// Cross entropy with a share for each answer.
#[inline(always)]
fn soft_labels<V: Arithmetic>(
    proof: V::Proof,
    z: &mut [V::Element],
    target: &[V::Element],
    factor: V::Element,
) -> f64 {
    let largest = largest::<V>(proof, z);
    let (mut shares, mut products) = (0.0, 0.0);
    for (z, t) in z.iter().zip(target) {
        shares += t.to_f64();
        products += t.to_f64() * (z.to_f64() - largest.to_f64());
    }
    let sum = exponentials::<V>(proof, z, largest);
    let each = factor.to_f64() * shares / sum.to_f64();
    scaled::<V>(proof, z, V::Element::from_f64(each));
    for (z, t) in z.iter_mut().zip(target) {
        *z = V::Element::from_f64(z.to_f64() - factor.to_f64() * t.to_f64());
    }
    shares * sum.to_f64().ln() - products
}

/// The largest number of a row that has one; NaN, if it is the last that is compared with.
#[inline(always)]
fn largest<V: Arithmetic>(proof: V::Proof, z: &[V::Element]) -> V::Element {
    let mut largest = V::splat(proof, z[0]);
    let (whole, tail) = z.split_at(z.len() - z.len() % V::COUNT);
    for z in whole.chunks_exact(V::COUNT) {
        largest = largest.max(load::<V>(proof, z));
    }
    let mut largest = largest.largest();
    for &z in tail {
        largest = if largest > z { largest } else { z };
    }
    largest
}

/// exp(zⱼ − shift) in place, and their sum.
#[inline(always)]
fn exponentials<V: Arithmetic>(
    proof: V::Proof,
    z: &mut [V::Element],
    shift: V::Element,
) -> V::Element {
    let whole = z.len() - z.len() % V::COUNT;
    let (z, tail) = z.split_at_mut(whole);
    let shift = V::splat(proof, shift);
    let mut sum = number::<V>(proof, 0.0);
    for z in z.chunks_exact_mut(V::COUNT) {
        let e = exp(proof, load::<V>(proof, z).sub(shift));
        sum = sum.add(e);
        write(e, z);
    }
    let last = exp(proof, load_first::<V>(proof, tail).sub(shift));
    write_first(proof, last, tail);
    sum.add(load_first(proof, tail)).total()
}

/// Each number times `factor`.
#[inline(always)]
fn scaled<V: Arithmetic>(proof: V::Proof, z: &mut [V::Element], factor: V::Element) {
    let whole = z.len() - z.len() % V::COUNT;
    let (z, tail) = z.split_at_mut(whole);
    let factor = V::splat(proof, factor);
    for z in z.chunks_exact_mut(V::COUNT) {
        write(load::<V>(proof, z).mul(factor), z);
    }
    write_first(proof, load_first::<V>(proof, tail).mul(factor), tail);
}
