//! Losses and their derivatives.

use super::wave;
use crate::Isa;
use crate::element::Element;
use crate::train::{Loss, scalar};

const LOSSES: [Loss; 5] = [
    Loss::CrossEntropy,
    Loss::Squares,
    Loss::Huber(1.0),
    Loss::Huber(0.3),
    Loss::BinaryCrossEntropy,
];

/// Targets that make sense for the loss.
fn targets<T: Element>(loss: Loss, length: usize) -> Vec<T> {
    let size = if matches!(loss, Loss::Squares | Loss::Huber(_)) { 4.0 } else { 1.0 };
    let t = wave::<T>(length, 1.3, size);
    if size > 1.0 { t } else { t.iter().map(|t| T::from_f64(t.to_f64().abs())).collect() }
}

/// Of a row of n outputs of size s, values are off by n + 12 + 4s roundings of what is added up, derivatives by as
/// many of their largest: an exponent of size s makes s roundings of its exponential (see `softmax`).
fn check<T: Element>(loss: Loss, length: usize, size: f64) {
    let (z, t): (Vec<T>, Vec<T>) = (wave(length, 0.6, size), targets(loss, length));
    let wide = |x: &[T]| x.iter().map(|x| x.to_f64()).collect::<Vec<_>>();
    let (value, slopes) = scalar::loss(loss, &wide(&z), &wide(&t));
    let factor = 0.25;
    let units = (length as f64 + 12.0 + 4.0 * size) * T::UNIT_ROUNDOFF;
    let sizes: f64 = t.iter().map(|t| (t.to_f64().abs() + size + 1.0).powi(2)).sum();
    let most = t.iter().map(|t| t.to_f64().abs()).fold(0.0, f64::max) + 2.0 * size + 1.0;
    let most = if loss == Loss::CrossEntropy { most * length as f64 } else { most };
    for isa in Isa::detected() {
        let mut room = [&[T::from_f64(-7.0)], &z[..], &[T::from_f64(-7.0)]].concat();
        let row = &mut room[1..=length];
        let actual = T::train(isa).values(loss, row, &t, T::from_f64(factor));
        let name = isa.name();
        let error = (actual - value).abs();
        assert!(error <= units * sizes, "{name} {loss:?}, {length}: {actual}, not {value}");
        for (y, slope) in row.iter().zip(&slopes) {
            let error = (y.to_f64() - factor * slope).abs();
            assert!(error <= units * most, "{name} {loss:?}, {length}: {y}, not {slope}/4");
        }
        assert_eq!([room[0], room[length + 1]], [T::from_f64(-7.0); 2], "{name}: wrote beside");
    }
}

#[test]
fn losses_and_their_derivatives_stay_within_the_bounds() {
    for (length, size) in (1..=67).chain([129, 1000]).flat_map(|n| [(n, 1.5), (n, 20.0)]) {
        for loss in LOSSES {
            check::<f32>(loss, length, size);
            check::<f64>(loss, length, size);
        }
    }
}

#[test]
fn a_label_is_a_target_that_is_certain() {
    for length in (1..=67).chain([1000]) {
        let z: Vec<f64> = wave(length, 0.2, 4.0);
        for right in [0, length / 2, length - 1] {
            let mut target = vec![0.0; length];
            target[right] = 1.0;
            let (value, slopes) = scalar::loss(Loss::CrossEntropy, &z, &target);
            for isa in Isa::detected() {
                let mut row = z.clone();
                let actual = f64::train(isa).label(&mut row, right, 0.5);
                let units = (length as f64 + 30.0) * f64::UNIT_ROUNDOFF;
                let name = isa.name();
                assert!((actual - value).abs() <= units * 12.0, "{name}: {actual}, not {value}");
                for (y, slope) in row.iter().zip(&slopes) {
                    assert!((y - 0.5 * slope).abs() <= units, "{name}, {length}: {y}, {slope}/2");
                }
            }
        }
    }
}

#[test]
fn large_outputs_neither_overflow_nor_vanish() {
    for isa in Isa::detected() {
        let kernels = f32::train(isa);
        let mut row = [3e38_f32, -3e38, 0.0];
        let value = kernels.label(&mut row, 0, 1.0);
        assert_eq!((value.to_bits(), row), (0, [0.0; 3]), "{}: certain", isa.name());
        let mut row = [200.0_f32, -200.0];
        let value = kernels.values(Loss::BinaryCrossEntropy, &mut row, &[0.0, 0.0], 1.0);
        assert_eq!((value.to_bits(), row), (200_f64.to_bits(), [1.0, 0.0]), "{}", isa.name());
    }
}
