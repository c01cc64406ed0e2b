//! Products against three loops, in every layout, and bit for bit over threads.

use ndarray::{Array, ArrayD, ArrayViewD, Axis, IxDyn, Slice};
use proptest::prelude::*;
use threadwise_kernels::Isa;
use threadwise_runtime::Interrupt;

use super::{PackedWeight, Real, linear, linear_packed, matmul, matmul_shape, zeros};
use crate::work::{Hint, Policy, WorkDistribution};
use crate::{Activation, Context, Error};

fn context(threads: usize) -> Context<'static> {
    Context {
        isa: Isa::current().unwrap(),
        threads,
        interrupt: Interrupt::never(),
        distribution: None,
    }
}

fn array<T: Real>(shape: &[usize], seed: f64) -> ArrayD<T> {
    let mut i = seed;
    Array::from_shape_simple_fn(IxDyn(shape), || {
        i += 0.7;
        T::from_f64(i.sin())
    })
}

fn product<T: Real>(a: ArrayViewD<'_, T>, b: ArrayViewD<'_, T>, threads: usize) -> ArrayD<T> {
    let shape = matmul_shape(a.shape(), b.shape()).unwrap();
    let mut out = ArrayD::from_elem(IxDyn(&shape), T::from_f64(f64::NAN));
    matmul(a, b, out.view_mut(), &context(threads)).unwrap();
    out
}

/// The definition, for matrices: each element and its error bound, γₖ·Σ|aᵢ·bᵢ| (Higham 2002, section
/// 3.1; two units more for the sums between passes and the reference's own rounding).
fn check<T: Real>(a: &ArrayD<T>, b: &ArrayD<T>, c: &ArrayD<T>) {
    let (m, k, n) = (a.shape()[0], a.shape()[1], b.shape()[1]);
    let units = (k + k / 512 + 2) as f64 * T::UNIT_ROUNDOFF;
    for i in 0..m {
        for j in 0..n {
            let terms = || (0..k).map(|p| a[[i, p]].to_f64() * b[[p, j]].to_f64());
            let (exact, scale) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
            let error = (c[[i, j]].to_f64() - exact).abs();
            let bound = units / (1.0 - units) * scale;
            assert!(error <= bound, "({i}, {j}) of {m}×{k}×{n}: off by {error:e} > {bound:e}");
        }
    }
}

#[test]
fn agrees_with_the_definition_around_every_threshold_of_the_plan() {
    for (m, k, n) in [
        (1, 1, 1),
        (16, 9000, 17),
        (3, 70_000, 150),
        (1, 500_000, 1),
        (900, 100, 8),
        (64, 12, 2),
        (24, 64, 3),
        (100, 60, 10),
        (70, 300, 20),
        (900, 800, 130),
        (1, 400, 70),
        (1, 5000, 700),
        (4, 900, 1000),
        (700, 5000, 1),
        (11, 385, 130),
        (12, 385, 130),
        (13, 769, 129),
        (200, 30, 520),
        (70, 0, 3),
        (130, 384, 300),
        (130, 512, 300),
        (30, 1025, 90),
    ] {
        let (a, b) = (array::<f32>(&[m, k], 0.0), array::<f32>(&[k, n], 1.0));
        check(&a, &b, &product(a.view(), b.view(), 2));
        let (a, b) = (array::<f64>(&[m, k], 0.0), array::<f64>(&[k, n], 1.0));
        check(&a, &b, &product(a.view(), b.view(), 2));
    }
}

/// (Where rows are few, layouts may: dots sum in another order than tiles.)
#[test]
fn threads_do_not_change_a_bit_nor_do_layouts_of_many_rows() {
    for (m, k, n) in [
        (300, 200, 260),
        (40, 3000, 700),
        (60, 300, 260),
        (2000, 40, 30),
        (13, 5, 5),
        (900, 800, 130),
        (500, 20, 700),
    ] {
        let (a, b) = (array::<f32>(&[m, k], 0.0), array::<f32>(&[k, n], 1.0));
        let expected = product(a.view(), b.view(), 1);
        let a_columns = a.t().as_standard_layout().into_owned();
        let b_columns = b.t().as_standard_layout().into_owned();
        for threads in 1..=4 {
            for (a, b) in [
                (a.view(), b.view()),
                (a_columns.t(), b.view()),
                (a.view(), b_columns.t()),
                (a_columns.t(), b_columns.t()),
            ] {
                assert_eq!(product(a, b, threads), expected, "{m}×{k}×{n}, {threads} threads");
            }
            let mut columns = zeros::<f32>(&[n, m]);
            let out = columns.view_mut().reversed_axes();
            matmul(a.view(), b.view(), out, &context(threads)).unwrap();
            assert_eq!(columns.t(), expected, "{m}×{k}×{n} into columns");
            let mut spread = zeros::<f32>(&[m, 2 * n]);
            let every_other = spread.slice_axis_mut(Axis(1), Slice::new(0, None, 2));
            matmul(a.view(), b.view(), every_other, &context(threads)).unwrap();
            let every_other = spread.slice_axis(Axis(1), Slice::new(0, None, 2));
            assert_eq!(every_other, expected, "{m}×{k}×{n} into every other column");
        }
    }
}

#[test]
fn threads_do_not_change_a_bit_of_few_rows() {
    for (m, k, n) in [
        (1, 3000, 2500),
        (3, 2500, 1200),
        (8, 3000, 700),
        (2500, 3000, 1),
        (1, 100_000, 100),
        (20, 5000, 60),
        (3, 1000, 4097),
        (5000, 100, 7),
        (3000, 60, 10),
        (700, 300, 17),
        (4, 700, 900),
        (5, 1300, 700),
        (14, 700, 900),
    ] {
        let (a, b) = (array::<f32>(&[m, k], 0.0), array::<f32>(&[k, n], 1.0));
        let b_columns = b.t().as_standard_layout().into_owned();
        for b in [b.view(), b_columns.t()] {
            let expected = product(a.view(), b.view(), 1);
            for threads in 2..=4 {
                let c = product(a.view(), b.view(), threads);
                assert_eq!(c, expected, "{m}×{k}×{n}, {threads} threads");
            }
        }
    }
}

#[test]
fn narrow_results_are_the_same_however_b_lies_in_batches_and_with_epilogues() {
    fn check<T: Real>((m, k, n): (usize, usize, usize)) {
        const COUNT: usize = 7;
        let (a, b) = (array::<T>(&[COUNT, m, k], 0.2), array::<T>(&[COUNT, k, n], 0.7));
        let columns = b.view().permuted_axes(vec![0, 2, 1]).as_standard_layout().into_owned();
        let columns = columns.view().permuted_axes(vec![0, 2, 1]);
        let bias: Vec<T> = (0..n).map(|j| T::from_f64((j as f64).cos())).collect();
        for threads in [1, 3] {
            let what = format!("{m}×{k}×{n}, {threads} threads");
            let batch = product(a.view(), b.view(), threads);
            assert_eq!(product(a.view(), columns.view(), threads), batch, "{what}: columns");
            for (p, expected) in batch.outer_iter().enumerate() {
                let (x, weight) = (a.index_axis(Axis(0), p), columns.index_axis(Axis(0), p));
                let one = product(x.view(), b.index_axis(Axis(0), p), threads);
                assert_eq!(one, expected, "{what}: product {p}");
                let mut c = zeros::<T>(&[m, n]);
                let relu = Some(Activation::Relu);
                let (weight, context) = (weight.reversed_axes(), context(threads));
                linear(x, weight, Some(&bias), relu, c.view_mut(), &context).unwrap();
                let layer = expected.indexed_iter().map(|(at, &sum)| sum + bias[at[1]]);
                let layer: Vec<T> = layer.map(|y| T::from_f64(y.to_f64().max(0.0))).collect();
                assert_eq!(c.as_slice(), Some(&layer[..]), "{what}: layer {p}");
            }
        }
    }
    for sizes in [
        (64, 12, 2),
        (32, 30, 5),
        (16, 64, 2),
        (2000, 66, 11),
        (70, 61, 4),
        (24, 64, 1),
        (130, 40, 6),
        (200, 64, 10),
        (90, 300, 17),
        (64, 9000, 3),
    ] {
        check::<f32>(sizes);
        check::<f64>(sizes);
    }
}

#[test]
fn products_of_a_batch_do_not_depend_on_how_matrices_lie() {
    fn check<T: Real>((m, k, n): (usize, usize, usize)) {
        const COUNT: usize = 70;
        let (a, b) = (array::<T>(&[COUNT, m, k], 0.2), array::<T>(&[COUNT, k, n], 0.7));
        let expected = product(a.view(), b.view(), 1);
        let count_last =
            |x: &ArrayD<T>| x.view().permuted_axes(vec![1, 2, 0]).as_standard_layout().into_owned();
        let (a_last, b_last) = (count_last(&a), count_last(&b));
        let apart = Array::from_shape_fn((COUNT, 2 * k, 3 * n), |(p, i, j)| b[[p, i / 2, j / 3]]);
        let apart = apart.view().into_dyn().slice_axis_move(Axis(1), Slice::new(0, None, 2));
        let apart = apart.slice_axis_move(Axis(2), Slice::new(0, None, 3));
        for b in [b_last.view().permuted_axes(vec![2, 0, 1]), apart] {
            for a in [a.view(), a_last.view().permuted_axes(vec![2, 0, 1])] {
                for threads in [1, 3] {
                    let what = format!("{m}×{k}×{n}, {:?}, {threads} threads", b.strides());
                    assert_eq!(product(a.view(), b.view(), threads), expected, "{what}");
                    let mut last = zeros::<T>(&[m, n, COUNT]);
                    let c = last.view_mut().permuted_axes(vec![2, 0, 1]);
                    matmul(a.view(), b.view(), c, &context(threads)).unwrap();
                    let c = last.view().permuted_axes(vec![2, 0, 1]);
                    assert_eq!(c, expected, "{what}, into matrices that lie spread");
                }
            }
        }
    }
    for sizes in [(9, 9, 9), (3, 5, 7), (16, 16, 16), (20, 30, 17), (2, 3, 4)] {
        check::<f32>(sizes);
        check::<f64>(sizes);
    }
}

#[test]
fn a_packed_weight_is_the_weight_for_any_number_of_threads() {
    for (m, k, n) in
        [(1, 3, 1), (1, 3000, 700), (16, 70_000, 20), (9, 385, 130), (200, 800, 70), (3, 0, 5)]
    {
        let (x, weight) = (array::<f32>(&[m, k], 0.0), array::<f32>(&[n, k], 1.0));
        let view = || weight.view().into_dimensionality().unwrap();
        let packed = PackedWeight::new(view(), &context(2)).unwrap();
        assert_eq!(packed, PackedWeight::new(view(), &context(1)).unwrap(), "{n}×{k}");
        let mut back = ndarray::Array2::from_elem((n, k), f32::NAN);
        packed.unpack(back.view_mut());
        assert_eq!(back.into_dyn(), weight, "unpacked");
        let by = |threads| {
            let mut y = ArrayD::from_elem(IxDyn(&[m, n]), f32::NAN);
            let context = context(threads);
            linear_packed(x.view(), &packed, None, None, y.view_mut(), &context).unwrap();
            y
        };
        let y = by(1);
        check(&x, &weight.t().to_owned(), &y);
        for threads in 2..=4 {
            assert_eq!(by(threads), y, "{m}×{k}×{n}, {threads} threads");
        }
    }
}

#[test]
fn a_node_without_cpus_is_refused_before_anything_is_written() {
    let hint = Hint { policy: Policy::Local(Some(9999)), pin: false };
    let nowhere = WorkDistribution::new(8, 64, 4, Some(hint), 64).ok();
    for (a, b) in [
        (vec![300, 200], vec![200, 260]),
        (vec![700, 800], vec![800, 700]),
        (vec![16, 70_000], vec![70_000, 20]),
        (vec![1, 3000], vec![3000, 700]),
        (vec![40, 20, 30], vec![40, 30, 50]),
        (vec![3, 200, 200], vec![3, 200, 200]),
        (vec![900, 100], vec![100, 8]),
    ] {
        let shape = matmul_shape(&a, &b).unwrap();
        let (a, b) = (array::<f32>(&a, 0.0), array::<f32>(&b, 1.0));
        let mut spread: Vec<usize> = shape.clone();
        *spread.last_mut().unwrap() *= 2;
        for threads in [1, 3] {
            let context = Context { distribution: nowhere, ..context(threads) };
            let mut out = ArrayD::from_elem(IxDyn(&spread), f32::NAN);
            let every_other = Slice::new(0, None, 2);
            let view = out.slice_axis_mut(Axis(shape.len() - 1), every_other);
            let refused = matmul(a.view(), b.view(), view, &context).unwrap_err();
            let sentence = "node is 9999, expected a memory node with CPUs for this process: ";
            assert!(refused.to_string().starts_with(sentence), "{shape:?}: {refused}");
            let mut whole = ArrayD::from_elem(IxDyn(&shape), f32::NAN);
            assert!(matmul(a.view(), b.view(), whole.view_mut(), &context).is_err(), "{shape:?}");
            assert!(
                out.iter().chain(&whole).all(|c| c.is_nan()),
                "{shape:?}: something is written"
            );
        }
    }
}

#[test]
fn an_interrupt_stops_a_long_product() {
    let (a, b) = (array::<f64>(&[700, 4000], 0.0), array::<f64>(&[4000, 700], 1.0));
    let mut out = zeros::<f64>(&[700, 700]);
    for threads in [1, 2] {
        let context = Context { interrupt: Interrupt::when(&|| true), ..context(threads) };
        // Long enough for one instruction set is too short for another: repeat until asked.
        let outcome =
            (0..1000).find_map(|_| matmul(a.view(), b.view(), out.view_mut(), &context).err());
        assert!(matches!(outcome, Some(Error::Interrupted(_))), "{outcome:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Every matrix of a broadcast product is the product of the matrices it belongs to.
    #[test]
    fn batches_are_products_of_their_matrices(
        (m, k, n) in (0_usize..9, 0_usize..9, 0_usize..9),
        batch in prop::collection::vec((0_usize..4, any::<bool>(), any::<bool>()), 0..3),
        shorter in 0_usize..3,
        threads in 1_usize..4,
    ) {
        let extents = |pick: fn(&(usize, bool, bool)) -> bool| -> Vec<usize> {
            batch.iter().map(|axis| if pick(axis) { 1 } else { axis.0 }).collect()
        };
        let (a_batch, b_batch) = (extents(|axis| axis.1), extents(|axis| axis.2 && !axis.1));
        let a = array::<f64>(&[&a_batch[..], &[m, k]].concat(), 0.3);
        let b_batch = &b_batch[shorter.min(b_batch.len())..];
        let b = array::<f64>(&[b_batch, &[k, n]].concat(), 0.9);
        let c = product(a.view(), b.view(), threads);
        let batch_shape = c.shape()[..c.ndim() - 2].to_vec();
        let whole = |last: [usize; 2]| IxDyn(&[&batch_shape[..], &last].concat());
        let (a, b) = (a.broadcast(whole([m, k])).unwrap(), b.broadcast(whole([k, n])).unwrap());
        for at in ndarray::indices(IxDyn(&batch_shape)) {
            use ndarray::Dimension;
            let pick = |x: ArrayViewD<'_, f64>| {
                at.slice().iter().fold(x.to_owned(), |x, &i| x.index_axis_move(Axis(0), i))
            };
            let expected = product(pick(a.view()).view(), pick(b.view()).view(), 1);
            // Matrices that are the rows of a taller one may be summed in its order: two sums of at most
            // eight terms, each below ten, so that their roundings differ by less than 2 · 8 · 80 · 2⁻⁵³.
            let apart = (pick(c.view()) - expected).iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            prop_assert!(apart < 2e-13, "{apart}");
        }
    }

    /// A layer is a product with the transposed weight, the bias and the activation.
    #[test]
    fn a_layer_is_its_formula(
        batch in prop::collection::vec(1_usize..4, 0..3),
        (inputs, outputs) in (0_usize..20, 1_usize..40),
        with_bias in any::<bool>(),
        activation in prop::option::of(0_usize..4),
    ) {
        let x = array::<f64>(&[&batch[..], &[inputs]].concat(), 0.1);
        let weight = array::<f64>(&[outputs, inputs], 0.5);
        let bias: Vec<f64> = (0..outputs).map(|j| (j as f64).cos()).collect();
        let bias = with_bias.then_some(bias.as_slice());
        let activation = activation.map(|i| Activation::NAMED[i].1);
        let mut out = ArrayD::from_elem(IxDyn(&[&batch[..], &[outputs]].concat()), f64::NAN);
        linear(x.view(), weight.view(), bias, activation, out.view_mut(), &context(2)).unwrap();

        let mut expected = product(x.view(), weight.t(), 1);
        for mut row in expected.rows_mut() {
            for (j, y) in row.iter_mut().enumerate() {
                *y += bias.map_or(0.0, |bias| bias[j]);
            }
        }
        // Layer and product may sum in different orders, each within γₖ·Σ|xᵢ·wᵢ| of the truth, and no
        // activation is steeper than 1.13; then comes the bound of the activations' own test.
        let scale = product(x.mapv(f64::abs).view(), weight.mapv(f64::abs).t(), 1);
        let units = (inputs + 3) as f64 * f64::EPSILON;
        for ((&y, &z), &scale) in out.iter().zip(&expected).zip(&scale) {
            use threadwise_kernels::Element;
            let exact = activation.map_or(z, |activation| z.activate(activation));
            let bound = 1.13 * units * (scale + 1.0) + 10.0 * f64::EPSILON * z.abs();
            prop_assert!((y - exact).abs() <= bound, "{} != {}", y, exact);
        }
    }
}
