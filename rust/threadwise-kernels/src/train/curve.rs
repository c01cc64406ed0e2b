//! The functions of hidden layers, and their derivatives.
//!
//! | name | y | y' |
//! | --- | --- | --- |
//! | relu | max(x, 0) | 1 where x > 0, else 0 |
//! | gelu | x·Φ(x) | Φ(x) + x·φ(x) |
//! | `gelu_tanh` | x·s, s = 1/(1 + exp(−u)), u = √(8/π)·(x + 0.044715·x³) | s + x·s·(1 − s)·u' |
//! | silu | x·s, s = 1/(1 + exp(−x)) | s·(1 + x·(1 − s)) |
//! | tanh | tanh(x) | 1 − y² |
//! | logistic | s = 1/(1 + exp(−x)) | s·(1 − s) |
//!
//! Sources of the first four are those of [`crate::activation`]. **Error.** Of y as there; of the others an absolute
//! one of at most ten units of roundoff, of gelu's derivatives sixty: φ carries x²/2 as an exponent, and u' grows
//! with x². Beyond ±700 derivatives are those at ±700.

use std::f64::consts::{FRAC_2_PI, PI};

use crate::Activation;
use crate::activation::lanes::{activate, exp, half_erfc_of_magnitude, number};
use crate::activation::scalar::CUBIC;
use crate::simd::Arithmetic;
use crate::simd::slices::{load, load_first, vectors, write, write_first};

/// A function of hidden layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// max(x, 0)
    Relu,
    /// x·Φ(x)
    Gelu,
    /// The approximation of `Gelu` by tanh.
    GeluTanh,
    /// x/(1 + exp(−x))
    Silu,
    /// tanh(x)
    Tanh,
    /// 1/(1 + exp(−x))
    Logistic,
}

/// Where derivatives no longer change.
pub(super) const FAR: f64 = 700.0;

impl Curve {
    /// Every function, with its name.
    pub const NAMED: [(&'static str, Self); 6] = [
        ("relu", Self::Relu),
        ("gelu", Self::Gelu),
        ("gelu_tanh", Self::GeluTanh),
        ("silu", Self::Silu),
        ("tanh", Self::Tanh),
        ("logistic", Self::Logistic),
    ];

    /// The function called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(known, _)| *known == name).map(|&(_, curve)| curve)
    }
}

/// yⱼ = f(xⱼ).
#[inline(always)]
pub(super) fn apply<V: Arithmetic>(
    proof: V::Proof,
    curve: Curve,
    x: &[V::Element],
    y: &mut [V::Element],
) {
    let (x, x_tail) = vectors::<V>(x);
    let (y, y_tail) = y.split_at_mut(y.len() - x_tail.len());
    for (x, y) in x.zip(y.chunks_exact_mut(V::COUNT)) {
        write(value(proof, curve, load::<V>(proof, x)), y);
    }
    write_first(proof, value(proof, curve, load_first::<V>(proof, x_tail)), y_tail);
}

/// dⱼ ·= f'(xⱼ).
#[inline(always)]
pub(super) fn derive<V: Arithmetic>(
    proof: V::Proof,
    curve: Curve,
    x: &[V::Element],
    d: &mut [V::Element],
) {
    let (x, x_tail) = vectors::<V>(x);
    let (d, d_tail) = d.split_at_mut(d.len() - x_tail.len());
    for (x, d) in x.zip(d.chunks_exact_mut(V::COUNT)) {
        write(times_slope(proof, curve, load::<V>(proof, x), load(proof, d)), d);
    }
    let last = load_first::<V>(proof, d_tail);
    write_first(proof, times_slope(proof, curve, load_first::<V>(proof, x_tail), last), d_tail);
}

#[inline(always)]
fn value<V: Arithmetic>(proof: V::Proof, curve: Curve, x: V) -> V {
    match curve {
        Curve::Relu => activate(proof, x, Activation::Relu),
        Curve::Gelu => activate(proof, x, Activation::Gelu),
        Curve::GeluTanh => activate(proof, x, Activation::GeluTanh),
        Curve::Silu => activate(proof, x, Activation::Silu),
        Curve::Tanh => tanh(proof, x),
        Curve::Logistic => logistic(proof, x),
    }
}

#[inline(always)]
fn times_slope<V: Arithmetic>(proof: V::Proof, curve: Curve, x: V, d: V) -> V {
    let (zero, one) = (number::<V>(proof, 0.0), number::<V>(proof, 1.0));
    if curve == Curve::Relu {
        return zero.select_less(x, d, zero);
    }
    // In this order a NaN in x passes.
    let x = number::<V>(proof, FAR).min(x);
    let x = number::<V>(proof, -FAR).max(x);
    let slope = match curve {
        Curve::Relu => one,
        Curve::Gelu => {
            let tail = half_erfc_of_magnitude(proof, x);
            let below = x.select_less(zero, tail, one.sub(tail));
            let density = exp(proof, x.mul(x).mul(number::<V>(proof, -0.5)));
            x.mul(density).mul_add(number::<V>(proof, 1.0 / (2.0 * PI).sqrt()), below)
        }
        Curve::GeluTanh => {
            let scale = 2.0 * FRAC_2_PI.sqrt();
            let (linear, cubic) = (number::<V>(proof, scale), number::<V>(proof, scale * CUBIC));
            let square = x.mul(x);
            let s = logistic(proof, x.mul(cubic.mul_add(square, linear)));
            let slope = number::<V>(proof, 3.0 * scale * CUBIC).mul_add(square, linear);
            x.mul(s.mul(one.sub(s))).mul_add(slope, s)
        }
        Curve::Silu => {
            let s = logistic(proof, x);
            s.mul(x.mul_add(one.sub(s), one))
        }
        Curve::Tanh => {
            let y = tanh(proof, x);
            one.sub(y.mul(y))
        }
        Curve::Logistic => {
            let s = logistic(proof, x);
            s.mul(one.sub(s))
        }
    };
    d.mul(slope)
}

/// 1/(1 + exp(−x)).
#[inline(always)]
pub(super) fn logistic<V: Arithmetic>(proof: V::Proof, x: V) -> V {
    let one = number::<V>(proof, 1.0);
    one.div(one.add(exp(proof, number::<V>(proof, 0.0).sub(x))))
}

/// (1 − e)/(1 + e) with e = exp(−2|x|), and the sign of x.
#[inline(always)]
fn tanh<V: Arithmetic>(proof: V::Proof, x: V) -> V {
    let (zero, one) = (number::<V>(proof, 0.0), number::<V>(proof, 1.0));
    let minus = zero.sub(x);
    let e = exp(proof, number::<V>(proof, -2.0).mul(minus.max(x)));
    let size = one.sub(e).div(one.add(e));
    x.select_less(zero, zero.sub(size), size)
}
