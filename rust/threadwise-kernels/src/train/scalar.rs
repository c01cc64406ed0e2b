//! The definitions, in double precision, that the vectors answer to.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI, PI};

use super::curve::{Curve, FAR};
use super::loss::Loss;
use crate::Activation;
use crate::activation::scalar::{CUBIC, activate};

/// factor · Σᵢ wᵢ·gᵢ, in the order of the terms.
pub(super) fn sum(terms: impl Iterator<Item = (f64, f64)>, factor: f64) -> f64 {
    terms.map(|(weight, x)| weight * x).sum::<f64>() * factor
}

/// Adam's weight, m and v after a step.
pub(super) fn adam(
    [w, m, v]: [f64; 3],
    g: f64,
    (rate, decay, keep): (f64, f64, f64),
    [b1, b2]: [f64; 2],
    (root, eps): (f64, f64),
) -> [f64; 3] {
    let g = g + decay * w;
    let (m, v) = (b1 * m + (1.0 - b1) * g, b2 * v + (1.0 - b2) * g * g);
    [keep * w - rate * m / (root * v.sqrt() + eps), m, v]
}

/// Weight and v after a step of gradient descent with momentum.
pub(super) fn momentum(
    [w, v]: [f64; 2],
    g: f64,
    (rate, decay, keep): (f64, f64, f64),
    is_nesterov: bool,
) -> [f64; 2] {
    let g = g + decay * w;
    let v = keep * v + g;
    [w - rate * if is_nesterov { g + keep * v } else { v }, v]
}

/// f(x) and f'(x).
pub(super) fn curve(curve: Curve, x: f64) -> [f64; 2] {
    let near = x.clamp(-FAR, FAR);
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    match curve {
        Curve::Relu => [activate(x, Activation::Relu), if x > 0.0 { 1.0 } else { 0.0 }],
        Curve::Gelu => {
            let below = 0.5 * libm::erfc(-near * FRAC_1_SQRT_2);
            let density = (-0.5 * near * near).exp() / (2.0 * PI).sqrt();
            [activate(x, Activation::Gelu), below + near * density]
        }
        Curve::GeluTanh => {
            let scale = 2.0 * FRAC_2_PI.sqrt();
            let s = logistic(scale * (near + CUBIC * near * near * near));
            let slope = scale * (1.0 + 3.0 * CUBIC * near * near);
            [activate(x, Activation::GeluTanh), s + near * s * (1.0 - s) * slope]
        }
        Curve::Silu => {
            let s = logistic(near);
            [activate(x, Activation::Silu), s * (1.0 + near * (1.0 - s))]
        }
        Curve::Tanh => [x.tanh(), 1.0 - x.tanh() * x.tanh()],
        Curve::Logistic => [logistic(x), logistic(x) * (1.0 - logistic(x))],
    }
}

/// The loss of a row, and its derivatives.
pub(super) fn loss(loss: Loss, z: &[f64], t: &[f64]) -> (f64, Vec<f64>) {
    if loss == Loss::CrossEntropy {
        let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = z.iter().map(|z| (z - largest).exp()).sum();
        let all: f64 = t.iter().sum();
        let value = z.iter().zip(t).map(|(z, t)| t * (sum.ln() + largest - z)).sum();
        let slopes = z.iter().zip(t).map(|(z, t)| (z - largest).exp() / sum * all - t);
        return (value, slopes.collect());
    }
    let one = |(&z, &t): (&f64, &f64)| {
        let d: f64 = z - t;
        match loss {
            Loss::CrossEntropy | Loss::Squares => (d * d, 2.0 * d),
            Loss::Huber(delta) if d.abs() <= delta => (d * d / 2.0, d),
            Loss::Huber(delta) => (delta * (d.abs() - delta / 2.0), delta * d.signum()),
            Loss::BinaryCrossEntropy => {
                let value = z.max(0.0) - z * t + (-z.abs()).exp().ln_1p();
                (value, 1.0 / (1.0 + (-z).exp()) - t)
            }
        }
    };
    let (values, slopes): (Vec<f64>, Vec<f64>) = z.iter().zip(t).map(one).unzip();
    (values.iter().sum(), slopes)
}
