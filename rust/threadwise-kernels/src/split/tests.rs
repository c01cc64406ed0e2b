//! The kernels, where this CPU has what they need, against the definition.

use half::bf16;
use ndarray::{Array2, ArrayView2, Axis, s};

use super::{Far, Kernel, SIDE, STEP, packed, scalar};
use crate::{Element, Isa};

fn kernels() -> Vec<Kernel<f32>> {
    Isa::detected().into_iter().filter_map(f32::split).collect()
}

fn matrix(rows: usize, columns: usize, seed: f32) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |(i, j)| (i as f32 * 1.7 + j as f32 * 0.9 + seed).sin())
}

fn room(lines: usize, terms: usize) -> Array2<u32> {
    Array2::from_elem(packed(lines, terms), u32::MAX)
}

fn left(kernel: &Kernel<f32>, a: ArrayView2<'_, f32>) -> Array2<u32> {
    let mut to = room(a.nrows(), a.ncols());
    kernel.pack_left(a, to.view_mut());
    to
}

fn right(kernel: &Kernel<f32>, b: ArrayView2<'_, f32>) -> Array2<u32> {
    let mut to = room(b.ncols(), b.nrows());
    kernel.pack_right(b, to.view_mut());
    to
}

/// The unit of a line with number `pair` of its pairs of terms, for a piece, where `is_left` says how tiles lie.
fn unit(units: &Array2<u32>, line: usize, pair: usize, piece: usize, is_left: bool) -> u32 {
    let (panel, line) = (line / SIDE, line % SIDE);
    let (step, pair) = (pair / 16, pair % 16);
    let (row, column) = if is_left { (line % 16, pair) } else { (pair, line % 16) };
    units[(panel, step * STEP + (2 * piece + line / 16) * 256 + row * 16 + column)]
}

#[test]
fn pieces_add_up_to_the_number() {
    let numbers = (0..4000).map(|i| (i as f32 * 0.37).sin() * 2.0_f32.powi(i % 160 - 80));
    let edges = [0.0, 1.0, 1.0 + f32::EPSILON, -1.5, 1.0 - f32::EPSILON / 2.0, 3.0e38];
    for x in numbers.chain(edges) {
        let [a, b, c] = scalar::pieces(x).map(bf16::to_f64);
        assert_eq!((a + b + c).to_bits(), f64::from(x).to_bits(), "{x:e} is {a:e}, {b:e}, {c:e}");
        assert!(
            b.abs() <= a.abs() / 256.0 && c.abs() <= a.abs() / 65536.0,
            "{x:e} has small pieces"
        );
    }
}

#[test]
fn units_hold_the_pieces_of_each_line_from_any_layout() {
    for kernel in kernels() {
        for (lines, terms) in [(1, 1), (16, 32), (32, 32), (33, 31), (64, 70), (45, 64)] {
            let a = matrix(lines, terms, 0.2);
            let apart = Array2::from_shape_fn((lines, 2 * terms), |(i, p)| a[(i, p / 2)]);
            let columns = a.t().as_standard_layout().into_owned();
            for a in [a.view(), columns.t(), apart.slice(s![.., ..;2])] {
                let (by_rows, by_columns) = (left(&kernel, a), right(&kernel, a.t()));
                for line in 0..lines.next_multiple_of(SIDE) {
                    for pair in 0..terms.next_multiple_of(SIDE) / 2 {
                        let at = |p: usize| a.get((line, p)).copied().unwrap_or_default();
                        let first = pair / 16 * SIDE + pair % 16;
                        let (early, late) =
                            (scalar::pieces(at(first)), scalar::pieces(at(first + 16)));
                        for piece in 0..3 {
                            let expected = u32::from(early[piece].to_bits())
                                | u32::from(late[piece].to_bits()) << 16;
                            let place = (line, pair, piece);
                            let actual = unit(&by_rows, line, pair, piece, true);
                            assert_eq!(actual, expected, "A, {lines}×{terms}, {place:?}");
                            let actual = unit(&by_columns, line, pair, piece, false);
                            assert_eq!(actual, expected, "B, {lines}×{terms}, {place:?}");
                        }
                    }
                }
            }
        }
    }
}

/// What the module says of the error of a sum, but for subnormal numbers.
fn bound(terms: usize, scale: f64) -> f64 {
    // The spare units cover the rounding of a float64 reference and of what was in C.
    let roundings = (20 + 6 * terms.div_ceil(SIDE)) as f64 * f32::UNIT_ROUNDOFF;
    let pieces = 1.0 + 2.0_f64.powi(-6);
    (roundings / (1.0 - roundings) * pieces + 2.0_f64.powi(-25)) * scale
}

fn check(m: usize, k: usize, n: usize) {
    let (a, b, before) = (matrix(m, k, 0.3), matrix(k, n, 1.1), matrix(m, n, 0.5));
    for kernel in kernels() {
        let (left, right) = (left(&kernel, a.view()), right(&kernel, b.view()));
        for (accumulate, far) in [(false, Far::Left), (true, Far::Right)] {
            // A row of C is longer than what is computed.
            let mut wide = Array2::from_elem((m, n + 3), f32::NAN);
            let mut c = wide.slice_mut(s![.., ..n]);
            if accumulate {
                c.assign(&before);
            }
            kernel.multiply(left.view(), right.view(), c.view_mut(), accumulate, far);
            assert!(wide.slice(s![.., n..]).iter().all(|x| x.is_nan()), "nothing beside C");
            for ((i, j), &c) in wide.slice(s![.., ..n]).indexed_iter() {
                let pairs = || a.row(i).into_iter().zip(b.column(j)).map(|(&x, &y)| (x, y));
                let first = if accumulate { f64::from(before[(i, j)]) } else { 0.0 };
                let exact: f64 =
                    first + pairs().map(|(x, y)| f64::from(x) * f64::from(y)).sum::<f64>();
                let sizes = pairs().map(|(x, y)| f64::from((x * y).abs())).sum::<f64>();
                let (error, most) = ((f64::from(c) - exact).abs(), bound(k, sizes + first.abs()));
                assert!(
                    error <= most,
                    "{m}×{k}×{n} at {i}, {j}: {c}, not {exact}: {error:e} > {most:e}"
                );
                let defined: f64 = first + pairs().map(|(x, y)| scalar::product(x, y)).sum::<f64>();
                assert!(
                    (defined - exact).abs() <= 2.0_f64.powi(-25) * sizes + 1e-12,
                    "the definition"
                );
            }
        }
    }
}

#[test]
fn sums_are_within_the_bound_of_float32() {
    for m in [1, 15, 16, 17, 31, 32, 33, 65] {
        for n in [1, 16, 17, 32, 50] {
            for k in [1, 2, 31, 32, 33, 130] {
                check(m, k, n);
            }
        }
    }
    check(40, 700, 40);
    check(3, 0, 5);
}

#[test]
fn an_element_depends_on_its_row_and_column_alone() {
    let (a, b) = (matrix(70, 100, 0.3), matrix(100, 80, 1.1));
    for kernel in kernels() {
        let product = |a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>| {
            let mut c = Array2::from_elem((a.nrows(), b.ncols()), f32::NAN);
            let (left, right) = (left(&kernel, a), right(&kernel, b));
            kernel.multiply(left.view(), right.view(), c.view_mut(), false, Far::Left);
            c.mapv(f32::to_bits)
        };
        let whole = product(a.view(), b.view());
        let part = product(a.slice(s![33..60, ..]), b.slice(s![.., 5..]));
        assert_eq!(part, whole.slice(s![33..60, 5..]), "a part of C");
        let (left, right) = (left(&kernel, a.view()), right(&kernel, b.view()));
        let mut c = Array2::from_elem((70, 80), f32::NAN);
        for at in [0..STEP, STEP..4 * STEP] {
            let (left, right) = (
                left.slice_axis(Axis(1), at.clone().into()),
                right.slice_axis(Axis(1), at.clone().into()),
            );
            kernel.multiply(left, right, c.view_mut(), at.start > 0, Far::Right);
        }
        assert_eq!(c.mapv(f32::to_bits), whole, "steps in two calls");
    }
}

#[test]
fn what_is_not_finite_makes_its_own_sums_so() {
    for kernel in kernels() {
        for odd in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX] {
            let (mut a, b) = (matrix(20, 40, 0.3), matrix(40, 20, 1.1));
            a[(7, 33)] = odd;
            let mut c = Array2::zeros((20, 20));
            let (left, right) = (left(&kernel, a.view()), right(&kernel, b.view()));
            kernel.multiply(left.view(), right.view(), c.view_mut(), false, Far::Left);
            for ((i, j), &c) in c.indexed_iter() {
                assert_eq!(c.is_nan(), i == 7, "{odd} in row 7, C at {i}, {j} is {c}");
            }
        }
    }
}
