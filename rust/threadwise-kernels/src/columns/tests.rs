//! The kernels on each instruction set against the definitions, and against one another bit for bit.

use super::{Columns, Extremes, Moments, Statistic, Windows, scalar};
use crate::{Element, Isa};

fn numbers<T: Element>(count: usize) -> Vec<T> {
    (0..count).map(|i| T::from_f64((i as f64 * 0.7).sin() * 3.0 + 5.0)).collect()
}

fn wide<T: Element>(rows: &[T], width: usize, column: usize) -> Vec<f64> {
    rows.iter().skip(column).step_by(width).map(|x| x.to_f64()).collect()
}

/// γₙ of N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, section 3.1.
fn gamma(n: usize) -> f64 {
    let nu = n as f64 * f64::UNIT_ROUNDOFF;
    nu / (1.0 - nu)
}

fn check_moments<T: Element>() {
    for width in (1..=67).chain([200]) {
        for count in [1, 2, 9, 40] {
            let rows: Vec<T> = numbers(count * width);
            let first = &rows[..width];
            let mut bits = Vec::new();
            for isa in Isa::detected() {
                let kernel = Columns::<T>::new(isa);
                let (mut all, mut part) = (Moments::new(width), Moments::new(width));
                for rows in rows.chunks(7 * width) {
                    kernel.moments(rows, first, &mut part);
                    all.add(&part);
                }
                assert_eq!(all.rows, count);
                for column in 0..width {
                    let numbers = wide(&rows, width, column);
                    let (mean, squares) = scalar::moments(&numbers);
                    let size: f64 = numbers.iter().map(|x| x.abs()).sum();
                    // Sums in either order, and a few roundings where blocks meet.
                    let bound = 2.0 * gamma(count + 12) * size;
                    let what = format!("{count}×{width}, column {column}");
                    assert!((all.mean[column] - mean).abs() <= bound, "{what}: mean");
                    let bound = bound * size * 4.0 / count as f64;
                    assert!((all.squares[column] - squares).abs() <= bound, "{what}: squares");
                    let is_constant = numbers.iter().all(|x| x.to_bits() == numbers[0].to_bits());
                    assert_eq!(all.differing[column] == 0, is_constant, "{what}: constant");
                }
                bits.push(all);
            }
            assert!(bits.windows(2).all(|two| two[0] == two[1]), "{count}×{width}: bits");
        }
    }
}

fn check_extremes<T: Element>() {
    for width in (1..=67).chain([200]) {
        let mut rows: Vec<T> = numbers(12 * width);
        rows[5 * width + width / 2] = T::from_f64(f64::NAN);
        for isa in Isa::detected() {
            let mut found = Extremes::new(&rows[..width]);
            Columns::<T>::new(isa).extremes(&rows, &mut found);
            for column in 0..width {
                let numbers = wide(&rows, width, column);
                for (statistic, found) in
                    [(Statistic::Least, &found.least), (Statistic::Largest, &found.most)]
                {
                    let expected = scalar::statistic(statistic, &numbers);
                    let found = found[column].to_f64();
                    let is_nan = found.is_nan() && expected.is_nan();
                    let is_same = found.to_bits() == expected.to_bits();
                    assert!(is_same || is_nan, "{found}, not {expected} in {column}");
                }
            }
        }
    }
}

fn check_scaled<T: Element>() {
    for width in 1..=67 {
        let rows: Vec<T> = numbers(3 * width);
        let shift: Vec<f64> = numbers(width);
        let scale: Vec<f64> = shift.iter().map(|x| x + 0.3).collect();
        for isa in Isa::detected() {
            let mut out = vec![T::default(); rows.len()];
            Columns::<T>::new(isa).scaled(&rows, &shift, &scale, &mut out);
            for (i, (x, y)) in rows.iter().zip(&out).enumerate() {
                let expected = (x.to_f64() - shift[i % width]) / scale[i % width];
                assert_eq!(*y, T::from_f64(expected), "number {i} in rows of {width}");
            }
        }
    }
}

#[test]
fn moments_of_columns_are_those_of_the_definition() {
    check_moments::<f32>();
    check_moments::<f64>();
}

#[test]
fn least_and_largest_numbers_are_exact_and_nan_is_seen() {
    check_extremes::<f32>();
    check_extremes::<f64>();
}

#[test]
fn columns_are_scaled_with_one_rounding_to_the_type() {
    check_scaled::<f32>();
    check_scaled::<f64>();
}

#[test]
fn columns_side_by_side_are_joined() {
    let rows: Vec<f64> = numbers(60);
    let kernel = Columns::<f64>::new(Isa::Scalar);
    let mut side_by_side = Moments::new(12);
    kernel.moments(&rows, &rows[..3].repeat(4), &mut side_by_side);
    let (found, mut expected) = (side_by_side.join(3), Moments::new(3));
    kernel.moments(&rows, &rows[..3], &mut expected);
    assert_eq!(found.rows, expected.rows);
    for column in 0..3 {
        let close = |x: f64, y: f64| (x - y).abs() <= 1e-13 * y.abs();
        assert!(close(found.mean[column], expected.mean[column]), "mean of {column}");
        assert!(close(found.squares[column], expected.squares[column]), "squares of {column}");
    }
    let mut extremes = Extremes::new(&rows[..12]);
    kernel.extremes(&rows, &mut extremes);
    let mut exact = Extremes::new(&rows[..3]);
    kernel.extremes(&rows, &mut exact);
    assert_eq!(extremes.join(3), exact);
}

const STATISTICS: [Statistic; 5] = [
    Statistic::Mean,
    Statistic::Deviation(3.0),
    Statistic::Least,
    Statistic::Largest,
    Statistic::Sum,
];

fn check_windows<const LANES: usize>(size: usize) {
    let series: Vec<Vec<f64>> = (0..LANES)
        .map(|lane| (0..2 * size).map(|i| ((i * LANES + lane) as f64 * 0.9).cos() * 4.0).collect())
        .collect();
    let rows: Vec<[f64; LANES]> =
        (0..2 * size).map(|i| std::array::from_fn(|lane| series[lane][i])).collect();
    for statistic in STATISTICS {
        let mut bits = Vec::new();
        for isa in Isa::detected() {
            let (mut block, mut next) = (rows[..size].to_vec(), rows[size..].to_vec());
            let mut room = vec![[f64::NAN; LANES]; size];
            Windows::<LANES>::new(isa).run(statistic, &mut block, &mut next, &mut room);
            for (i, row) in block.iter().enumerate() {
                for (lane, found) in row.iter().enumerate() {
                    let expected = scalar::statistic(statistic, &series[lane][i..i + size]);
                    // Numbers are below 4, squares of deviations below 64; a root may double what it is of.
                    let sum = 2.0 * gamma(size + 4) * 64.0 * size as f64;
                    let bound = match statistic {
                        Statistic::Deviation(_) => sum.sqrt(),
                        _ => sum,
                    };
                    let error = (found - expected).abs();
                    assert!(error <= bound, "{statistic:?} of {size} from {i} on: {error:e}");
                }
            }
            bits.push(block.iter().flatten().map(|x| x.to_bits()).collect::<Vec<_>>());
        }
        assert!(bits.windows(2).all(|two| two[0] == two[1]), "{statistic:?} of {size}: bits");
    }
}

#[test]
fn windows_have_the_statistics_of_the_definition() {
    for size in (1..=67).chain([500]) {
        check_windows::<1>(size);
        check_windows::<8>(size);
    }
}

#[test]
fn odd_numbers_are_seen_by_the_windows_that_have_them() {
    for isa in Isa::detected() {
        for statistic in STATISTICS {
            for odd in [f64::NAN, f64::INFINITY] {
                let (mut block, mut next) = ([[1.0]; 6], [[2.0]; 6]);
                block[3][0] = odd;
                let mut room = [[0.0]; 6];
                Windows::<1>::new(isa).run(statistic, &mut block, &mut next, &mut room);
                for (i, [found]) in block.into_iter().enumerate() {
                    let hides = statistic == Statistic::Least && !odd.is_nan();
                    assert_eq!(found.is_finite(), i > 3 || hides, "{statistic:?}, {odd} from {i}");
                }
            }
        }
    }
}
