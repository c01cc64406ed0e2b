//! Panels against the definition, and that against plain sums of values.

use half::{bf16, f16};
use ndarray::Array2;

use super::*;
use crate::Isa;
use crate::quant::codes;

/// A matrix, as a file has it and in panels.
struct Held {
    layout: Layout,
    /// Codes of rows, before they were packed.
    plain: Vec<Vec<u32>>,
    codes: Vec<u8>,
    f16: Vec<f16>,
    bf16: Vec<bf16>,
    f32: Vec<f32>,
    zeros: Vec<u8>,
}

impl Held {
    #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
    fn new(
        bits: u32,
        shape: (usize, usize),
        group: Option<usize>,
        run: usize,
        lead: usize,
    ) -> Self {
        let layout = Layout::new(bits, shape, group, run);
        let code =
            |r: usize, j: usize| (r * 7919 + j * 104_729 + r * j) as u32 >> 3 & ((1 << bits) - 1);
        let plain: Vec<Vec<u32>> =
            (0..shape.0).map(|r| (0..shape.1).map(|j| code(r, j)).collect()).collect();
        let streams: Vec<Vec<u32>> = plain
            .iter()
            .map(|row| {
                let all: Vec<u32> =
                    std::iter::repeat_n(1, lead).chain(row.iter().copied()).collect();
                let bytes: Vec<u8> = all.iter().map(|code| *code as u8).collect();
                let mut words = vec![0; codes::words(all.len(), kind(bits))];
                codes::pack(kind(bits), &bytes, &mut words);
                words
            })
            .collect();
        let mut codes = vec![0xaa; layout.panels() * layout.panel_bytes()];
        let panels = streams.chunks(LANES).zip(codes.chunks_exact_mut(layout.panel_bytes().max(1)));
        for (rows, to) in panels {
            let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
            layout.pack(&rows, lead, to);
        }
        let number = |i: usize| ((i as f32 * 0.37).sin() + 1.3) * 0.01;
        let all = || (0..layout.scales()).map(number);
        Self {
            layout,
            plain,
            codes,
            f16: all().map(f16::from_f32).collect(),
            bf16: all().map(bf16::from_f32).collect(),
            f32: all().collect(),
            zeros: (0..layout.scales()).map(|i| (i % (1 << bits)) as u8).collect(),
        }
    }

    fn weights(&self) -> Vec<Weights<'_>> {
        let codes = &self.codes[..];
        let minima = Scales::F16(&self.f16);
        vec![
            Weights { codes, scales: Scales::F16(&self.f16), zeros: Zeros::Symmetric },
            Weights { codes, scales: Scales::Bf16(&self.bf16), zeros: Zeros::Minima(minima) },
            Weights { codes, scales: Scales::F32(&self.f32), zeros: Zeros::Codes(&self.zeros) },
        ]
    }
}

fn kind(bits: u32) -> crate::quant::Bits {
    crate::quant::Bits::try_from(bits as usize).unwrap()
}

/// Rows of inputs, filled up, and as bytes.
struct Made {
    numbers: Vec<f32>,
    codes: Vec<u32>,
    scales: Vec<f32>,
    sums: Vec<f32>,
    float_sums: Vec<f32>,
}

impl Made {
    fn new(kernel: &Kernel, layout: &Layout, m: usize) -> Self {
        let (padded, runs) = (layout.padded(), layout.runs());
        let at = |i: usize, j: usize| ((i * 31 + j) as f32 * 0.7).sin() * 3.0;
        let mut numbers = vec![0.0; m * padded];
        for i in 0..m {
            for j in 0..layout.columns() {
                numbers[i * padded + j] = at(i, j);
            }
        }
        let (mut codes, mut scales) = (vec![7; m * padded / 4], vec![f32::NAN; m * runs]);
        let (mut sums, mut float_sums) = (vec![f32::NAN; m * runs], vec![f32::NAN; m * runs]);
        kernel.quantize(&numbers, &mut codes, &mut scales, &mut sums);
        kernel.sums(&numbers, &mut float_sums);
        Self { numbers, codes, scales, sums, float_sums }
    }

    fn bytes(&self) -> Inputs<'_> {
        Inputs::Bytes { codes: &self.codes, scales: &self.scales, sums: &self.sums }
    }

    fn floats(&self) -> Inputs<'_> {
        Inputs::Floats { numbers: &self.numbers, sums: &self.float_sums }
    }
}

fn multiply(
    kernel: &Kernel,
    inputs: Inputs<'_>,
    weights: &Weights<'_>,
    m: usize,
    rows: std::ops::Range<usize>,
) -> Array2<f32> {
    let mut y = Array2::from_elem((m, rows.len()), f32::NAN);
    let mut scratch = vec![0x5555_5555; kernel.scratch()];
    kernel.multiply(inputs, weights, rows, &mut scratch, y.view_mut());
    y
}

fn check(held: &Held, m: usize) {
    let layout = held.layout;
    let (n, k) = (layout.rows(), layout.columns());
    let scalar = Kernel::new(Isa::Scalar, layout);
    let made = Made::new(&scalar, &layout, m);
    let what = format!("{layout:?}, {m} rows");
    for (number, weights) in held.weights().into_iter().enumerate() {
        let expected =
            [made.bytes(), made.floats()].map(|x| multiply(&scalar, x, &weights, m, 0..n));
        let mut values = vec![0.0; k];
        for r in 0..n {
            scalar.row(&weights, r, &mut values);
            for i in 0..m {
                let (mut exact, mut size, mut coded, mut off) = (0.0, 0.0, 0.0, 0.0);
                for (j, value) in values.iter().enumerate() {
                    let at = i * layout.padded() + j;
                    let (x, value) = (f64::from(made.numbers[at]), f64::from(*value));
                    let code = made.codes[at / 4].to_le_bytes()[at % 4].cast_signed();
                    let scale = f64::from(made.scales[at / layout.run()]);
                    assert!((x - f64::from(code) * scale).abs() <= scale * 0.501, "{what}: {x}");
                    exact += value * x;
                    coded += value * f64::from(code) * scale;
                    // A code and what zero stands for may be of opposite signs.
                    let scale = f64::from(scalar_scale(held, &weights, r, j));
                    let parts = f64::from(held.plain[r][j]) * scale;
                    size += (parts.abs() + (value - parts).abs()) * x.abs();
                    off += value.abs();
                }
                let units = (2 * layout.runs() + 8 + layout.run()) as f64 * 6e-8;
                let actual = expected.each_ref().map(|y| f64::from(y[[i, r]]));
                let bound = units * size * 1.01 + 1e-6 * off;
                assert!(
                    (actual[1] - exact).abs() <= bound,
                    "{what}, {number}: {actual:?}, {exact}"
                );
                assert!(
                    (actual[0] - coded).abs() <= bound,
                    "{what}, {number}: {actual:?}, {coded}"
                );
            }
        }
        for isa in Isa::detected() {
            let kernel = Kernel::new(isa, layout);
            let again = Made::new(&kernel, &layout, m);
            assert_eq!((&again.codes, &again.scales), (&made.codes, &made.scales), "{what}");
            assert_eq!(again.sums, made.sums, "{what}");
            for (inputs, expected) in [made.bytes(), made.floats()].into_iter().zip(&expected) {
                let name = kernel.name();
                let y = multiply(&kernel, inputs, &weights, m, 0..n);
                assert_eq!(y, expected, "{what}, {number}, {name}");
                let some = n / 3..n - n / 4;
                let y = multiply(&kernel, inputs, &weights, m, some.clone());
                let part = expected.slice_axis(ndarray::Axis(1), some.into());
                assert_eq!(y, part, "{what}, {number}, {name}: some rows");
            }
        }
    }
}

fn scalar_scale(held: &Held, weights: &Weights<'_>, r: usize, j: usize) -> f32 {
    let layout = &held.layout;
    let group = j / layout.run() / layout.runs_of_group();
    weights.scales.get((r / LANES * layout.groups() + group) * LANES + r % LANES)
}

#[test]
fn every_twin_has_the_bits_of_the_definition_which_is_near_the_plain_sum() {
    for bits in [2, 3, 4, 8] {
        for (group, run) in
            [(Some(16), 16), (Some(32), 32), (Some(128), 64), (Some(256), 128), (None, 32)]
        {
            for k in [1, 31, 32, 33, 128, 300] {
                check(&Held::new(bits, (19, k), group, run, 0), 3);
            }
            for m in [1, 2, 4, 5, 8, 9, 16, 17, 35] {
                check(&Held::new(bits, (33, 70), group, run, 0), m);
            }
        }
        check(&Held::new(bits, (16, 96), Some(32), 32, 32), 2);
        check(&Held::new(bits, (5, 40), Some(32), 32, 64), 1);
        check(&Held::new(bits, (5, 0), Some(32), 32, 0), 2);
    }
}

#[test]
fn runs_of_numbers_that_are_none_give_none_and_tiny_ones_give_zeros() {
    let layout = Layout::new(4, (3, 64), Some(32), 32);
    for isa in Isa::detected() {
        let kernel = Kernel::new(isa, layout);
        let mut x = vec![1e-35; 64];
        x[40] = f32::INFINITY;
        let (mut codes, mut scales, mut sums) = (vec![0; 16], vec![0.0; 2], vec![0.0; 2]);
        kernel.quantize(&x, &mut codes, &mut scales, &mut sums);
        assert_eq!((scales[0], sums[0], codes[0]), (0.0, 0.0, 0), "{}", isa.name());
        assert!(scales[1].is_nan() && sums[1].is_nan(), "{}", isa.name());
    }
}
