//! Packed weights of narrow numbers against the same weights as they lie, bit for bit, and long sums over threads.

use half::{bf16, f16};
use ndarray::{Array2, Array3, ArrayView2, ArrayViewMut2, Axis, Slice};
use threadwise_kernels::gemm::Epilogue;
use threadwise_kernels::narrow::{self, Bfloats, Halves, Pair, Rounded, Signed, UnsignedSigned};
use threadwise_runtime::Interrupt;

use super::{Narrow, NarrowWeight, Summed};
use crate::linalg::Product;
use crate::{Activation, Context, Isa};

fn context(isa: Isa, threads: usize) -> Context<'static> {
    Context { isa, threads, interrupt: Interrupt::never(), distribution: None }
}

/// A number type of tests.
trait Drawn: narrow::Narrow {
    fn draw(x: f32) -> Self;
}

impl Drawn for bf16 {
    fn draw(x: f32) -> Self {
        bf16::from_f32(x)
    }
}

impl Drawn for f16 {
    fn draw(x: f32) -> Self {
        f16::from_f32(x)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "what is too large is as good")]
impl Drawn for i8 {
    fn draw(x: f32) -> Self {
        (x * 128.0) as i8
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as above")]
impl Drawn for u8 {
    fn draw(x: f32) -> Self {
        (x.abs() * 256.0) as u8
    }
}

fn matrix<E: Drawn>(rows: usize, columns: usize, seed: f32) -> Array2<E> {
    let x = |i: usize, j: usize| (i as f32 * 1.7 + j as f32 * 0.9 + seed).sin();
    Array2::from_shape_fn((rows, columns), |(i, j)| E::draw(x(i, j)))
}

type Sizes = (usize, usize, usize);

const SIZES: [Sizes; 21] = [
    (1, 3, 1),
    (1, 300, 1),
    (40, 300, 1),
    (2, 9, 20),
    (1, 3000, 700),
    (3, 3001, 70),
    (5, 700, 300),
    (8, 130, 65),
    (9, 385, 130),
    (64, 2049, 96),
    (20, 1000, 300),
    (31, 4100, 257),
    (15, 1100, 960),
    (200, 800, 70),
    (16, 40_000, 16),
    (1, 50_000, 3),
    (4, 30_001, 65),
    (3, 0, 5),
    (40, 0, 30),
    (0, 3, 5),
    (300, 70, 600),
];

/// `f(x @ weight.T + bias)` with the weight as it lies.
fn plain<P, R>(
    x: ArrayView2<'_, P::Left>,
    weight: ArrayView2<'_, P::Right>,
    epilogue: Epilogue<'_, P::Sum>,
    context: &Context<'_>,
) -> Array2<R>
where
    P: Pair<Sum: Summed>,
    R: Rounded<P::Sum>,
{
    let mut y = Array2::from_elem((x.nrows(), weight.nrows()), R::default());
    Narrow::<P, R>::multiply(x, weight.reversed_axes(), y.view_mut(), epilogue, context).unwrap();
    y
}

fn packed<P, R>(
    x: ArrayView2<'_, P::Left>,
    weight: &NarrowWeight<P::Right>,
    y: ArrayViewMut2<'_, R>,
    epilogue: Epilogue<'_, P::Sum>,
    context: &Context<'_>,
) where
    P: Pair<Sum: Summed>,
    R: Rounded<P::Sum>,
{
    Narrow::<P, R>::multiply_packed(x, weight, y, epilogue, context).unwrap();
}

fn check<P, R>(epilogue: bool)
where
    P: Pair<Left: Drawn, Right: Drawn, Sum: Summed + From<u8>>,
    R: Rounded<P::Sum> + PartialEq + std::fmt::Debug,
{
    for isa in Isa::detected() {
        for (m, k, n) in SIZES {
            let what = format!("{} on {}, {m}×{k}×{n}", P::NAME, isa.name());
            let (x, weight) = (matrix::<P::Left>(m, k, 0.3), matrix::<P::Right>(n, k, 0.6));
            let bias = vec![P::Sum::from(1); n];
            let epilogue = Epilogue {
                bias: epilogue.then_some(bias.as_slice()),
                activation: epilogue.then_some(Activation::Silu),
            };
            let expected = plain::<P, R>(x.view(), weight.view(), epilogue, &context(isa, 1));
            for threads in 1..=3 {
                let context = context(isa, threads);
                let kept = NarrowWeight::new(weight.view(), &context).unwrap();
                let mut y = Array2::from_elem((m, n), R::default());
                packed::<P, R>(x.view(), &kept, y.view_mut(), epilogue, &context);
                assert_eq!(y, expected, "{what}: packed, {threads} threads");
                let again = plain::<P, R>(x.view(), weight.view(), epilogue, &context);
                assert_eq!(again, expected, "{what}: {threads} threads");
            }
        }
    }
}

#[test]
fn a_packed_weight_gives_the_bits_of_the_weight_for_any_number_of_threads() {
    check::<Bfloats, bf16>(true);
    check::<Bfloats, f32>(false);
    check::<Halves, f16>(true);
    check::<Halves, f32>(false);
    check::<Signed, i32>(false);
    check::<UnsignedSigned, i32>(false);
}

#[test]
fn wide_results_of_short_sums_are_those_of_their_columns() {
    fn check<P, R>()
    where
        P: Pair<Left: Drawn, Right: Drawn, Sum: Summed + From<u8>>,
        R: Rounded<P::Sum> + PartialEq + std::fmt::Debug,
    {
        const APART: usize = 90;
        for isa in Isa::detected() {
            for (m, k, n) in [(110, 7, 700), (97, 33, 650), (40, 64, 257)] {
                let (x, weight) = (matrix::<P::Left>(m, k, 0.1), matrix::<P::Right>(n, k, 0.8));
                let bias: Vec<_> = (0..200).cycle().take(n).map(P::Sum::from).collect();
                let activation = Some(Activation::Relu);
                let epilogue = Epilogue { bias: Some(&bias), activation };
                let all = plain::<P, R>(x.view(), weight.view(), epilogue, &context(isa, 2));
                for first in (0..n).step_by(APART) {
                    let end = n.min(first + APART);
                    let weight = weight.slice_axis(Axis(0), (first..end).into());
                    let epilogue = Epilogue { bias: Some(&bias[first..end]), activation };
                    let some = plain::<P, R>(x.view(), weight, epilogue, &context(isa, 1));
                    let what = format!("{} on {}, {m}×{k}×{n}", P::NAME, isa.name());
                    assert_eq!(all.slice_axis(Axis(1), (first..end).into()), some, "{what}");
                }
            }
        }
    }
    check::<Bfloats, bf16>();
    check::<Halves, f16>();
}

#[test]
fn a_packed_weight_can_be_unpacked_and_compared() {
    let one = context(Isa::current().unwrap(), 1);
    for (n, k) in [(0, 3), (1, 700), (3, 0), (20, 9), (65, 300), (130, 5000)] {
        let weight = matrix::<bf16>(n, k, 0.2);
        let packed = NarrowWeight::new(weight.view(), &one).unwrap();
        assert_eq!(packed.shape(), [n, k], "its shape");
        assert!(packed.bytes() >= 2 * n * k, "{n}×{k}: {} bytes", packed.bytes());
        let mut back = Array2::from_elem((n, k), bf16::ONE);
        packed.unpack(back.view_mut());
        assert_eq!(back, weight, "{n}×{k}");
        for isa in Isa::detected() {
            let other = NarrowWeight::new(weight.view(), &context(isa, 2)).unwrap();
            assert_eq!(packed, other, "{n}×{k} on {}", isa.name());
        }
        if let Some(last) = back.iter_mut().last() {
            *last = bf16::from_f32(7.0);
            let other = NarrowWeight::new(back.view(), &one).unwrap();
            assert_ne!(packed, other, "{n}×{k}: another element");
        }
    }
}

#[test]
fn any_out_and_any_x_will_do() {
    let context = context(Isa::current().unwrap(), 2);
    let (x, weight) = (matrix::<f16>(7, 400, 0.1), matrix::<f16>(90, 400, 0.2));
    let (kept, none) = (
        NarrowWeight::new(weight.view(), &context).unwrap(),
        Epilogue { bias: None, activation: None },
    );
    let expected = plain::<Halves, f16>(x.view(), weight.view(), none, &context);
    let columns = x.t().as_standard_layout().into_owned();
    let mut turned = Array2::from_elem((90, 7), f16::ZERO);
    packed::<Halves, f16>(columns.t(), &kept, turned.view_mut().reversed_axes(), none, &context);
    assert_eq!(turned.t(), expected, "columns");
    let mut spread = Array2::from_elem((7, 180), f16::ZERO);
    let mut every_other = spread.slice_axis_mut(Axis(1), Slice::new(0, None, 2));
    packed::<Halves, f16>(x.view(), &kept, every_other.view_mut(), none, &context);
    assert_eq!(every_other, expected, "every other column");
}

#[test]
fn small_products_of_a_batch_have_the_bits_of_each_by_itself() {
    fn check<P, R>()
    where
        P: Pair<Left: Drawn, Right: Drawn, Sum: Summed>,
        R: Rounded<P::Sum> + PartialEq + std::fmt::Debug,
    {
        const COUNT: usize = 150;
        let none = Epilogue { bias: None, activation: None };
        let sizes = [
            (4, 4, 4),
            (1, 8, 4),
            (3, 8, 1),
            (2, 60, 17),
            (5, 7, 33),
            (1, 300, 5),
            (2, 500, 3),
            (16, 16, 16),
            (2, 2, 600),
            (17, 16, 16),
            (20, 20, 20),
        ];
        for isa in Isa::detected() {
            for (m, k, n) in sizes {
                let what = format!("{} on {}, {m}×{k}×{n}", P::NAME, isa.name());
                let left: Vec<_> =
                    (0..COUNT).map(|i| matrix::<P::Left>(m, k, i as f32 * 0.7)).collect();
                let right: Vec<_> =
                    (0..COUNT).map(|i| matrix::<P::Right>(k, n, i as f32 * 0.4)).collect();
                let a = Array3::from_shape_fn((COUNT, m, k), |(p, i, j)| left[p][(i, j)]);
                let b = Array3::from_shape_fn((COUNT, k, n), |(p, i, j)| right[p][(i, j)]);
                let across = Array3::from_shape_fn((COUNT, n, k), |(p, j, i)| b[(p, i, j)]);
                let apart = Array3::from_shape_fn((2 * COUNT, k, n), |(p, i, j)| b[(p / 2, i, j)]);
                let spread = Array3::from_shape_fn((k, n, COUNT), |(i, j, p)| b[(p, i, j)]);
                let one = b.slice_axis(Axis(0), Slice::from(3..4));
                let rights = [
                    b.view(),
                    across.view().permuted_axes([0, 2, 1]),
                    apart.slice_axis(Axis(0), Slice::new(0, None, 2)),
                    one.broadcast((COUNT, k, n)).unwrap(),
                    spread.view().permuted_axes([2, 0, 1]),
                ];
                for right in rights {
                    let mut wide = Array3::from_elem((COUNT, m, n + 3), R::default());
                    let mut c = wide.slice_axis_mut(Axis(2), Slice::from(..n));
                    let one = context(isa, 1);
                    Narrow::<P, R>::each(a.view(), right, c.view_mut(), none, &one).unwrap();
                    for (p, c) in c.outer_iter().enumerate() {
                        let (a, b) = (a.index_axis(Axis(0), p), right.index_axis(Axis(0), p));
                        let mut alone = Array2::from_elem((m, n), R::default());
                        Narrow::<P, R>::multiply(a, b, alone.view_mut(), none, &one).unwrap();
                        assert_eq!(c, alone, "{what}: product {p}");
                    }
                }
            }
        }
    }
    check::<Bfloats, bf16>();
    check::<Bfloats, f32>();
    check::<Halves, f16>();
    check::<Signed, i32>();
    check::<UnsignedSigned, i32>();
}
