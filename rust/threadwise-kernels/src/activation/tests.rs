//! Every vector unit against the definition.

use super::Activation;
use crate::Isa;
use crate::simd::{self, Element, Lanes};

/// The activation of each number, on the vectors `V`.
fn on<V: Lanes>(proof: V::Proof, xs: &[V::Element], activation: Activation) -> Vec<V::Element> {
    let mut ys = vec![V::Element::default(); xs.len()];
    for (x, y) in xs.chunks(V::COUNT).zip(ys.chunks_mut(V::COUNT)) {
        let mask = V::first(proof, x.len());
        // SAFETY: the mask has as many lanes as `x` has elements.
        let lanes = unsafe { V::load_first(proof, mask, x.as_ptr()) };
        // SAFETY: `y` is as long as `x`.
        unsafe { lanes.activate(proof, activation).store_first(mask, y.as_mut_ptr()) };
    }
    ys
}

/// On each instruction set this CPU has, the activation of each number.
fn twins_f32(xs: &[f32], activation: Activation) -> Vec<(&'static str, Vec<f32>)> {
    Isa::detected()
        .into_iter()
        .map(|isa| {
            let ys = match isa {
                Isa::Scalar => on::<simd::portable::Portable<f32, 4>>((), xs, activation),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2(proof) => on::<simd::avx2::F32x8>(proof, xs, activation),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512(proof) => on::<simd::avx512::F32x16>(proof, xs, activation),
                #[cfg(target_arch = "x86_64")]
                Isa::Amx(proof) => on::<simd::avx512::F32x16>(proof.avx512(), xs, activation),
            };
            (isa.name(), ys)
        })
        .collect()
}

fn twins_f64(xs: &[f64], activation: Activation) -> Vec<(&'static str, Vec<f64>)> {
    Isa::detected()
        .into_iter()
        .map(|isa| {
            let ys = match isa {
                Isa::Scalar => on::<simd::portable::Portable<f64, 2>>((), xs, activation),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2(proof) => on::<simd::avx2::F64x4>(proof, xs, activation),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512(proof) => on::<simd::avx512::F64x8>(proof, xs, activation),
                #[cfg(target_arch = "x86_64")]
                Isa::Amx(proof) => on::<simd::avx512::F64x8>(proof.avx512(), xs, activation),
            };
            (isa.name(), ys)
        })
        .collect()
}

/// |error| ≤ 10·u·|x| + the smallest normal number: every activation here is x times a factor in
/// [0, 1], and ten roundings reach that factor near x = 0, where none is attenuated. Far out, exp(−x²/2)
/// has a relative error of x²/2·u, but the factor it belongs to is smaller than its inverse.
fn check<T: Element>(name: &str, activation: Activation, x: T, y: T, tiny: f64) {
    let exact = super::scalar::activate(x.to_f64(), activation);
    let bound = 10.0 * T::UNIT_ROUNDOFF * x.to_f64().abs() + tiny;
    let error = (y.to_f64() - exact).abs();
    assert!(error <= bound, "{name} {activation:?}({x}) = {y}, not {exact}: off by {error:e}");
}

fn numbers() -> impl Iterator<Item = f64> {
    (-30_000..=30_000).map(|i| f64::from(i) / 1000.0)
}

#[test]
#[expect(clippy::cast_possible_truncation, reason = "the inputs of the narrower type")]
fn every_twin_stays_within_ten_roundings_of_the_definition() {
    for (_, activation) in Activation::NAMED {
        let narrow: Vec<f32> = numbers().map(|x| x as f32).collect();
        for (name, ys) in twins_f32(&narrow, activation) {
            for (&x, y) in narrow.iter().zip(ys) {
                check(name, activation, x, y, f64::from(f32::MIN_POSITIVE));
            }
        }
        let wide: Vec<f64> = numbers().collect();
        for (name, ys) in twins_f64(&wide, activation) {
            for (&x, y) in wide.iter().zip(ys) {
                check(name, activation, x, y, f64::MIN_POSITIVE);
            }
        }
    }
}

#[test]
fn nan_passes_and_large_numbers_saturate() {
    for (_, activation) in Activation::NAMED {
        let xs = [f32::NAN, f32::INFINITY, 3e38, -3e38, 1e10, -1e10, -200.0, 0.0];
        for (name, ys) in twins_f32(&xs, activation) {
            assert!(ys[0].is_nan(), "{name} {activation:?}(NaN) = {}", ys[0]);
            let expected = [f32::INFINITY, 3e38, 0.0, 1e10, 0.0, 0.0, 0.0];
            assert_eq!(ys[1..], expected, "{name} {activation:?} of {:?}", &xs[1..]);
        }
        let xs = [f64::NAN, f64::INFINITY, 1e300, -1e300, -2000.0, 0.0];
        for (name, ys) in twins_f64(&xs, activation) {
            assert!(ys[0].is_nan(), "{name} {activation:?}(NaN) = {}", ys[0]);
            assert_eq!(ys[1..], [f64::INFINITY, 1e300, 0.0, 0.0, 0.0], "{name} {activation:?}");
        }
    }
}
