//! Cuts and threads change nothing.

use threadwise_kernels::Isa;

use super::{Rows, Statistic, extremes, moments, rolling, scaled};
use crate::Context;

fn context(threads: usize) -> Context<'static> {
    Context { threads, ..Context::alone(Isa::current().unwrap()) }
}

fn numbers(count: usize) -> Vec<f64> {
    (0..count).map(|i| (i as f64 * 0.3).sin() * 2.0 + 7.0).collect()
}

#[test]
fn columns_are_the_same_on_any_number_of_threads() {
    for (count, width) in [(1, 1), (300_000, 1), (40_000, 7), (513, 600), (3, 70_000)] {
        let numbers = numbers(count * width);
        let rows = Rows::new(&numbers, width);
        let (expected, _) = moments(rows, &context(1)).unwrap();
        assert_eq!(expected.rows, count);
        let column: Vec<f64> = numbers.iter().copied().step_by(width).collect();
        let mean = column.iter().sum::<f64>() / count as f64;
        assert!((expected.mean[0] - mean).abs() < 1e-10, "mean of {count} rows of {width}");
        let (ends, _) = extremes(rows, &context(1)).unwrap();
        let least = column.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(ends.least[0].to_bits(), least.to_bits(), "{count} rows of {width}");
        let scale = vec![2.0; width];
        let mut out = vec![f64::NAN; numbers.len()];
        scaled(rows, [&expected.mean, &scale], &mut out, &context(1)).unwrap();
        assert_eq!(out[0].to_bits(), ((numbers[0] - expected.mean[0]) / 2.0).to_bits());
        for threads in 2..=4 {
            assert_eq!(moments(rows, &context(threads)).unwrap().0, expected, "{threads}");
            assert_eq!(extremes(rows, &context(threads)).unwrap().0, ends, "{threads}");
            let mut other = vec![f64::NAN; numbers.len()];
            scaled(rows, [&expected.mean, &scale], &mut other, &context(threads)).unwrap();
            assert_eq!(out, other, "{threads} threads");
        }
    }
}

#[test]
fn windows_are_the_same_on_any_number_of_threads_and_wherever_they_are_cut() {
    for (count, width, size) in
        [(1, 1, 1), (200_000, 1, 50), (70_000, 3, 7), (5000, 40, 4999), (150_000, 1, 140_000)]
    {
        let numbers = numbers(count * width);
        let rows = Rows::new(&numbers, width);
        let mut expected = vec![f64::NAN; (count - size + 1) * width];
        rolling(rows, size, Statistic::Mean, &mut expected, &context(1)).unwrap();
        for (i, found) in expected.iter().enumerate().step_by(expected.len().div_ceil(50)) {
            let window = numbers[i..].iter().step_by(width).take(size);
            let mean = window.sum::<f64>() / size as f64;
            assert!((found - mean).abs() < 1e-9, "window {i} of {size} in {count} rows of {width}");
        }
        for threads in 2..=4 {
            let mut out = vec![f64::NAN; expected.len()];
            rolling(rows, size, Statistic::Mean, &mut out, &context(threads)).unwrap();
            assert_eq!(out, expected, "{threads} threads");
        }
    }
}
