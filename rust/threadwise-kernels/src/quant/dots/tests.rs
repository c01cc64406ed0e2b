//! The kernels of every instruction set this CPU has, against the definition.

use half::{bf16, f16};

use super::{Inputs, Kernel, Layout, Scales, Weights, Zeros};
use crate::{Element, Isa};

/// Numbers without order, the same in each run.
fn draw(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 16
    }
}

/// Numbers from -1 to 1.
fn unit(drawn: u64) -> f32 {
    (drawn % 20_001) as f32 / 10_000.0 - 1.0
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Symmetric,
    Minimum,
    Packed,
}

/// Scales as files hold them.
enum Held {
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    F32(Vec<f32>),
}

impl Held {
    fn new(kind: usize, numbers: &[f32]) -> Self {
        match kind {
            0 => Self::F16(numbers.iter().map(|&x| f16::from_f32(x)).collect()),
            1 => Self::Bf16(numbers.iter().map(|&x| bf16::from_f32(x)).collect()),
            _ => Self::F32(numbers.to_vec()),
        }
    }

    fn scales(&self) -> Scales<'_> {
        match self {
            Self::F16(numbers) => Scales::F16(numbers),
            Self::Bf16(numbers) => Scales::Bf16(numbers),
            Self::F32(numbers) => Scales::F32(numbers),
        }
    }
}

/// A quantized matrix, packed, and what its codes stand for.
struct Matrix {
    layout: Layout,
    rows: usize,
    kind: Kind,
    codes: Vec<Vec<u32>>,
    packed: Vec<u32>,
    scales: Held,
    minima: Held,
    zeros: Vec<Vec<u32>>,
    packed_zeros: Vec<u32>,
}

/// A stream of bits for each of `streams`, whose word `i` is `at(stream, i)`.
fn pack(bits: u32, streams: &[Vec<u32>], words: &mut [u32], at: impl Fn(usize, usize) -> usize) {
    for (stream, codes) in streams.iter().enumerate() {
        for (j, &code) in codes.iter().enumerate() {
            for bit in 0..bits {
                let place = j * bits as usize + bit as usize;
                words[at(stream, place / 32)] |= (code >> bit & 1) << (place % 32);
            }
        }
    }
}

impl Matrix {
    fn new(layout: Layout, rows: usize, kind: Kind, held: usize, scale: fn(u64) -> f32) -> Self {
        let (bits, columns, groups) = (layout.bits(), layout.columns(), layout.groups());
        let mut next = draw(rows as u64 * 1000 + columns as u64 + u64::from(bits));
        let mut code = || {
            let drawn = next();
            // The ends of the range often.
            let all = (1 << bits) - 1;
            #[expect(clippy::cast_possible_truncation, reason = "a code")]
            [0, all].get(drawn as usize % 7).copied().unwrap_or((drawn >> 8) as u32 & all)
        };
        let codes: Vec<Vec<u32>> =
            (0..rows).map(|_| (0..columns).map(|_| code()).collect()).collect();
        let zeros: Vec<Vec<u32>> =
            (0..groups).map(|_| (0..rows).map(|_| code()).collect()).collect();
        let mut packed = vec![0; rows * layout.words()];
        pack(bits, &codes, &mut packed, |row, word| row * layout.words() + word);
        let mut packed_zeros = vec![0; (rows * bits as usize).div_ceil(32) * groups];
        pack(bits, &zeros, &mut packed_zeros, |group, word| word * groups + group);
        let mut next = draw(7);
        let mut numbers = || (0..rows * groups).map(|_| scale(next())).collect::<Vec<_>>();
        let (scales, minima) = (Held::new(held, &numbers()), Held::new(held, &numbers()));
        Self { layout, rows, kind, codes, packed, scales, minima, zeros, packed_zeros }
    }

    fn weights(&self) -> Weights<'_> {
        let zeros = match self.kind {
            Kind::Symmetric => Zeros::Symmetric,
            Kind::Minimum => Zeros::Minimum(self.minima.scales()),
            Kind::Packed => Zeros::Packed(&self.packed_zeros),
        };
        Weights { codes: &self.packed, scales: self.scales.scales(), zeros }
    }

    /// What code times scale and what code 0 is, of each element of a row.
    fn parts(&self, row: usize) -> Vec<(f64, f64)> {
        let groups = self.layout.groups();
        self.codes[row]
            .iter()
            .enumerate()
            .map(|(j, &code)| {
                let group = self.layout.group(j);
                let scale = f64::from(self.scales.scales().get(row * groups + group));
                let zero = match self.kind {
                    Kind::Symmetric => -f64::from(1 << (self.layout.bits() - 1)) * scale,
                    Kind::Minimum => f64::from(self.minima.scales().get(row * groups + group)),
                    Kind::Packed => -f64::from(self.zeros[group][row]) * scale,
                };
                (f64::from(code) * scale, zero)
            })
            .collect()
    }
}

/// Rows of inputs times some rows of the matrix.
fn product(isa: Isa, matrix: &Matrix, inputs: Inputs, x: &[Vec<f32>], from: usize) -> Vec<f32> {
    let kernel = Kernel::new(isa, matrix.layout, inputs);
    let prepared = prepare(&kernel, x);
    let mut scratch = vec![f32::NAN; kernel.scratch()];
    let mut y = vec![f32::NAN; x.len() * (matrix.rows - from)];
    kernel.multiply(&prepared, &matrix.weights(), from..matrix.rows, &mut scratch, &mut y);
    y
}

fn prepare(kernel: &Kernel, x: &[Vec<f32>]) -> Vec<u32> {
    let mut prepared = vec![u32::MAX; x.len() * kernel.prepared()];
    for (i, x) in x.iter().enumerate() {
        kernel.prepare(x, &mut prepared[i * kernel.prepared()..][..kernel.prepared()]);
    }
    prepared
}

fn inputs(m: usize, k: usize) -> Vec<Vec<f32>> {
    let mut next = draw(k as u64 + 3);
    (0..m).map(|_| (0..k).map(|_| unit(next())).collect()).collect()
}

/// The inputs that their bytes stand for, by the definition.
fn rounded(x: &[f32]) -> Vec<f64> {
    let run = |x: &[f32]| {
        let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let (scale, inverse) = (largest / 127.0, 127.0 / largest);
        let bytes: Vec<f64> = x
            .iter()
            .map(|x| {
                let byte = if largest > 0.0 { (x * inverse).round_ties_even() } else { 0.0 };
                f64::from(byte) * f64::from(scale)
            })
            .collect();
        for (x, byte) in x.iter().zip(&bytes) {
            let error = (f64::from(*x) - byte).abs();
            assert!(error <= f64::from(largest) / 253.0, "{x} as {byte}, largest {largest}");
        }
        bytes
    };
    x.chunks(32).flat_map(run).collect()
}

/// γₙ·Σ(|s·c| + |z|)·|x| around Σ(s·c + z)·x, with n = k/2 + 24.
fn expect_within_the_bound(what: &str, y: f32, parts: &[(f64, f64)], x: &[f64]) {
    let exact: f64 = parts.iter().zip(x).map(|((code, zero), x)| (code + zero) * x).sum();
    let terms = parts.iter().zip(x).map(|((code, zero), x)| (code.abs() + zero.abs()) * x.abs());
    let units = (x.len() as f64 / 2.0 + 24.0) * f32::UNIT_ROUNDOFF;
    let bound = units / (1.0 - units) * terms.sum::<f64>();
    assert!((f64::from(y) - exact).abs() <= bound, "{what}: {y}, not {exact} within {bound:e}");
}

/// Lengths of rows: all short ones, and around the ends of lanes, groups and blocks.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=67).chain([95, 96, 97, 127, 128, 129, 191, 193, 255, 256, 257, 300, 511, 513, 1100])
}

#[test]
fn products_are_within_the_bound() {
    let scale = |drawn| unit(drawn) / 8.0;
    for (turn, k) in lengths().enumerate() {
        for bits in [2, 3, 4, 8] {
            let groups = [Some(16), Some(32), Some(64), Some(128), Some(256), None];
            for (g, group) in groups.into_iter().enumerate() {
                let kind = [Kind::Symmetric, Kind::Minimum, Kind::Packed][(turn + g) % 3];
                // Odd and even numbers of rows, and groups of inputs.
                let (m, n) = ([1, 2, 3, 4, 5, 7][(turn + g) % 6], 3 + turn % 2);
                let layout = Layout::new(bits, k, group);
                let matrix = Matrix::new(layout, n, kind, (turn / 2 + g) % 3, scale);
                let x = inputs(m, k);
                for isa in Isa::detected() {
                    for way in [Inputs::Int8, Inputs::Float] {
                        let y = product(isa, &matrix, way, &x, 0);
                        for (i, x) in x.iter().enumerate() {
                            let x = match way {
                                Inputs::Int8 => rounded(x),
                                Inputs::Float => x.iter().map(|&x| f64::from(x)).collect(),
                            };
                            for r in 0..n {
                                let name = Kernel::new(isa, layout, way).name();
                                let what = format!(
                                    "{name}, {kind:?}, {m}×{k}×{n} in {group:?}: ({i}, {r})"
                                );
                                expect_within_the_bound(&what, y[i * n + r], &matrix.parts(r), &x);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn bytes_and_exact_sums_are_the_same_on_every_instruction_set() {
    // Powers of two as scales, and inputs whose scale is one: nothing is rounded.
    let scale = |drawn: u64| match drawn % 4 {
        0 => 0.25,
        1 => 0.5,
        2 => 1.0,
        _ => -2.0,
    };
    for k in lengths().filter(|&k| k > 0) {
        for bits in [2, 3, 4, 8] {
            for (kind, group) in
                [(Kind::Symmetric, Some(16)), (Kind::Minimum, None), (Kind::Packed, Some(64))]
            {
                let layout = Layout::new(bits, k, group);
                let matrix = Matrix::new(layout, 3, kind, 0, scale);
                let mut next = draw(k as u64);
                let mut x: Vec<f32> = (0..k).map(|_| (unit(next()) * 127.0).round()).collect();
                x.chunks_mut(32).for_each(|run| run[0] = 127.0);
                let expected: Vec<f32> = (0..3)
                    .map(|row| {
                        let terms = matrix.parts(row).into_iter().zip(&x);
                        let sum: f64 = terms.map(|((c, z), x)| (c + z) * f64::from(*x)).sum();
                        f32::from_f64(sum)
                    })
                    .collect();
                for isa in Isa::detected() {
                    for way in [Inputs::Int8, Inputs::Float] {
                        let y = product(isa, &matrix, way, std::slice::from_ref(&x), 0);
                        assert_eq!(y, expected, "{isa:?}, {way:?}, {bits} bits, {kind:?}, k = {k}");
                    }
                }
            }
        }
    }
}

#[test]
fn prepared_inputs_are_the_same_on_every_instruction_set() {
    for k in lengths() {
        for bits in [2, 3, 4, 8] {
            for group in [Some(16), Some(64), None] {
                let layout = Layout::new(bits, k, group);
                for way in [Inputs::Int8, Inputs::Float] {
                    let of = |isa| prepare(&Kernel::new(isa, layout, way), &inputs(2, k));
                    for isa in Isa::detected() {
                        assert_eq!(of(isa), of(Isa::Scalar), "{isa:?}, {way:?}, {bits} bits, {k}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_product_does_not_depend_on_what_else_is_computed() {
    for bits in [2, 3, 4, 8] {
        for kind in [Kind::Symmetric, Kind::Minimum, Kind::Packed] {
            let layout = Layout::new(bits, 300, Some(32));
            let matrix = Matrix::new(layout, 70, kind, 0, unit);
            let x = inputs(16, 300);
            for isa in Isa::detected() {
                for way in [Inputs::Int8, Inputs::Float] {
                    let all = product(isa, &matrix, way, &x, 0);
                    for (i, x) in x.iter().enumerate() {
                        // From a row on at which packed zeros begin within a word.
                        let from = 7 * i % 37;
                        let alone = product(isa, &matrix, way, std::slice::from_ref(x), from);
                        let row = &all[i * 70 + from..(i + 1) * 70];
                        assert_eq!(alone, row, "{isa:?}, {way:?}, {bits} bits, {kind:?}, row {i}");
                    }
                }
            }
        }
    }
}

#[test]
fn inputs_that_are_not_finite_give_no_finite_products_and_tiny_ones_zeros() {
    for bits in [2, 3, 4, 8] {
        let layout = Layout::new(bits, 100, Some(32));
        let matrix = Matrix::new(layout, 2, Kind::Symmetric, 2, |_| 1.0);
        for isa in Isa::detected() {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut x = vec![inputs(1, 100).remove(0), inputs(1, 100).remove(0)];
                x[1][70] = bad;
                let y = product(isa, &matrix, Inputs::Int8, &x, 0);
                assert!(y[..2].iter().all(|y| y.is_finite()), "{isa:?}: {y:?} of {bad}");
                assert!(y[2..].iter().all(|y| y.is_nan()), "{isa:?}: {y:?} of {bad}");
            }
            let x = vec![vec![1e-31; 100]];
            assert_eq!(product(isa, &matrix, Inputs::Int8, &x, 0), [0.0; 2], "{isa:?}");
        }
    }
}

#[test]
fn decoded_rows_are_the_values_and_meet_prepared_inputs() {
    for (turn, k) in lengths().enumerate() {
        for bits in [2, 3, 4, 8] {
            let kind = [Kind::Symmetric, Kind::Minimum, Kind::Packed][turn % 3];
            let layout = Layout::new(bits, k, [Some(16), Some(64), None][turn % 3]);
            // Of whole scales each value is exact.
            let matrix =
                Matrix::new(layout, 3, kind, turn % 3, |drawn| (unit(drawn) * 9.0).round());
            // Inputs that say where they are.
            let x: Vec<f32> = (1..=k).map(|j| j as f32).collect();
            for isa in Isa::detected() {
                let kernel = Kernel::new(isa, layout, Inputs::Float);
                let (wide, mut rows) = (kernel.wide(), vec![f32::NAN; 2 * kernel.wide()]);
                let mut factors = vec![f32::NAN; 2 * kernel.row_factors()];
                kernel.factors(&matrix.weights(), 1..3, &mut factors);
                kernel.decode(&matrix.weights(), 1..3, &factors, 0..wide, &mut rows);
                let block = layout.block();
                for first in (0..wide).step_by(block) {
                    let mut part = vec![f32::NAN; 2 * block];
                    let columns = first..first + block;
                    kernel.decode(&matrix.weights(), 1..3, &factors, columns, &mut part);
                    assert_eq!(part[..block], rows[first..][..block], "{isa:?}, {bits} bits, {k}");
                }
                if kernel.decodes_bf16() {
                    let mut narrow = vec![bf16::NAN; 2 * wide];
                    kernel.decode_bf16(&matrix.weights(), 1..3, &factors, 0..wide, &mut narrow);
                    let expected: Vec<bf16> = rows.iter().map(|&x| bf16::from_f32(x)).collect();
                    assert_eq!(narrow, expected, "{isa:?}, {bits} bits, {k}, as bfloat16");
                }
                let prepared = prepare(&kernel, std::slice::from_ref(&x));
                for row in 0..2 {
                    let parts = matrix.parts(row + 1);
                    let mut seen = 0;
                    for (value, at) in rows[row * wide..][..wide].iter().zip(&prepared) {
                        let place = f32::from_bits(*at);
                        assert!(value.is_finite(), "{isa:?}, {bits} bits, k = {k}");
                        if place > 0.0 {
                            #[expect(clippy::cast_possible_truncation, reason = "small")]
                            #[expect(clippy::cast_sign_loss, reason = "positive")]
                            let (code, zero) = parts[place as usize - 1];
                            assert_eq!(
                                value.to_bits(),
                                f32::from_f64(code + zero).to_bits(),
                                "{isa:?}, {bits} bits, {k}"
                            );
                            seen += 1;
                        }
                    }
                    assert_eq!(seen, k, "each input is met once");
                }
            }
        }
    }
}
