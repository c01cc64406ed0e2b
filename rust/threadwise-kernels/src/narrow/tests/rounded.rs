//! From sums to results.

use half::{bf16, f16};
use ndarray::{Array2, s};

use super::{
    Bfloats, Bounded, Halves, Left, Rounded, Signed, SignedUnsigned, Tested, UnsignedSigned,
    matrix, pack_left, pack_right,
};
use crate::gemm::Epilogue;
use crate::{Activation, Element, Isa};

const PLAIN: Epilogue<'_, f32> = Epilogue { bias: None, activation: None };

/// Numbers that are hard to round: halves between neighbours, the ends of the range, none.
fn hard() -> Vec<f32> {
    let halfway = [0x3f80_8000, 0x3f81_8000, 0x3f80_8001, 0x7f7f_8000, 0x7f7f_7fff, 0x0000_8000];
    let half = [0x3f80_1000, 0x3f80_3000, 0x477f_efff, 0x477f_f000, 0x3300_0000, 0x3300_0001];
    let odd = [f32::NAN, f32::INFINITY, -f32::INFINITY, -0.0, 0.0, f32::MIN_POSITIVE];
    let plain = (0..61_u8).map(|i| (f32::from(i) - 30.0) / 7.0);
    halfway.into_iter().chain(half).map(f32::from_bits).chain(odd).chain(plain).collect()
}

#[test]
fn results_are_rounded_to_nearest_and_halves_to_even() {
    for isa in Isa::detected() {
        for length in 0..=67 {
            let sums = &hard()[..length];
            let (mut wide, mut narrow, mut half) =
                (vec![0.0; length], vec![bf16::ZERO; length], vec![f16::ZERO; length]);
            f32::finish(isa, &mut sums.to_vec(), PLAIN, &mut wide);
            bf16::finish(isa, &mut sums.to_vec(), PLAIN, &mut narrow);
            f16::finish(isa, &mut sums.to_vec(), PLAIN, &mut half);
            for (i, &sum) in sums.iter().enumerate() {
                let name = isa.name();
                assert_eq!(wide[i].to_bits(), sum.to_bits(), "{name}: {sum}");
                assert_eq!(narrow[i].to_bits(), bf16::from_f32(sum).to_bits(), "{name}: {sum}");
                let same = half[i].to_bits() == f16::from_f32(sum).to_bits();
                assert!(same || sum.is_nan() && half[i].is_nan(), "{name}: {sum} is {}", half[i]);
            }
        }
    }
}

#[test]
fn the_epilogue_is_bias_then_activation_then_one_rounding() {
    let sums: Vec<f32> = (0..67_u8).map(|i| f32::from(i) / 8.0 - 4.0).collect();
    let bias: Vec<f32> = (0..67_u8).map(|i| f32::from(i % 5) / 4.0).collect();
    for isa in Isa::detected() {
        for (name, activation) in Activation::NAMED {
            let epilogue = Epilogue { bias: Some(&bias), activation: Some(activation) };
            let mut rounded = vec![bf16::ZERO; sums.len()];
            bf16::finish(isa, &mut sums.clone(), epilogue, &mut rounded);
            for ((y, x), bias) in rounded.iter().zip(&sums).zip(&bias) {
                let x = x + bias;
                // The bound of the activations' own test, and half a unit of bfloat16.
                let exact = x.activate(activation);
                let bound = 10.0 * f32::EPSILON * x.abs() + exact.abs() / 256.0 * 1.001;
                assert!((y.to_f32() - exact).abs() <= bound, "{} {name}({x}) = {y}", isa.name());
            }
        }
    }
}

/// Results that are rounded tile by tile are those of the sums, and nothing beside them is written.
fn check<P: Tested, R: Rounded<P::Sum> + From<u8> + PartialEq + std::fmt::Debug>(
    epilogue: impl Fn(usize) -> (Option<Vec<P::Sum>>, Option<Activation>),
) where
    P::Sum: Bounded,
{
    let sizes = [(1, 1, 1), (3, 5, 4), (40, 3, 70), (33, 70, 65), (7, 64, 48), (97, 300, 130)];
    for (m, k, n) in sizes {
        let (a, b) = (matrix::<P::Left>(m, k, 0), matrix::<P::Right>(k, n, 1));
        let (bias, activation) = epilogue(n);
        let epilogue = Epilogue { bias: bias.as_deref(), activation };
        for isa in Isa::detected() {
            for kernel in [P::kernel(isa), P::kernel(isa).short()] {
                let (left, right) = (pack_left(&kernel, a.view()), pack_right(&kernel, b.view()));
                let mut sums = Array2::from_elem((m, n), P::Sum::default());
                kernel.multiply(Left::Packed(m, k, &left), &right, sums.view_mut(), false);
                let mut expected = Array2::from_elem((m + 2, n + 3), R::from(3));
                let mut c = expected.clone();
                R::finish_rows(
                    isa,
                    sums.view_mut(),
                    epilogue,
                    expected.slice_mut(s![1..=m, 2..n + 2]),
                );
                let (left, place) = (Left::Packed(m, k, &left), c.slice_mut(s![1..=m, 2..n + 2]));
                kernel.multiply_rounded(isa, left, &right, place, epilogue);
                assert_eq!(c, expected, "{} {m}×{k}×{n}", kernel.name());
            }
        }
    }
}

#[test]
fn tiles_are_rounded_as_their_sums_are() {
    let none = |_| (None, None);
    check::<Bfloats, bf16>(none);
    check::<Bfloats, f32>(none);
    check::<Halves, f16>(none);
    check::<Signed, i32>(|_| (None, None));
    check::<UnsignedSigned, i32>(|_| (None, None));
    check::<SignedUnsigned, i32>(|_| (None, None));
    let biased = |n| (Some((0..n).map(|j| j as f32 / 8.0).collect()), Some(Activation::Relu));
    check::<Bfloats, bf16>(biased);
    check::<Halves, f32>(biased);
}
