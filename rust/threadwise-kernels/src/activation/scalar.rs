//! The activations as their formulas read, in double precision.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use super::Activation;

/// The factor of the cubic term in `gelu_tanh`.
pub(crate) const CUBIC: f64 = 0.044_715;

/// The definition that [`super::lanes`] answers to.
pub(crate) fn activate(x: f64, activation: Activation) -> f64 {
    match activation {
        // Written so that NaN passes: `f64::max` would drop it.
        Activation::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Activation::Gelu => x * 0.5 * libm::erfc(-x * FRAC_1_SQRT_2),
        // (1 + tanh u)/2 = 1/(1 + exp(−2u)), which loses no digits for u ≪ 0.
        Activation::GeluTanh => {
            let u = FRAC_2_PI.sqrt() * (x + CUBIC * x * x * x);
            x / (1.0 + (-2.0 * u).exp())
        }
        Activation::Silu => x / (1.0 + (-x).exp()),
    }
}
