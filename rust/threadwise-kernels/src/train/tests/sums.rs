//! Sums and steps.

use half::{bf16, f16};

use super::{lengths, wave};
use crate::Isa;
use crate::element::Element;
use crate::train::{Adam, Momentum, Plain, State, Summand, Terms, scalar};

/// A number type, what it rounds by, and how it is made.
trait Number: Summand {
    const ROUNDOFF: f64;
    fn of(x: f64) -> Self;
    fn wide(self) -> f64;
}

macro_rules! number {
    ($number:ty, $roundoff:expr, $of:expr, $wide:expr) => {
        impl Number for $number {
            const ROUNDOFF: f64 = $roundoff;
            fn of(x: f64) -> Self {
                $of(x)
            }
            fn wide(self) -> f64 {
                $wide(self)
            }
        }
    };
}

number!(f32, f32::UNIT_ROUNDOFF, f32::from_f64, f64::from);
number!(f64, f64::UNIT_ROUNDOFF, f64::from, f64::from);
number!(bf16, 1.0 / 256.0, bf16::from_f64, bf16::to_f64);
number!(f16, 1.0 / 2048.0, f16::from_f64, f16::to_f64);

/// Each of n terms is rounded when it is added, and the sum twice more at most: |error| ≤ γₙ₊₁·Σ|terms| + u·|sum|,
/// γ in the precision of the sum, u in that of the result (Higham 2002, section 3.1).
fn check<S: Number>() {
    for (length, count) in lengths().flat_map(|length| [(length, 1), (length, 3), (length, 8)]) {
        let offset = 5;
        let sources: Vec<Vec<S>> = (0..count)
            .map(|i| {
                wave::<f64>(length + offset, f64::from(i), 3.0).into_iter().map(S::of).collect()
            })
            .collect();
        let sources: Vec<&[S]> = sources.iter().map(Vec::as_slice).collect();
        let weights: Vec<f64> = (0..count).map(|i| 0.25 + f64::from(i) / 8.0).collect();
        let narrow: Vec<S::Sum> = weights.iter().map(|&w| S::Sum::from_f64(w)).collect();
        let terms =
            Terms { sources: &sources, weights: &narrow, factor: S::Sum::from_f64(1.0 / 3.0) };
        let factor = terms.factor.to_f64();
        for isa in Isa::detected() {
            let mut room = vec![S::of(-7.0); length + 2];
            S::reduce(isa).run(&terms, offset, &mut room[1..=length]);
            for j in 0..length {
                let each = || weights.iter().zip(&sources).map(|(w, x)| (*w, x[offset + j].wide()));
                let exact = scalar::sum(each(), factor);
                let size: f64 = each().map(|(w, x)| (w * x).abs()).sum::<f64>() * factor;
                let units = f64::from(count + 1) * S::Sum::UNIT_ROUNDOFF;
                let bound = units / (1.0 - units) * size * 1.001 + S::ROUNDOFF * exact.abs() * 1.1;
                let error = (room[1 + j].wide() - exact).abs();
                assert!(error <= bound, "{}, {j} of {length}: {error:e}", isa.name());
            }
            let edges = [room[0].wide(), room[length + 1].wide()].map(f64::to_bits);
            assert_eq!(edges, [(-7.0_f64).to_bits(); 2], "{}: wrote beside", isa.name());
        }
    }
}

#[test]
fn sums_stay_within_the_rounding_bound() {
    check::<f32>();
    check::<f64>();
    check::<bf16>();
    check::<f16>();
}

#[test]
fn infinity_and_nan_survive_rounding_to_sixteen_bits() {
    let numbers = [1e30_f32, f32::NAN, f32::INFINITY, 65504.0, 65519.0, 65520.0];
    for isa in Isa::detected() {
        let halves = numbers.map(f16::from_f32);
        let mut out = [f16::ZERO; 6];
        let terms = Terms { sources: &[&halves[..]], weights: &[1.0], factor: 1.0 };
        f16::reduce(isa).run(&terms, 0, &mut out);
        for (y, x) in out.into_iter().zip(halves) {
            assert!(y == x || y.is_nan() && x.is_nan(), "{}: {y}, not {x}", isa.name());
        }
        let halves = numbers.map(bf16::from_f32);
        let mut out = [bf16::ZERO; 6];
        let terms = Terms { sources: &[&halves[..]], weights: &[1.0], factor: 1.0 };
        bf16::reduce(isa).run(&terms, 0, &mut out);
        for (y, x) in out.into_iter().zip(halves) {
            assert!(y == x || y.is_nan() && x.is_nan(), "{}: {y}, not {x}", isa.name());
        }
    }
}

/// Squares are not negative, so in any order their sum is off by one rounding a term at most, and those of the sums
/// that are squared, twice.
fn check_squares<T: Element>(size: f64) {
    for length in lengths() {
        let sources: [Vec<T>; 2] = [wave(length, 0.1, size), wave(length, 0.7, size)];
        let [one, two] = &sources;
        let (slices, half) = ([&one[..], &two[..]], T::from_f64(0.5));
        let terms = Terms { sources: &slices, weights: &[T::from_f64(1.0); 2], factor: half };
        let exact: f64 =
            one.iter().zip(two).map(|(x, y)| (0.5 * (x.to_f64() + y.to_f64())).powi(2)).sum();
        for isa in Isa::detected() {
            let sum = T::train(isa).squares(&terms, 0, length);
            let units = (length as f64 + 8.0) * T::UNIT_ROUNDOFF;
            // Where the two nearly cancel, their sum is off by more of itself.
            let sizes: f64 = one
                .iter()
                .zip(two)
                .map(|(x, y)| (0.5 * (x.to_f64().abs() + y.to_f64().abs())).powi(2))
                .sum();
            assert!((sum - exact).abs() <= units * sizes, "{}, {length}: {sum}", isa.name());
        }
    }
}

#[test]
fn squares_stay_within_the_rounding_bound_and_do_not_overflow() {
    check_squares::<f32>(2.0);
    check_squares::<f64>(2.0);
    check_squares::<f32>(1e25);
}

/// The weights, two states and gradients of a step.
fn operands<T: Element>(length: usize) -> [Vec<T>; 4] {
    let squares: Vec<T> = wave::<T>(length, 0.9, 0.5);
    let squares = squares.iter().map(|x| T::from_f64(x.to_f64().powi(2))).collect();
    [wave(length, 0.2, 2.0), wave(length, 0.5, 0.3), squares, wave(length, 1.1, 1.0)]
}

fn check_steps<T: Element>() {
    let t = T::from_f64;
    // What is put into rules is rounded, so the definitions are given what came of it.
    let [rate, decay, keep, b1, b2] = [0.05, 0.01, 0.9, 0.875, 0.96875].map(|x| t(x).to_f64());
    // Of each number, some roundings of the sizes that were added up.
    let bound = 24.0 * T::UNIT_ROUNDOFF;
    for length in lengths() {
        let [w, m, v, g] = operands::<T>(length);
        let sources = [&g[..]];
        let terms = Terms { sources: &sources, weights: &[t(1.0)], factor: t(1.0) };
        for isa in Isa::detected() {
            let (kernels, name) = (T::train(isa), isa.name());
            let close = |actual: T, exact: f64, size: f64| {
                let error = (actual.to_f64() - exact).abs();
                assert!(error <= bound * size, "{name}, {length}: {actual}, not {exact}");
            };
            let mut plain = w.clone();
            let rule = Plain { rate: t(rate), decay: t(decay) };
            let state = State { weights: &mut plain, states: [&mut [], &mut []] };
            kernels.plain(&terms, 0, rule, state);
            for is_nesterov in [false, true] {
                let (mut weights, mut one) = (w.clone(), m.clone());
                let rule = Momentum { rate: t(rate), decay: t(decay), keep: t(keep), is_nesterov };
                let state = State { weights: &mut weights, states: [&mut one, &mut []] };
                kernels.momentum(&terms, 0, rule, state);
                for j in 0..length {
                    let [w, m, g] = [w[j], m[j], g[j]].map(T::to_f64);
                    let settings = (rate, decay, keep);
                    let [now, next] = scalar::momentum([w, m], g, settings, is_nesterov);
                    close(weights[j], now, 3.0);
                    close(one[j], next, 3.0);
                    let [now, _] = scalar::momentum([w, 0.0], g, (rate, decay, 0.0), false);
                    close(plain[j], now, 3.0);
                }
            }
            let (mut weights, mut one, mut two) = (w.clone(), m.clone(), v.clone());
            let rule = Adam {
                rate: t(rate),
                decay: t(decay),
                keep: t(keep),
                first: [t(b1), t(1.0 - b1)],
                second: [t(b2), t(1.0 - b2)],
                root: t(1.5),
                eps: t(0.125),
            };
            let state = State { weights: &mut weights, states: [&mut one, &mut two] };
            kernels.adam(&terms, 0, rule, state);
            for j in 0..length {
                let [w, m, v, g] = [w[j], m[j], v[j], g[j]].map(T::to_f64);
                let settings = (rate, decay, keep);
                let [now, m, v] = scalar::adam([w, m, v], g, settings, [b1, b2], (1.5, 0.125));
                close(weights[j], now, 3.0);
                close(one[j], m, 3.0);
                close(two[j], v, 3.0);
            }
        }
    }
}

#[test]
fn steps_stay_within_some_roundings_of_the_definitions() {
    check_steps::<f32>();
    check_steps::<f64>();
}

#[test]
fn a_step_does_not_depend_on_where_slices_are_cut() {
    let [w, m, v, g] = operands::<f32>(1000);
    let sources = [&g[..], &w[..], &m[..]];
    let terms = Terms { sources: &sources, weights: &[1.0, 0.5, 0.25], factor: 0.3 };
    let rule = Adam {
        rate: 0.1,
        decay: 0.0,
        keep: 0.99,
        first: [0.9, 0.1],
        second: [0.99, 0.01],
        root: 1.5,
        eps: 1e-8,
    };
    for isa in Isa::detected() {
        let run = |cuts: &[usize]| {
            let (mut weights, mut one, mut two) = (w.clone(), m.clone(), v.clone());
            for pair in cuts.windows(2) {
                let range = pair[0]..pair[1];
                let states = [&mut one[range.clone()], &mut two[range.clone()]];
                let state = State { weights: &mut weights[range], states };
                f32::train(isa).adam(&terms, pair[0], rule, state);
            }
            [weights, one, two].concat()
        };
        let whole: Vec<u32> = run(&[0, 1000]).into_iter().map(f32::to_bits).collect();
        let cut: Vec<u32> = run(&[0, 1, 8, 300, 301, 1000]).into_iter().map(f32::to_bits).collect();
        assert_eq!(whole, cut, "{}", isa.name());
    }
}

#[test]
fn totals_stay_within_the_rounding_bound() {
    for length in lengths() {
        let x: Vec<f32> = wave(length, 0.3, 5.0);
        let exact: f64 = x.iter().map(|x| f64::from(*x)).sum();
        let size: f64 = x.iter().map(|x| f64::from(x.abs())).sum();
        for isa in Isa::detected() {
            let units = length as f64 * f32::UNIT_ROUNDOFF;
            let error = (f64::from(f32::train(isa).total(&x)) - exact).abs();
            assert!(error <= units / (1.0 - units) * size, "{}, {length}: {error:e}", isa.name());
        }
    }
}
