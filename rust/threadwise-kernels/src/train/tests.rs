//! Every vector unit against the definitions.

mod losses;
mod sums;

use super::curve::Curve;
use super::dropout::Dropout;
use super::{philox, scalar};
use crate::Isa;
use crate::element::Element;

/// Lengths at which loops over vectors, and over blocks of them, begin and end.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=67).chain([127, 128, 129, 255, 256, 257, 1000, 2100])
}

/// Numbers that look like none in particular.
fn wave<T: Element>(len: usize, seed: f64, size: f64) -> Vec<T> {
    (0..len).map(|j| T::from_f64((j as f64 * 1.7 + seed).sin() * size)).collect()
}

fn check_curves<T: Element>() {
    for (_, curve) in Curve::NAMED {
        for length in lengths() {
            let x: Vec<T> = wave(length, 0.4, 12.0);
            let d: Vec<T> = wave(length, 2.0, 3.0);
            for isa in Isa::detected() {
                let kernels = T::train(isa);
                let (mut y, mut slopes) = (x.clone(), d.clone());
                kernels.apply(curve, &x, &mut y);
                kernels.derive(curve, &x, &mut slopes);
                for j in 0..length {
                    let [value, slope] = scalar::curve(curve, x[j].to_f64());
                    let (u, tiny) = (T::UNIT_ROUNDOFF, 1e-37);
                    let error = (y[j].to_f64() - value).abs();
                    assert!(error <= 10.0 * u * x[j].to_f64().abs().max(1.0) + tiny, "{curve:?}");
                    let d = d[j].to_f64();
                    let error = (slopes[j].to_f64() - d * slope).abs();
                    let name = isa.name();
                    assert!(
                        error <= 60.0 * u * d.abs() + tiny,
                        "{name} {curve:?}'({}): {error:e}",
                        x[j]
                    );
                }
            }
        }
    }
}

#[test]
fn curves_and_their_derivatives_stay_within_the_bounds() {
    check_curves::<f32>();
    check_curves::<f64>();
}

#[test]
fn derivatives_saturate() {
    for (_, curve) in Curve::NAMED {
        for isa in Isa::detected() {
            let mut slopes = [1.0_f32; 4];
            f32::train(isa).derive(curve, &[3e38, -3e38, 1e4, -1e4], &mut slopes);
            let one = if matches!(curve, Curve::Tanh | Curve::Logistic) { 0.0 } else { 1.0 };
            assert_eq!(
                slopes.map(|slope| (slope + 0.0).to_bits()),
                [one, 0.0_f32, one, 0.0].map(f32::to_bits),
                "{} {curve:?}",
                isa.name()
            );
        }
    }
}

#[test]
fn masks_are_functions_of_seed_and_place() {
    let dropout = Dropout { key: [7, 1], layer: 2, time: 5, rate: 0.3 };
    let mut whole = [1.0_f64; 1000];
    dropout.row(3, 0, &mut whole);
    let kept: f64 = 1.0 / 0.7;
    for unit in 0..1000 {
        let words = philox([7, 1], [unit as u64 / 8, 3, 2, 5]);
        let word = (words[unit % 8 / 2] >> (32 * (unit % 2))) & 0xffff_ffff;
        let expected = if (word as f64) < (0.3 * 4_294_967_296.0_f64).round() { 0.0 } else { kept };
        assert_eq!(whole[unit].to_bits(), expected.to_bits(), "unit {unit}");
    }
    for (first, length) in [(0, 7), (5, 30), (13, 1), (992, 8), (995, 5)] {
        let mut part = vec![1.0_f64; length];
        dropout.row(3, first, &mut part);
        assert_eq!(part, whole[first..first + length], "units from {first} on");
    }
    let share = whole.iter().filter(|x| **x > 0.0).count() as f64 / 1000.0;
    // Five standard deviations of 1000 draws.
    assert!((share - 0.7).abs() < 5.0 * (0.3_f64 * 0.7 / 1000.0).sqrt(), "{share} is kept");
    let mut other = [1.0_f64; 1000];
    dropout.row(4, 0, &mut other);
    assert_ne!(other.map(f64::to_bits), whole.map(f64::to_bits), "another row, another mask");
}
