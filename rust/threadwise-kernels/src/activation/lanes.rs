//! The activations on vector units.
//!
//! exp: reduction by multiples of ln 2 split in two parts (W. J. Cody, W. Waite, *Software Manual
//! for the Elementary Functions*, 1980), then its Taylor polynomial. erfc: (1 + 2z)·exp(z²)·erfc(z)
//! is smooth in (z − K)/(z + K) for all z ≥ 0 (M. M. Shepherd, J. G. Laframboise, Math. Comp. 36,
//! 1981); our coefficients are a Chebyshev expansion for K = 3.75, computed with 60 digits, with a
//! relative error of 1.3e-8 at degree 11 and 1.1e-16 at degree 22.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use super::Activation;
use super::scalar::CUBIC;
use crate::simd::{Arithmetic, Element, Lanes};

/// The numbers of one precision.
#[derive(Debug)]
pub struct Constants<T: 'static> {
    /// 1/ln 2.
    log2_e: T,
    /// ln 2 in its leading bits, so that small integer multiples of it are exact.
    ln_2_high: T,
    /// ln 2 less `ln_2_high`.
    ln_2_low: T,
    /// Below this, exp is zero.
    exp_min: T,
    /// Above this, exp is infinite.
    exp_max: T,
    /// Coefficients of exp on [−ln 2/2, ln 2/2], constant first.
    exp: &'static [T],
    /// Coefficients of (1 + 2z)·exp(z²)·erfc(z) in (z − K)/(z + K), constant first.
    erfc: &'static [T],
}

const K: f64 = 3.75;

/// 1/k!
const fn taylor<const N: usize>() -> [f64; N] {
    let mut coefficients = [1.0; N];
    let mut k = 1;
    while k < N {
        coefficients[k] = coefficients[k - 1] / k as f64;
        k += 1;
    }
    coefficients
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what it is for")]
const fn narrow<const N: usize>(wide: [f64; N]) -> [f32; N] {
    let mut narrow = [0.0; N];
    let mut k = 0;
    while k < N {
        narrow[k] = wide[k] as f32;
        k += 1;
    }
    narrow
}

pub(crate) const F32: Constants<f32> = Constants {
    log2_e: std::f32::consts::LOG2_E,
    ln_2_high: 0.693_145_75,
    ln_2_low: 1.428_606_8e-6,
    exp_min: -105.0,
    exp_max: 90.0,
    exp: &narrow(taylor::<8>()),
    erfc: &narrow([
        1.237_512_62,
        -0.140_240_658,
        0.003_586_270_39,
        0.082_278_42,
        -0.108_814_27,
        0.092_290_769_6,
        -0.058_646_858_7,
        0.028_409_252_4,
        -0.009_844_494_86,
        0.001_675_912_22,
        0.000_396_307_613,
        -0.000_224_116_747,
    ]),
};

pub(crate) const F64: Constants<f64> = Constants {
    log2_e: std::f64::consts::LOG2_E,
    ln_2_high: 0.693_147_180_369_123_8,
    ln_2_low: 1.908_214_929_270_587_8e-10,
    exp_min: -746.0,
    exp_max: 710.0,
    exp: &taylor::<14>(),
    erfc: &[
        1.237_512_630_837_827_5,
        -0.140_240_598_585_545_25,
        0.003_585_415_485_479_025_7,
        0.082_276_738_489_995_06,
        -0.108_803_930_142_444_62,
        0.092_304_321_164_281_25,
        -0.058_693_398_576_649_34,
        0.028_362_277_372_111_14,
        -0.009_746_579_683_265_262,
        0.001_755_626_165_197_065_2,
        0.000_293_714_378_044_958,
        -0.000_290_155_352_460_776_55,
        5.164_652_974_177_416e-5,
        2.238_756_571_491_181_6e-5,
        -1.143_804_803_334_689_4e-5,
        -9.792_625_707_303_523e-7,
        1.741_982_158_622_481_6e-6,
        -5.084_465_378_687_302e-8,
        -2.485_712_624_801_674_5e-7,
        1.879_082_322_370_048e-8,
        3.197_926_671_666_804e-8,
        -1.955_135_886_898_561_6e-9,
        -2.623_107_347_133_476e-9,
    ],
};

/// Twin of [`super::scalar::activate`], lane by lane.
#[inline(always)]
pub(crate) fn activate<V: Arithmetic>(proof: V::Proof, x: V, activation: Activation) -> V {
    let (zero, one) = (number::<V>(proof, 0.0), number::<V>(proof, 1.0));
    match activation {
        // In this order a NaN in x passes.
        Activation::Relu => zero.max(x),
        Activation::Silu => gated(proof, x, x),
        Activation::GeluTanh => {
            let scale = 2.0 * FRAC_2_PI.sqrt();
            let slope =
                number::<V>(proof, scale * CUBIC).mul_add(x.mul(x), number::<V>(proof, scale));
            gated(proof, x, x.mul(slope))
        }
        Activation::Gelu => {
            let tail = half_erfc_of_magnitude(proof, x);
            x.mul(x.select_less(zero, tail, one.sub(tail)))
        }
    }
}

/// `c` in each lane. (Small functions, not closures: a closure would be compiled without the
/// instruction set that its surroundings are inlined into.)
#[inline(always)]
pub(crate) fn number<V: Lanes>(proof: V::Proof, c: f64) -> V {
    V::splat(proof, V::Element::from_f64(c))
}

/// x/(1 + exp(−u)): x times the logistic function of u.
#[inline(always)]
fn gated<V: Arithmetic>(proof: V::Proof, x: V, u: V) -> V {
    let one = number::<V>(proof, 1.0);
    x.div(one.add(exp(proof, number::<V>(proof, 0.0).sub(u))))
}

/// erfc(|x|/√2)/2: the probability that a normal variable exceeds |x|.
#[inline(always)]
pub(crate) fn half_erfc_of_magnitude<V: Arithmetic>(proof: V::Proof, x: V) -> V {
    let magnitude = x.max(number::<V>(proof, 0.0).sub(x));
    let z = magnitude.mul(number::<V>(proof, FRAC_1_SQRT_2));
    // Beyond this the result is zero, and infinity would make NaN of the quotient.
    let z = number::<V>(proof, 64.0).min(z);
    let t = z.sub(number::<V>(proof, K)).div(z.add(number::<V>(proof, K)));
    let smooth = polynomial(proof, V::Element::ACTIVATION.erfc, t);
    let decay = exp(proof, magnitude.mul(magnitude).mul(number::<V>(proof, -0.5)));
    number::<V>(proof, 0.5)
        .mul(decay)
        .mul(smooth.div(number::<V>(proof, 2.0).mul_add(z, number::<V>(proof, 1.0))))
}

/// exp(x), within two units in the last place where it is a normal number.
#[inline(always)]
pub(crate) fn exp<V: Arithmetic>(proof: V::Proof, x: V) -> V {
    let c = &V::Element::ACTIVATION;
    // In this order a NaN in x passes.
    let x = V::splat(proof, c.exp_max).min(x);
    let x = V::splat(proof, c.exp_min).max(x);
    let n = x.mul(V::splat(proof, c.log2_e)).round();
    let minus_n = V::splat(proof, V::Element::default()).sub(n);
    let r = minus_n.mul_add(V::splat(proof, c.ln_2_high), x);
    let r = minus_n.mul_add(V::splat(proof, c.ln_2_low), r);
    polynomial(proof, c.exp, r).scale(n)
}

/// The polynomial with these coefficients, constant first, by Horner's rule.
#[inline(always)]
pub(crate) fn polynomial<V: Arithmetic>(proof: V::Proof, coefficients: &[V::Element], x: V) -> V {
    let mut value = V::splat(proof, V::Element::default());
    for &c in coefficients.iter().rev() {
        value = value.mul_add(x, V::splat(proof, c));
    }
    value
}
