//! Products with quantized weights: bit for bit over threads and layouts, on both sides of few rows.

use half::f16;
use ndarray::{Array, ArrayD, ArrayViewD, Axis, IxDyn, Slice};
use threadwise_kernels::quant::dots::{Inputs, Layout, Scales, Weights, Zeros};
use threadwise_kernels::{Activation, Isa};
use threadwise_runtime::Interrupt;

use super::{QuantizedWeight, linear_quantized};
use crate::work::WorkDistribution;
use crate::{Context, Error};

/// The arrays of a weight.
struct Held {
    outputs: usize,
    layout: Layout,
    codes: Vec<u32>,
    scales: Vec<f16>,
}

impl Held {
    #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
    fn new(bits: u32, outputs: usize, columns: usize) -> Self {
        let layout = Layout::new(bits, columns, Some(32));
        let word = |i: usize| (i as u32).wrapping_mul(2_654_435_761) ^ (i as u32) << 13;
        let codes = (0..outputs * layout.words()).map(word).collect();
        let scale = |i: usize| f16::from_f32((i as f32).sin());
        let scales = (0..outputs * layout.groups()).map(scale).collect();
        Self { outputs, layout, codes, scales }
    }

    fn weight(&self) -> QuantizedWeight<'_> {
        let (scales, zeros) =
            (Scales::F16(&self.scales), Zeros::Minimum(Scales::F16(&self.scales)));
        let weights = Weights { codes: &self.codes, scales, zeros };
        QuantizedWeight::new(self.outputs, self.layout, weights).unwrap()
    }

    fn linear(
        &self,
        x: ArrayViewD<'_, f32>,
        inputs: Inputs,
        threads: usize,
        distribution: Option<WorkDistribution>,
    ) -> ArrayD<f32> {
        let isa = Isa::current().unwrap();
        let context = Context { isa, threads, interrupt: Interrupt::never(), distribution };
        let mut shape = x.shape().to_vec();
        *shape.last_mut().unwrap() = self.outputs;
        let mut out = ArrayD::from_elem(IxDyn(&shape), f32::NAN);
        let bias: Vec<f32> = (0..self.outputs).map(|i| (i as f32).cos()).collect();
        let silu = Some(Activation::Silu);
        let view = out.view_mut();
        linear_quantized(x, &self.weight(), Some(&bias), silu, inputs, view, &context).unwrap();
        out
    }
}

fn array(shape: &[usize]) -> ArrayD<f32> {
    let mut i = 0.0_f32;
    Array::from_shape_simple_fn(IxDyn(shape), || {
        i += 0.7;
        i.sin()
    })
}

#[test]
fn threads_cuts_and_layouts_do_not_change_a_bit() {
    for bits in [2, 3, 4, 8] {
        let held = Held::new(bits, 1100, 700);
        for rows in [1, 2, 32, 33, 70, 300] {
            let x = array(&[rows, 700]);
            let columns = x.t().as_standard_layout().into_owned();
            for inputs in [Inputs::Int8, Inputs::Float] {
                let what = format!("{bits} bits, {rows} rows, {inputs:?}");
                let expected = held.linear(x.view(), inputs, 1, None);
                assert!(expected.iter().all(|y| y.is_finite()), "{what}: all are written");
                for threads in 2..=4 {
                    let y = held.linear(x.view(), inputs, threads, None);
                    assert_eq!(y, expected, "{what}, {threads} threads");
                    let y = held.linear(columns.t().into_dyn(), inputs, threads, None);
                    assert_eq!(y, expected, "{what}, {threads} threads, columns");
                }
                let some = WorkDistribution::new(3, 200, 2, None, 64).unwrap();
                let y = held.linear(x.view(), inputs, 3, Some(some));
                assert_eq!(y, expected, "{what}, cut otherwise");
            }
        }
    }
}

#[test]
fn rows_of_more_axes_and_places_with_gaps_are_the_same_rows() {
    let held = Held::new(4, 300, 200);
    for (few, many) in [([2, 3, 200], 6), ([3, 20, 200], 60)] {
        let x = array(&few);
        let flat = x.view().into_shape_with_order(IxDyn(&[many, 200])).unwrap();
        for inputs in [Inputs::Int8, Inputs::Float] {
            let expected = held.linear(flat.view(), inputs, 2, None);
            let y = held.linear(x.view(), inputs, 2, None);
            let y = y.into_shape_with_order(IxDyn(&[many, 300])).unwrap();
            assert_eq!(y, expected, "{few:?}, {inputs:?}");
            let mut spread = ArrayD::from_elem(IxDyn(&[many, 600]), f32::NAN);
            let every_other = Slice::new(0, None, 2);
            let context = Context::new().unwrap();
            let out = spread.slice_axis_mut(Axis(1), every_other);
            let bias: Vec<f32> = (0..300).map(|i| (i as f32).cos()).collect();
            let silu = Some(Activation::Silu);
            linear_quantized(flat.view(), &held.weight(), Some(&bias), silu, inputs, out, &context)
                .unwrap();
            assert_eq!(spread.slice_axis(Axis(1), every_other), expected, "{few:?}, {inputs:?}");
        }
    }
}

#[test]
fn nothing_to_do_is_done_and_what_does_not_fit_is_refused() {
    let context = Context::new().unwrap();
    let held = Held::new(4, 5, 0);
    for (rows, inputs) in
        [0, 1, 40, 300].into_iter().flat_map(|m| [(m, Inputs::Int8), (m, Inputs::Float)])
    {
        let mut out = array(&[rows, 5]);
        let x = array(&[rows, 0]);
        let view = out.view_mut();
        linear_quantized(x.view(), &held.weight(), None, None, inputs, view, &context).unwrap();
        assert!(out.iter().all(|y| y.to_bits() == 0), "sums of nothing, {rows} rows");
    }
    let held = Held::new(4, 5, 64);
    let (x, mut out) = (array(&[2, 63]), array(&[2, 5]));
    let before = out.clone();
    let view = out.view_mut();
    let outcome =
        linear_quantized(x.view(), &held.weight(), None, None, Inputs::Int8, view, &context);
    assert!(matches!(outcome, Err(Error::Extents(_))), "{outcome:?}");
    assert_eq!(out, before, "untouched");
    let weights = Weights {
        codes: &held.codes[1..],
        scales: Scales::F16(&held.scales),
        zeros: Zeros::Symmetric,
    };
    assert!(QuantizedWeight::new(5, held.layout, weights).is_none(), "a word is missing");
}
