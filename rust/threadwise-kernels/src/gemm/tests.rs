//! The kernel of every instruction set this CPU has, against three loops.

use ndarray::{Array2, Array3, ArrayView1, ArrayView2, ArrayView3, ArrayViewMut2, Axis, s};

use super::{Epilogue, Finish, Kernel, Right};
use crate::element::Element;
use crate::{Activation, Isa};

const REPLACE: Finish<'static, f64> = Finish { accumulate: false, epilogue: None };

fn matrix<T: Element>(rows: usize, columns: usize, seed: f64) -> Array2<T> {
    Array2::from_shape_fn((rows, columns), |(i, j)| {
        T::from_f64((i as f64 * 1.7 + j as f64 * 0.9 + seed).sin())
    })
}

/// Σₖ aₖ·bₖ and Σₖ |aₖ·bₖ|, in double precision.
fn definition<T: Element>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>) -> Array2<(f64, f64)> {
    Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| {
        let terms = || a.row(i).into_iter().zip(b.column(j)).map(|(x, y)| x.to_f64() * y.to_f64());
        (terms().sum(), terms().map(f64::abs).sum())
    })
}

/// γₙ = n·u/(1 − n·u): the error of an inner product of n terms is at most γₙ·Σ|aᵢ·bᵢ|, in any order
/// of summation, fused or not (N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2002,
/// section 3.1). Two more units cover the rounding of a float64 reference.
fn gamma<T: Element>(n: usize) -> f64 {
    let nu = (n + 2) as f64 * T::UNIT_ROUNDOFF;
    nu / (1.0 - nu)
}

fn kernels<T: Element>() -> Vec<Kernel<T>> {
    Isa::detected().into_iter().map(T::gemm).collect()
}

fn pack_right<T: Element>(kernel: &Kernel<T>, b: ArrayView2<'_, T>) -> Vec<T> {
    let (k, n) = b.dim();
    let mut packed = vec![T::from_f64(f64::NAN); kernel.packed_right(k, n)];
    kernel.pack_right(b, &mut packed);
    packed
}

fn close<T: Element>(what: &str, c: ArrayView2<'_, T>, exact: &Array2<(f64, f64)>, k: usize) {
    for ((at, &c), &(exact, scale)) in c.indexed_iter().zip(exact) {
        let (error, bound) = ((c.to_f64() - exact).abs(), gamma::<T>(k) * scale);
        assert!(error <= bound, "{what} at {at:?}: {c}, not {exact}: off by {error:e} > {bound:e}");
    }
}

/// Every way to hand the operands over gives the same bits, and those are within the bound.
fn check<T: Element>(m: usize, k: usize, n: usize) {
    let (a, b) = (matrix::<T>(m, k, 0.3), matrix::<T>(k, n, 1.1));
    let exact = definition(a.view(), b.view());
    for kernel in kernels::<T>() {
        let what = format!("{} {m}×{k}×{n}", kernel.name());
        let packed_b = pack_right(&kernel, b.view());
        let column_major_a = a.t().as_standard_layout().into_owned();
        let apart = Array2::from_shape_fn((m, 2 * k), |(i, p)| a[(i, p / 2)]);
        for a_again in [a.view(), column_major_a.t(), apart.slice(s![.., ..;2])] {
            let mut copy = Array2::from_elem((m, k), T::from_f64(f64::NAN));
            kernel.copy_left(a_again, copy.as_slice_mut().unwrap());
            assert_eq!(copy, a, "{what}: the copy of A");
        }
        let apart = kernel.columns_apart(m);
        let mut copy = Array2::from_elem((k, apart), T::from_f64(f64::NAN));
        kernel.copy_columns(column_major_a.t(), copy.as_slice_mut().unwrap());
        assert_eq!(copy.slice(s![.., ..m]).t(), a, "{what}: the copy of A's columns");
        let column_major_b = b.t().as_standard_layout().into_owned();
        let transposed_b = pack_right(&kernel, column_major_b.t());

        let lefts = [a.view(), column_major_a.t()];
        let rights = [
            Right::InPlace(b.view()),
            Right::Packed(k, n, &packed_b),
            Right::Packed(k, n, &transposed_b),
        ];
        let replace = Finish { accumulate: false, epilogue: None };
        let mut first: Option<Array2<T>> = None;
        for left in lefts {
            for right in rights {
                let mut c = Array2::from_elem((m, n), T::from_f64(f64::NAN));
                kernel.multiply(left, right, c.view_mut(), replace);
                close(&what, c.view(), &exact, k);
                let first = first.get_or_insert_with(|| c.clone());
                assert_eq!(*first, c, "{what}: other bits for another layout");
            }
            let mut c = Array2::from_elem((m, n), T::from_f64(f64::NAN));
            let room = kernel.packed_right(k, n + kernel.columns());
            let mut packed = vec![T::from_f64(f64::NAN); room];
            let is_packed =
                kernel.multiply_packing(left, b.view(), &mut packed, c.view_mut(), replace);
            assert!(is_packed || (m >= 4 && k <= 64), "{what}: these have tiles");
            assert_eq!(first.as_ref(), Some(&c), "{what}: other bits of rows that pack");
            if !is_packed {
                continue;
            }
            c.fill(T::from_f64(f64::NAN));
            kernel.multiply(
                left,
                Right::Packed(k, n, &packed[..packed_b.len()]),
                c.view_mut(),
                replace,
            );
            assert_eq!(first.as_ref(), Some(&c), "{what}: other bits of what they packed");
        }
    }
}

#[test]
fn every_kernel_agrees_with_the_definition_at_every_edge_of_its_tiles() {
    for m in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 25] {
        for n in (1..=67).chain([127, 128, 129, 200]) {
            check::<f32>(m, 9, n);
            check::<f64>(m, 9, n);
        }
    }
    for k in (0..=67).chain([511, 512, 513]) {
        check::<f32>(7, k, 65);
        check::<f64>(7, k, 33);
    }
    check::<f32>(40, 50, 75);
    check::<f64>(33, 70, 75);
    // In narrower strips, and by a B whose rows begin at the same place of a page.
    for m in [6, 7, 8, 9] {
        check::<f32>(m, 40, 259);
        check::<f64>(m, 70, 131);
        check::<f32>(m, 70, 1024);
    }
    check::<f64>(20, 70, 512);
}

#[test]
fn a_large_result_is_the_same_wherever_its_lines_begin() {
    check_lines((300, 3, 512));
    // Block by block of columns.
    check_lines((33, 12, 4096));
}

fn check_lines((m, k, n): (usize, usize, usize)) {
    let (a, b) = (matrix::<f32>(m, k, 0.3), matrix::<f32>(k, n, 1.1));
    let replace = Finish { accumulate: false, epilogue: None };
    for kernel in kernels::<f32>() {
        let mut expected = Array2::from_elem((m, n), f32::NAN);
        let packed_b = pack_right(&kernel, b.view());
        kernel.multiply(a.view(), Right::Packed(k, n, &packed_b), expected.view_mut(), replace);
        let mut packed = vec![f32::NAN; kernel.packed_right(k, n + kernel.columns())];
        let mut room = vec![f32::NAN; 64 + m * n];
        for start in 0..32 {
            let c = ArrayViewMut2::from_shape((m, n), &mut room[start..start + m * n]);
            let mut c = c.unwrap();
            kernel.multiply(a.view(), Right::InPlace(b.view()), c.view_mut(), replace);
            assert_eq!(c, expected, "{}: from {start}", kernel.name());
            c.fill(f32::NAN);
            kernel.multiply_packing(a.view(), b.view(), &mut packed, c.view_mut(), replace);
            assert_eq!(c, expected, "{}: from {start}, packing", kernel.name());
        }
    }
}

#[test]
fn products_of_few_terms_have_the_bits_of_tiles() {
    // The column-major A is for tiles.
    for k in [0, 1, 2, 3, 4, 16, 63, 64, 65] {
        for n in [1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 31, 32, 33, 48, 49, 64, 75, 130] {
            for m in [31, 32, 33, 37, 50] {
                check::<f32>(m, k, n);
                check::<f64>(m, k, n);
            }
        }
    }
    // By a B that does not stay near: for its size, and for where its rows begin.
    check::<f32>(36, 60, 600);
    check::<f64>(36, 17, 512);
    for (m, k) in [4, 5, 7, 8, 13, 20].into_iter().flat_map(|m| [0, 3, 40].map(|k| (m, k))) {
        check::<f32>(m, k, 700);
        check::<f64>(m, k, 333);
    }
    let (a, b) = (matrix::<f32>(35, 4, 0.0), matrix::<f32>(4, 3, 1.0));
    let bias = [0.5, -2.0, 3.0];
    for kernel in kernels::<f32>() {
        let mut plain = Array2::from_elem((35, 3), f32::NAN);
        let finish = Finish { accumulate: false, epilogue: None };
        kernel.multiply(a.view(), Right::InPlace(b.view()), plain.view_mut(), finish);
        let mut room = Array2::from_elem((37, 5), -7.0_f32);
        let epilogue = Epilogue { bias: Some(&bias), activation: None };
        let finish = Finish { accumulate: false, epilogue: Some(epilogue) };
        let c = room.slice_mut(s![1..36, 1..4]);
        kernel.multiply(a.view(), Right::InPlace(b.view()), c, finish);
        let mut expected = Array2::from_elem((37, 5), -7.0_f32);
        expected.slice_mut(s![1..36, 1..4]).assign(&(plain + ArrayView1::from(&bias)));
        assert_eq!(room, expected, "{}: with a bias, and nothing else is touched", kernel.name());
    }
}

#[test]
fn a_product_is_added_to_what_was_there() {
    let (a, b) = (matrix::<f64>(7, 5, 0.0), matrix::<f64>(5, 70, 1.0));
    for kernel in kernels::<f64>() {
        let mut product = Array2::from_elem((7, 70), f64::NAN);
        let (left, right) = (a.view(), Right::InPlace(b.view()));
        kernel.multiply(left, right, product.view_mut(), REPLACE);
        let mut sum = Array2::from_elem((7, 70), 2.0);
        let add = Finish { accumulate: true, epilogue: None };
        kernel.multiply(left, right, sum.view_mut(), add);
        assert_eq!(sum, product + 2.0, "{}", kernel.name());
    }
}

#[test]
fn the_epilogue_is_bias_then_activation_and_nothing_else_is_touched() {
    let (a, b) = (matrix::<f32>(8, 4, 0.0), matrix::<f32>(4, 37, 1.0));
    let bias: Vec<f32> = (0..37_u8).map(|j| f32::from(j) / 10.0 - 2.0).collect();
    for kernel in kernels::<f32>() {
        for (name, activation) in Activation::NAMED {
            let (left, right) = (a.view(), Right::InPlace(b.view()));
            let mut plain = Array2::from_elem((8, 37), f32::NAN);
            let finish = Finish { accumulate: false, epilogue: None };
            kernel.multiply(left, right, plain.view_mut(), finish);

            let mut room = Array2::from_elem((10, 41), -7.0_f32);
            let epilogue = Epilogue { bias: Some(&bias), activation: Some(activation) };
            let finish = Finish { accumulate: false, epilogue: Some(epilogue) };
            kernel.multiply(left, right, room.slice_mut(s![1..9, 2..39]), finish);
            for ((i, j), &y) in room.indexed_iter() {
                if !(1..9).contains(&i) || !(2..39).contains(&j) {
                    assert!(y.to_bits() == (-7.0_f32).to_bits(), "({i}, {j}) was written");
                    continue;
                }
                let x = plain[(i - 1, j - 2)] + bias[j - 2];
                let exact = x.activate(activation);
                let error = (y - exact).abs();
                // The bound of the activations' own test, for an argument that is exact here.
                assert!(
                    error <= 10.0 * f32::EPSILON * x.abs(),
                    "{} {name}({x}) = {y}",
                    kernel.name()
                );
            }
        }
    }
}

#[test]
fn an_element_does_not_depend_on_its_neighbours() {
    let (a, b) = (matrix::<f32>(13, 50, 0.0), matrix::<f32>(50, 150, 1.0));
    for kernel in kernels::<f32>() {
        let finish = Finish { accumulate: false, epilogue: None };
        let mut whole = Array2::zeros((13, 150));
        kernel.multiply(a.view(), Right::InPlace(b.view()), whole.view_mut(), finish);
        for (i, j, rows, columns) in [(0, 0, 1, 1), (3, 70, 5, 66), (12, 149, 1, 1), (1, 1, 12, 64)]
        {
            let (a, b) = (a.slice(s![i..i + rows, ..]), b.slice(s![.., j..j + columns]));
            let mut part = Array2::zeros((rows, columns));
            kernel.multiply(a, Right::InPlace(b), part.view_mut(), finish);
            let expected = whole.slice(s![i..i + rows, j..j + columns]);
            assert_eq!(part, expected, "{}: part of C at ({i}, {j})", kernel.name());
        }
    }
}

#[test]
fn few_rows_agree_with_the_definition_in_both_ways() {
    fn check<T: Element>(m: usize, k: usize, n: usize) {
        let (a, b) = (matrix::<T>(m, k, 0.3), matrix::<T>(k, n, 1.1));
        let columns = b.t().as_standard_layout().into_owned();
        let bias: Vec<T> = (0..n).map(|j| T::from_f64(j as f64 / 7.0)).collect();
        let mut exact = definition(a.view(), b.view());
        for ((_, j), (sum, scale)) in exact.indexed_iter_mut() {
            *sum += bias[j].to_f64();
            *scale += bias[j].to_f64().abs();
            // relu, which is exact
            *sum = sum.max(0.0);
        }
        let epilogue = Epilogue { bias: Some(&bias), activation: Some(Activation::Relu) };
        let (begin, end) = (
            Finish { accumulate: false, epilogue: None },
            Finish { accumulate: true, epilogue: Some(epilogue) },
        );
        // In two passes over k, the second of which ends with the epilogue.
        let (early, late) = (s![.., ..k / 3], s![.., k / 3..]);
        let (early_rows, late_rows) = (s![..k / 3, ..], s![k / 3.., ..]);
        for kernel in kernels::<T>() {
            let what = format!("{} {m}×{k}×{n}", kernel.name());
            let mut room = Array2::from_elem((m + 1, n + 1), T::from_f64(f64::NAN));
            let columns = columns.t();
            let mut c = room.slice_mut(s![..m, ..n]);
            kernel.dots(a.slice(early), columns.slice(early_rows), c.view_mut(), begin);
            kernel.dots(a.slice(late), columns.slice(late_rows), c, end);
            close(&what, room.slice(s![..m, ..n]), &exact, k + 2);
            room.fill(T::from_f64(f64::NAN));
            let mut c = room.slice_mut(s![..m, ..n]);
            kernel.streams(a.slice(early), b.slice(early_rows), c.view_mut(), begin);
            kernel.streams(a.slice(late), b.slice(late_rows), c, end);
            close(&what, room.slice(s![..m, ..n]), &exact, k + 2);
            let outside = room.indexed_iter().filter(|((i, j), _)| *i == m || *j == n);
            assert!(
                outside.into_iter().all(|(_, x)| x.to_f64().is_nan()),
                "{what}: wrote beyond C"
            );
        }
    }
    for m in (1..=9).chain([13, 16, 17]) {
        for n in (1..=67).chain([255, 1025, 4100]) {
            check::<f32>(m, 5, n);
            check::<f64>(m, 9, n);
        }
        for k in (0..=67).chain([511, 513]) {
            check::<f32>(m, k, 6);
            check::<f64>(m, k, 3);
        }
    }
}

#[test]
fn streams_from_far_away_have_the_bits_of_those_from_near() {
    fn check<T: Element>(m: usize, n: usize) {
        let k = 35;
        let (a, b) = (matrix::<T>(m, k, 0.3), matrix::<T>(k, n, 1.1));
        let start = Array2::from_elem((m, n), T::from_f64(0.5));
        for kernel in kernels::<T>() {
            for accumulate in [false, true] {
                let finish = Finish { accumulate, epilogue: None };
                let (mut whole, mut parts) = (start.clone(), start.clone());
                kernel.streams(a.view(), b.view(), whole.view_mut(), finish);
                let parts_of_b = b.axis_chunks_iter(Axis(1), 1000);
                for (b, c) in parts_of_b.zip(parts.axis_chunks_iter_mut(Axis(1), 1000)) {
                    kernel.streams(a.view(), b, c, finish);
                }
                assert_eq!(whole, parts, "{} {m}×{k}×{n}", kernel.name());
            }
        }
    }
    for m in [1, 3, 4, 8, 9, 17, 36] {
        check::<f32>(m, 15_003);
        check::<f64>(m, 7_501);
    }
}

#[test]
fn small_products_in_one_call_have_the_bits_of_each_by_itself() {
    fn check<T: Element>() {
        let stack = |count: usize, rows: usize, columns: usize, seed: f64| {
            Array3::from_shape_fn((count, rows, columns), |(p, i, j)| {
                T::from_f64((p as f64 * 2.3 + i as f64 * 1.7 + j as f64 * 0.9 + seed).sin())
            })
        };
        let sizes = (1..=18).flat_map(|m| [(m, 3, 5), (m, 5, 16), (2, 2 * m, 17)]);
        let sizes = sizes.chain((1..=70).flat_map(|n| [(3, 4, n), (1, n, 1)]));
        for kernel in kernels::<T>() {
            for (m, k, n) in sizes.clone().chain([(4, 0, 3), (5, 200, 1), (0, 3, 4), (4, 3, 0)]) {
                let what = format!("{} {m}×{k}×{n}", kernel.name());
                let (a, b) = (stack(3, m, k, 0.3), stack(3, k, n, 0.8));
                let mut across = a.clone().permuted_axes([0, 2, 1]);
                across = across.as_standard_layout().into_owned();
                let mut turned = b.clone().permuted_axes([0, 2, 1]);
                turned = turned.as_standard_layout().into_owned();
                let one = a.slice(s![1..2, .., ..]);
                let lefts = [
                    a.view(),
                    across.view().permuted_axes([0, 2, 1]),
                    a.slice(s![..;-1, .., ..]),
                    one.broadcast((3, m, k)).unwrap(),
                ];
                let rights = [b.view(), turned.view().permuted_axes([0, 2, 1])];
                for (left, right) in lefts.into_iter().flat_map(|a| rights.map(|b| (a, b))) {
                    let mut wide = Array3::from_elem((3, m + 1, n + 2), T::from_f64(7.0));
                    let mut c = wide.slice_mut(s![.., ..m, ..n]);
                    let mut room = vec![T::from_f64(f64::NAN); kernel.turned(right)];
                    kernel.multiply_each(left, right, c.view_mut(), &mut room);
                    for (p, c) in c.outer_iter().enumerate() {
                        let mut alone = Array2::from_elem((m, n), T::from_f64(f64::NAN));
                        let finish = Finish { accumulate: false, epilogue: None };
                        let (a, b) = (left.index_axis(Axis(0), p), b.index_axis(Axis(0), p));
                        kernel.multiply(a, Right::InPlace(b), alone.view_mut(), finish);
                        assert_eq!(c, alone, "{what}: product {p}");
                    }
                    let by_dots = |x: ArrayView3<'_, T>, axis: usize| x.strides()[axis] == 1;
                    if by_dots(left, 2) && by_dots(right, 1) && n > 0 {
                        kernel.dots_each(left, right, c.view_mut());
                        for (p, c) in c.outer_iter().enumerate() {
                            let mut alone = Array2::from_elem((m, n), T::from_f64(f64::NAN));
                            let finish = Finish { accumulate: false, epilogue: None };
                            let (a, b) =
                                (left.index_axis(Axis(0), p), right.index_axis(Axis(0), p));
                            kernel.dots(a, b, alone.view_mut(), finish);
                            assert_eq!(c, alone, "{what}: product {p} by dots");
                        }
                    }
                    let beside = |&((_, i, j), _): &((usize, usize, usize), &T)| i >= m || j >= n;
                    let mut others = wide.indexed_iter().filter(beside);
                    assert!(others.all(|(_, &x)| x == T::from_f64(7.0)), "{what}: beside C");
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}
