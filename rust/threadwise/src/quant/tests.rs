//! Quantized and back.

use half::f16;
use ndarray::{Array2, ArrayView2};

use super::*;
use crate::{Context, Error, Isa};

/// Places for a quantized matrix.
struct Made {
    codes: Array2<u32>,
    scales: Array2<f16>,
    minima: Array2<f16>,
    zeros: Array2<u32>,
}

impl Made {
    fn new(scheme: &Scheme, (rows, columns): (usize, usize)) -> Self {
        let groups = scheme.groups(columns);
        Self {
            codes: Array2::from_elem((rows, scheme.words(columns)), u32::MAX),
            scales: Array2::from_elem((rows, groups), f16::NAN),
            minima: Array2::from_elem((rows, groups), f16::NAN),
            zeros: Array2::from_elem((scheme.zero_words(rows), groups), u32::MAX),
        }
    }

    fn places(&mut self, scheme: &Scheme) -> QuantizedMut<'_> {
        QuantizedMut {
            codes: self.codes.view_mut(),
            scales: NumbersMut::F16(self.scales.view_mut()),
            zeros: match scheme.zero_point {
                ZeroPoint::Symmetric => ZerosMut::Symmetric,
                ZeroPoint::Float => ZerosMut::Float(NumbersMut::F16(self.minima.view_mut())),
                ZeroPoint::Integer => ZerosMut::Integer(self.zeros.view_mut()),
            },
        }
    }

    fn parts(&self, scheme: &Scheme) -> Quantized<'_> {
        Quantized {
            codes: self.codes.view(),
            scales: Numbers::F16(self.scales.view()),
            zeros: match scheme.zero_point {
                ZeroPoint::Symmetric => Zeros::Symmetric,
                ZeroPoint::Float => Zeros::Float(Numbers::F16(self.minima.view())),
                ZeroPoint::Integer => Zeros::Integer(self.zeros.view()),
            },
        }
    }
}

fn schemes() -> impl Iterator<Item = Scheme> {
    let sizes = [Some(16), Some(32), Some(128), None];
    let kinds = [ZeroPoint::Symmetric, ZeroPoint::Float, ZeroPoint::Integer];
    Bits::ALL.into_iter().flat_map(move |bits| {
        sizes.into_iter().flat_map(move |size| {
            kinds.into_iter().flat_map(move |zero_point| {
                [Method::MinMax, Method::Mse].into_iter().map(move |method| Scheme {
                    bits,
                    group_size: size.and_then(std::num::NonZeroUsize::new),
                    zero_point,
                    method,
                })
            })
        })
    })
}

fn weight((rows, columns): (usize, usize)) -> Array2<f32> {
    let mut i = 0.0_f32;
    Array2::from_shape_simple_fn((rows, columns), || {
        i += 1.0;
        0.02 * ((i * 0.7).sin() + (i * i * 0.013).cos())
    })
}

#[test]
fn errors_stay_within_a_step() {
    let weight = weight((67, 77));
    for scheme in schemes() {
        let mut made = Made::new(&scheme, weight.dim());
        let isa = Isa::current().unwrap();
        let to = made.places(&scheme);
        let outcome = quantize_rows(weight.view(), None, &scheme, to, true, isa).unwrap();
        assert!(
            outcome.survey.needs_single(&scheme)
                == (scheme.bits == Bits::Eight && outcome.survey.largest < 0.062),
            "{scheme:?}"
        );
        let mut values = Array2::from_elem(weight.dim(), f32::NAN);
        let parts = made.parts(&scheme);
        dequantize(parts, &scheme, values.view_mut(), &Context::new().unwrap()).unwrap();
        let steps = f64::from(scheme.bits.largest());
        let step = 2.0 * f64::from(outcome.survey.largest) / steps;
        // The search gives up the ends of a range where that serves the rest.
        let steps = if scheme.method == Method::MinMax { 1.01 } else { 2.0 };
        assert!(outcome.sums.largest <= step * steps, "{scheme:?}: {:?}", outcome.sums);
        let largest = weight.iter().zip(&values).map(|(w, v)| f64::from(*w) - f64::from(*v));
        let largest = largest.fold(0.0, |most: f64, error| most.max(error.abs()));
        assert_eq!(outcome.sums.largest.to_bits(), largest.to_bits(), "{scheme:?}");
    }
}

#[test]
fn blocks_of_rows_are_those_of_the_whole() {
    let weight = weight((70, 50));
    for scheme in schemes() {
        let isa = Isa::current().unwrap();
        let (mut whole, mut parts) =
            (Made::new(&scheme, weight.dim()), Made::new(&scheme, weight.dim()));
        let to = whole.places(&scheme);
        quantize(weight.view(), None, &scheme, to, &Context::new().unwrap()).unwrap();
        let (above, below) = weight.view().split_at(ndarray::Axis(0), 2 * ROWS);
        let words = scheme.zero_words(2 * ROWS);
        for (rows, first, word) in [(above, 0, 0), (below, 2 * ROWS, words)] {
            quantize_rows(
                rows,
                None,
                &scheme,
                cut(&mut parts, &scheme, first, word, rows),
                false,
                isa,
            )
            .unwrap();
        }
        assert_eq!(whole.codes, parts.codes, "{scheme:?}");
        let bits = |numbers: &Array2<f16>| numbers.map(|x| x.to_bits());
        assert_eq!(bits(&whole.scales), bits(&parts.scales), "{scheme:?}");
        assert_eq!(bits(&whole.minima), bits(&parts.minima), "{scheme:?}");
        assert_eq!(whole.zeros, parts.zeros, "{scheme:?}");
    }
}

/// Places for some rows.
fn cut<'a>(
    made: &'a mut Made,
    scheme: &Scheme,
    first: usize,
    word: usize,
    rows: ArrayView2<'_, f32>,
) -> QuantizedMut<'a> {
    let some = ndarray::Slice::from(first..first + rows.nrows());
    let axis = ndarray::Axis(0);
    let minima = made.minima.slice_axis_mut(axis, some);
    let words = ndarray::Slice::from(word..word + scheme.zero_words(rows.nrows()));
    let zeros = made.zeros.slice_axis_mut(axis, words);
    QuantizedMut {
        codes: made.codes.slice_axis_mut(axis, some),
        scales: NumbersMut::F16(made.scales.slice_axis_mut(axis, some)),
        zeros: match scheme.zero_point {
            ZeroPoint::Symmetric => ZerosMut::Symmetric,
            ZeroPoint::Float => ZerosMut::Float(NumbersMut::F16(minima)),
            ZeroPoint::Integer => ZerosMut::Integer(zeros),
        },
    }
}

#[test]
fn a_number_that_is_not_finite_is_named() {
    let mut weight = weight((40, 20));
    (weight[[39, 3]], weight[[35, 19]]) = (f32::NAN, f32::NEG_INFINITY);
    let scheme = schemes().next().unwrap();
    let mut made = Made::new(&scheme, weight.dim());
    let to = made.places(&scheme);
    let error = quantize(weight.view(), None, &scheme, to, &Context::new().unwrap()).unwrap_err();
    assert!(matches!(error, Error::NotFinite { .. }), "{error:?}");
    assert_eq!(error.to_string(), "weight[35, 19] is -inf, expected finite numbers");
}
