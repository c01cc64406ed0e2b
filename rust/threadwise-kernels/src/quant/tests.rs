//! The twins against the definition, bit for bit, and the definition against what it promises.

use ndarray::{Array2, ArrayView2};

use super::*;

const KINDS: [ZeroPoint; 3] = [ZeroPoint::Symmetric, ZeroPoint::Float, ZeroPoint::Integer];

fn tasks() -> impl Iterator<Item = Task> {
    Bits::ALL.into_iter().flat_map(|bits| {
        KINDS.into_iter().flat_map(move |zero_point| {
            [Method::MinMax, Method::Mse].into_iter().flat_map(move |method| {
                [true, false].map(|is_half| Task { bits, zero_point, method, is_half })
            })
        })
    })
}

/// Numbers about as large as `size`, with outliers, zeros and equal ones among them.
fn numbers(rows: usize, columns: usize, size: f32) -> Array2<f32> {
    let mut i = 0_u32;
    Array2::from_shape_simple_fn((rows, columns), || {
        i += 1;
        let mixed = i.wrapping_mul(2_654_435_769).rotate_left(15).wrapping_mul(2_246_822_519);
        let x = f32::from((mixed >> 17) as u16) / 16384.0 - 1.0;
        let y = f32::from((mixed & 0x7fff) as u16) / 16384.0 - 1.0;
        let x = if mixed.is_multiple_of(61) { 5.0 * x } else { x * y };
        if mixed.is_multiple_of(37) { 0.0 } else { x * size }
    })
}

type Fitted = (Vec<u32>, Vec<u32>);

fn fitted(
    isa: Isa,
    task: Task,
    group: usize,
    x: ArrayView2<'_, f32>,
    w: Option<ArrayView2<'_, f32>>,
) -> Fitted {
    let kernel = Kernel::new(isa);
    let groups = x.nrows() * x.ncols().div_ceil(group);
    let (mut scales, mut zeros) = (vec![f32::NAN; groups], vec![f32::NAN; groups]);
    let mut scratch = vec![f32::NAN; kernel.scratch(group)];
    kernel.fit(task, group, x, w, &mut scales, &mut zeros, &mut scratch);
    let bits = |x: Vec<f32>| x.into_iter().map(f32::to_bits).collect();
    (bits(scales), bits(zeros))
}

fn check(group: usize, x: ArrayView2<'_, f32>, w: Option<ArrayView2<'_, f32>>) {
    for task in tasks() {
        let exact = fitted(Isa::Scalar, task, group, x, w);
        for isa in Isa::detected() {
            let found = fitted(isa, task, group, x, w);
            assert_eq!(found, exact, "{} {task:?} group {group} of {:?}", isa.name(), x.dim());
        }
    }
}

#[test]
fn every_instruction_set_finds_the_same_parameters() {
    for columns in (1..=67).chain([127, 129, 255, 257, 600]) {
        let x = numbers(3, columns, 0.02);
        let w = numbers(3, columns, 1.0).map(|w| w * w);
        check(columns, x.view(), None);
        for group in [16, 32] {
            check(group, x.view(), (columns % 2 == 0).then(|| w.view()));
        }
    }
}

#[test]
fn numbers_of_any_size_give_the_same_parameters() {
    for size in [1e-44, 1e-38, 1e-20, 1e-7, 1e6, 1e20, 3e37] {
        check(32, numbers(2, 80, size).view(), None);
    }
    check(16, Array2::zeros((2, 40)).view(), None);
    check(16, Array2::from_elem((2, 40), -0.3).view(), None);
    let none = Array2::zeros((2, 40));
    check(16, numbers(2, 40, 1.0).view(), Some(none.view()));
}

/// Σ(x − value)² of each group of a row.
fn errors(task: Task, group: usize, x: &[f32], w: Option<&[f32]>) -> Vec<f64> {
    let kernel = Kernel::new(Isa::Scalar);
    let groups = x.len().div_ceil(group);
    let (mut scales, mut zeros) = (vec![0.0; groups], vec![0.0; groups]);
    let row = ArrayView2::from_shape((1, x.len()), x).unwrap();
    let weights = w.map(|w| ArrayView2::from_shape((1, w.len()), w).unwrap());
    kernel.fit(task, group, row, weights, &mut scales, &mut zeros, &mut []);
    let (mut codes, mut values) = (vec![0; x.len()], vec![f32::NAN; x.len()]);
    kernel.encode(task, group, x, &scales, &zeros, &mut codes);
    kernel.decode(task.zero_point, group, &codes, &scales, &zeros, &mut values);
    let error = |j: usize| {
        let error = f64::from(x[j]) - f64::from(values[j]);
        w.map_or(1.0, |w| f64::from(w[j])) * error * error
    };
    (0..groups).map(|g| (g * group..x.len().min((g + 1) * group)).map(error).sum()).collect()
}

#[test]
fn the_search_is_never_worse_than_the_extremes() {
    for (group, size) in [(16, 0.02), (32, 1.0), (100, 1e-3)] {
        let x = numbers(1, 4000, size).into_raw_vec_and_offset().0;
        let w: Vec<f32> = numbers(1, 4000, 1.0).iter().map(|w| w * w + 0.01).collect();
        for task in tasks().filter(|task| task.method == Method::Mse) {
            for w in [None, Some(w.as_slice())] {
                let plain = errors(Task { method: Method::MinMax, ..task }, group, &x, w);
                let found = errors(task, group, &x, w);
                for (found, plain) in found.iter().zip(&plain) {
                    // The errors that are compared are sums of float32.
                    assert!(*found <= plain * (1.0 + 1e-4), "{task:?}: {found}, not {plain}");
                }
                let (found, plain): (f64, f64) = (found.iter().sum(), plain.iter().sum());
                let is_fine = task.bits == Bits::Eight;
                assert!(is_fine || found < 0.95 * plain, "{task:?}: {found} of {plain}");
            }
        }
    }
}

#[test]
fn every_instruction_set_encodes_and_decodes_alike() {
    for columns in (1..=67).chain([127, 255, 256, 257]) {
        let x = numbers(1, columns, 0.02).into_raw_vec_and_offset().0;
        for task in tasks().filter(|task| task.method == Method::MinMax) {
            for group in [16, 32, columns] {
                let row = ArrayView2::from_shape((1, columns), &x).unwrap();
                let (scales, zeros) = fitted(Isa::Scalar, task, group, row, None);
                let singles = |x: Vec<u32>| x.into_iter().map(f32::from_bits).collect::<Vec<_>>();
                let (scales, zeros) = (singles(scales), singles(zeros));
                let both = |isa: Isa| {
                    let kernel = Kernel::new(isa);
                    let (mut codes, mut values) = (vec![255; columns], vec![f32::NAN; columns]);
                    kernel.encode(task, group, &x, &scales, &zeros, &mut codes);
                    kernel.decode(task.zero_point, group, &codes, &scales, &zeros, &mut values);
                    (codes, values.into_iter().map(f32::to_bits).collect::<Vec<_>>())
                };
                let exact = both(Isa::Scalar);
                for isa in Isa::detected() {
                    assert_eq!(both(isa), exact, "{} {task:?} {columns}", isa.name());
                }
            }
        }
    }
}

#[test]
fn streams_hold_all_codes_densely() {
    for bits in Bits::ALL {
        for count in (0..=67).chain([95, 96, 97, 128, 1000]) {
            let most = bits.largest();
            let code = |j: u32| u8::try_from((j * 7 + j / 5) % (most + 1)).unwrap();
            let codes: Vec<u8> = (0..count).map(code).collect();
            let mut exact = vec![u32::MAX; words(codes.len(), bits)];
            pack(bits, &codes, &mut exact);
            for (j, &code) in codes.iter().enumerate() {
                for k in 0..bits.get() {
                    let at = j * bits.get() + k;
                    let bit = exact[at / 32] >> (at % 32) & 1;
                    assert_eq!(bit, u32::from(code) >> k & 1, "bit {k} of code {j}");
                }
            }
            let used = codes.len() * bits.get() % 32;
            assert!(used == 0 || exact[exact.len() - 1] >> used == 0, "zeros after the last");
            for isa in Isa::detected() {
                let kernel = Kernel::new(isa);
                let mut stream = vec![u32::MAX; exact.len()];
                kernel.pack(bits, &codes, &mut stream);
                assert_eq!(stream, exact, "{} {bits:?} {count}", isa.name());
                let mut back = vec![255; codes.len()];
                kernel.unpack(bits, &stream, &mut back);
                assert_eq!(back, codes, "{} {bits:?} {count}", isa.name());
            }
        }
    }
}

#[test]
fn the_largest_is_found_or_what_is_not_finite() {
    for isa in Isa::detected() {
        let kernel = Kernel::new(isa);
        for count in 1..=67 {
            let mut x = vec![-0.5_f32; count];
            x[count / 2] = -2.5;
            assert_eq!(kernel.largest(&x), Ok(2.5), "{}", isa.name());
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                x[count - 1] = bad;
                assert_eq!(kernel.largest(&x), Err(count - 1), "{}", isa.name());
            }
        }
        assert_eq!(kernel.largest(&[]), Ok(0.0), "{}", isa.name());
    }
}

#[test]
fn losses_are_the_same_sums_on_every_instruction_set() {
    for count in (0..=67).chain([1000]) {
        let x = numbers(1, count, 0.02).into_raw_vec_and_offset().0;
        let values: Vec<f32> = x.iter().map(|x| (x * 64.0).round() / 64.0).collect();
        let exact = Kernel::new(Isa::Scalar).loss(&x, &values);
        for isa in Isa::detected() {
            assert_eq!(Kernel::new(isa).loss(&x, &values), exact, "{} {count}", isa.name());
        }
        let pairs = || x.iter().zip(&values).map(|(w, v)| (f64::from(*w), f64::from(*v)));
        let is_near = |sum: f64, plain: f64| (sum - plain).abs() <= 1e-12 * plain.abs();
        assert!(is_near(exact.weights, pairs().map(|(w, _)| w * w).sum()));
        assert!(is_near(exact.values, pairs().map(|(_, v)| v * v).sum()));
        assert!(is_near(exact.products, pairs().map(|(w, v)| w * v).sum()));
        assert!(is_near(exact.errors, pairs().map(|(w, v)| (w - v) * (w - v)).sum()));
        let largest = pairs().map(|(w, v)| (w - v).abs()).fold(0.0, f64::max);
        assert_eq!(exact.largest.to_bits(), largest.to_bits());
    }
}

#[test]
fn symmetric_values_are_not_too_small() {
    // Values of least squares are too small by Σerror²/Σw².
    let x = numbers(1, 4096, 0.02).into_raw_vec_and_offset().0;
    let kernel = Kernel::new(Isa::Scalar);
    for bits in [Bits::Two, Bits::Three, Bits::Four] {
        let (zero_point, method) = (ZeroPoint::Symmetric, Method::Mse);
        let task = Task { bits, zero_point, method, is_half: true };
        let row = ArrayView2::from_shape((1, x.len()), &x).unwrap();
        let (mut scales, mut zeros) = (vec![0.0; 128], vec![0.0; 128]);
        kernel.fit(task, 32, row, None, &mut scales, &mut zeros, &mut []);
        let (mut codes, mut values) = (vec![0; x.len()], vec![f32::NAN; x.len()]);
        kernel.encode(task, 32, &x, &scales, &zeros, &mut codes);
        kernel.decode(zero_point, 32, &codes, &scales, &zeros, &mut values);
        let loss = kernel.loss(&x, &values);
        let bias = 1.0 - loss.products / loss.weights;
        assert!(bias.abs() < 0.3 * loss.errors / loss.weights, "{bits:?}: {bias}, {loss:?}");
    }
}
