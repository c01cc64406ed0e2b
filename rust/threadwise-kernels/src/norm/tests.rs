//! The kernel of every instruction set this CPU has, against the definition.

use super::{RmsNorm, scalar};
use crate::Isa;
use crate::element::Element;

fn row<T: Element>(d: usize, seed: f64, size: f64) -> Vec<T> {
    (0..d).map(|j| T::from_f64((j as f64 * 1.7 + seed).sin() * size)).collect()
}

/// What every kernel makes of a row, and that it makes nothing of its neighbors.
fn twins<T: Element>(x: &[T], weight: &[T], eps: f64) -> Vec<(&'static str, Vec<T>)> {
    let guard = T::from_f64(-7.0);
    Isa::detected()
        .into_iter()
        .map(|isa| {
            let mut room = vec![guard; x.len() + 2];
            let kernel: RmsNorm<T> = T::rms_norm(isa);
            kernel.row(x, weight, eps, &mut room[1..=x.len()]);
            let edges = [room[0], room[x.len() + 1]];
            assert_eq!(edges, [guard; 2], "{}, d = {}: wrote beside the row", isa.name(), x.len());
            (isa.name(), room[1..=x.len()].to_vec())
        })
        .collect()
}

fn check<T: Element>(d: usize, size: f64) {
    let (x, weight) = (row::<T>(d, 0.3, size), row::<T>(d, 1.1, 3.0));
    let mut exact = vec![T::default(); d];
    scalar::rms_norm(&x, &weight, 1e-6, &mut exact);
    // The bound of the module's contract, for the twin and once more for the definition, which is
    // rounded too.
    let units = 2.0 * (d as f64 / 2.0 + 6.0) * T::UNIT_ROUNDOFF;
    let rounding = units / (1.0 - units);
    for (name, y) in twins(&x, &weight, 1e-6) {
        for (j, (y, exact)) in y.iter().zip(&exact).enumerate() {
            let (y, exact) = (y.to_f64(), exact.to_f64());
            let (error, bound) = ((y - exact).abs(), rounding * exact.abs());
            assert!(error <= bound, "{name}, d = {d}, j = {j}: {y}, not {exact}");
        }
    }
}

#[test]
fn every_twin_stays_within_the_rounding_bound() {
    for d in (0..=67).chain([127, 128, 129, 255, 256, 257, 2560]) {
        for size in [1.0, 1e-5, 1e4] {
            check::<f32>(d, size);
            check::<f64>(d, size);
        }
    }
}

#[test]
fn squares_that_overflow_do_not_spoil_the_row() {
    for d in [1, 5, 100] {
        check::<f32>(d, 3e38);
        check::<f64>(d, 1e308);
    }
}

#[test]
fn zeros_stay_zero_infinity_is_no_number_and_nan_spreads() {
    for (name, y) in twins(&[0.0_f32; 20], &[2.0; 20], 1e-40) {
        assert_eq!(y, [0.0; 20], "{name}: a row of zeros");
    }
    let mut x = [1.0_f64; 20];
    x[18] = f64::NEG_INFINITY;
    for (name, y) in twins(&x, &[2.0; 20], 1e-6) {
        assert!(y[18].is_nan(), "{name}: infinity of infinity is {}", y[18]);
        assert_eq!(y[..18], [0.0; 18], "{name}: the others are nothing beside it");
    }
    x[18] = f64::NAN;
    for (name, y) in twins(&x, &[2.0; 20], 1e-6) {
        assert!(y.iter().all(|y| y.is_nan()), "{name}: {y:?}");
    }
}
