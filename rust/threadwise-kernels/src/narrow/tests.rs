//! The kernels of every instruction set this CPU has, against the definition.

use half::{bf16, f16};
use ndarray::{Array2, ArrayView2, s};

use super::{
    Bfloats, Halves, Kernel, Left, Narrow, Pair, Rounded, Signed, SignedUnsigned, Sum,
    UnsignedSigned,
};
use crate::{Element, Isa};

mod kept;
mod rounded;
mod short;

/// A number type that tests make numbers of.
trait Drawn: Narrow {
    fn draw(i: usize, j: usize) -> Self;
}

fn wave(i: usize, j: usize) -> f32 {
    (i as f32 * 1.7 + j as f32 * 0.9 + 0.3).sin()
}

/// Whole numbers over all of their range, its ends often.
#[expect(clippy::cast_possible_truncation, reason = "the lowest byte is meant")]
fn byte(i: usize, j: usize) -> u8 {
    let mixed = ((i * 131 + j * 71 + 17) * 2_654_435_761) >> 7;
    [0, 127, 128, 255].get(mixed % 9).copied().unwrap_or((mixed >> 5) as u8)
}

impl Drawn for bf16 {
    fn draw(i: usize, j: usize) -> Self {
        bf16::from_f32(wave(i, j))
    }
}

impl Drawn for f16 {
    fn draw(i: usize, j: usize) -> Self {
        f16::from_f32(wave(i, j))
    }
}

impl Drawn for i8 {
    fn draw(i: usize, j: usize) -> Self {
        byte(i, j).cast_signed()
    }
}

impl Drawn for u8 {
    fn draw(i: usize, j: usize) -> Self {
        byte(i, j)
    }
}

/// A type of sums, and how far a sum of k products may be off.
trait Bounded: Sum {
    /// Whether `self` is within the bound of the terms' sum.
    fn is_sum_of(self, terms: &[(Self, Self)]) -> bool;
}

impl Bounded for i32 {
    fn is_sum_of(self, terms: &[(i32, i32)]) -> bool {
        self == terms.iter().fold(0, |sum: i32, (a, b)| sum.wrapping_add(a * b))
    }
}

impl Bounded for f32 {
    /// γₖ·Σ|aᵢ·bᵢ|, with two more units for sums between passes and for the reference's own rounding.
    fn is_sum_of(self, terms: &[(f32, f32)]) -> bool {
        let products = || terms.iter().map(|&(a, b)| f64::from(a) * f64::from(b));
        let units = (terms.len() + 2) as f64 * f32::UNIT_ROUNDOFF;
        let bound = units / (1.0 - units) * products().map(f64::abs).sum::<f64>();
        (f64::from(self) - products().sum::<f64>()).abs() <= bound
    }
}

/// A pair that tests know the kernels of: those that are chosen, and those that other CPUs would choose.
trait Tested: Pair<Left: Drawn, Right: Drawn, Sum: Bounded> {
    fn kernels() -> Vec<Kernel<Self>> {
        let mut kernels: Vec<_> = Isa::detected().into_iter().map(Self::kernel).collect();
        kernels.extend(Isa::detected().into_iter().map(|isa| Self::kernel(isa).short()));
        #[cfg(target_arch = "x86_64")]
        kernels.extend(Self::others());
        kernels
    }

    #[cfg(target_arch = "x86_64")]
    fn others() -> Option<Kernel<Self>>;
}

#[cfg(target_arch = "x86_64")]
mod others {
    use super::super::avx512::{Bf16Pairs, Pairs, Singles};
    use super::{Bfloats, Halves, Kernel, Signed, SignedUnsigned, Tested, UnsignedSigned};
    use crate::{Avx512, Bf16};

    impl Tested for Bfloats {
        fn others() -> Option<Kernel<Self>> {
            Bf16::detect().map(Kernel::bf16::<Bf16Pairs, Singles>)
        }
    }
    impl Tested for Halves {
        fn others() -> Option<Kernel<Self>> {
            None
        }
    }
    impl Tested for Signed {
        fn others() -> Option<Kernel<Self>> {
            Avx512::detect().map(Kernel::avx512::<Pairs>)
        }
    }
    impl Tested for UnsignedSigned {
        fn others() -> Option<Kernel<Self>> {
            Avx512::detect().map(Kernel::avx512::<Pairs>)
        }
    }
    impl Tested for SignedUnsigned {
        fn others() -> Option<Kernel<Self>> {
            Avx512::detect().map(Kernel::avx512::<Pairs>)
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod others {
    use super::{Bfloats, Halves, Signed, SignedUnsigned, Tested, UnsignedSigned};

    impl Tested for Bfloats {}
    impl Tested for Halves {}
    impl Tested for Signed {}
    impl Tested for UnsignedSigned {}
    impl Tested for SignedUnsigned {}
}

fn matrix<E: Drawn>(rows: usize, columns: usize, seed: usize) -> Array2<E> {
    Array2::from_shape_fn((rows, columns), |(i, j)| E::draw(i + seed, j))
}

fn expect_product<P: Tested>(
    what: &str,
    a: ArrayView2<'_, P::Left>,
    b: ArrayView2<'_, P::Right>,
    c: ArrayView2<'_, P::Sum>,
) {
    for ((i, j), &sum) in c.indexed_iter() {
        let terms: Vec<_> =
            a.row(i).into_iter().zip(b.column(j)).map(|(a, b)| (a.widen(), b.widen())).collect();
        assert!(sum.is_sum_of(&terms), "{what} at ({i}, {j}): {sum:?}");
    }
}

fn pack_right<P: Pair>(kernel: &Kernel<P>, b: ArrayView2<'_, P::Right>) -> Vec<u32> {
    let mut packed = vec![u32::MAX; kernel.packed_right(b.nrows(), b.ncols())];
    kernel.pack_right(b, &mut packed);
    packed
}

fn pack_left<P: Pair>(kernel: &Kernel<P>, a: ArrayView2<'_, P::Left>) -> Vec<u32> {
    let mut packed = vec![u32::MAX; kernel.packed_left(a.nrows(), a.ncols())];
    kernel.pack_left(a, &mut packed);
    packed
}

/// Every way to hand the operands over gives the same bits, and those are within the bound.
fn check<P: Tested>(m: usize, k: usize, n: usize) {
    let (a, b) = (matrix::<P::Left>(m, k, 0), matrix::<P::Right>(k, n, 9));
    let a_columns = a.t().as_standard_layout().into_owned();
    let b_columns = b.t().as_standard_layout().into_owned();
    let mut a_spread = Array2::from_elem((2 * m, 2 * k), P::Left::default());
    a_spread.slice_mut(s![..;2, ..;2]).assign(&a);
    let mut b_spread = Array2::from_elem((2 * k, 2 * n), P::Right::default());
    b_spread.slice_mut(s![..;2, ..;2]).assign(&b);
    for kernel in P::kernels() {
        let what = format!("{} {m}×{k}×{n}", kernel.name());
        let packed: Vec<_> = [a.view(), a_columns.t(), a_spread.slice(s![..;2, ..;2])]
            .map(|a| pack_left(&kernel, a))
            .into();
        let mut lefts: Vec<_> = packed.iter().map(|packed| Left::Packed(m, k, packed)).collect();
        lefts.extend(kernel.takes_in_place(k).then_some(Left::InPlace(a.view())));
        let rights = [b.view(), b_columns.t(), b_spread.slice(s![..;2, ..;2])]
            .map(|b| pack_right(&kernel, b));
        let mut first: Option<Array2<P::Sum>> = None;
        for left in lefts {
            for right in &rights {
                let mut room = Array2::from_elem((m + 1, n + 1), P::Sum::default());
                kernel.multiply(left, right, room.slice_mut(s![..m, ..n]), false);
                let first = first.get_or_insert_with(|| room.clone());
                assert_eq!(*first, room, "{what}: other bits for another layout");
            }
        }
        let room = first.unwrap();
        expect_product::<P>(&what, a.view(), b.view(), room.slice(s![..m, ..n]));
        let mut outside = room.indexed_iter().filter(|((i, j), _)| *i == m || *j == n);
        assert!(outside.all(|(_, &x)| x == P::Sum::default()), "{what}: wrote beyond C");
    }
}

fn check_all(m: usize, k: usize, n: usize) {
    check::<Bfloats>(m, k, n);
    check::<Halves>(m, k, n);
    check::<Signed>(m, k, n);
    check::<UnsignedSigned>(m, k, n);
    check::<SignedUnsigned>(m, k, n);
}

#[test]
fn every_kernel_agrees_with_the_definition_at_every_edge_of_its_tiles() {
    for m in [1, 5, 6, 7, 12, 13, 16, 17, 31, 32, 33] {
        for n in [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100] {
            check_all(m, 9, n);
        }
    }
    for length in 0..=67 {
        check_all(3, length, 5);
        check_all(length.max(1), 6, 3);
        check_all(2, 7, length.max(1));
    }
    for k in [63, 64, 65, 127, 128, 129, 500, 1025] {
        check_all(18, k, 66);
    }
    check_all(33, 1300, 550);
}

#[test]
fn products_are_added_to_what_was_there() {
    fn check<P: Tested>() {
        let (a, b) = (matrix::<P::Left>(21, 150, 0), matrix::<P::Right>(150, 70, 3));
        for kernel in P::kernels() {
            let mut c = Array2::from_elem((21, 70), P::Sum::default());
            for (range, accumulate) in [(0..64, false), (64..150, true)] {
                let (a, b) = (a.slice(s![.., range.clone()]), b.slice(s![range, ..]));
                let (left, right) = (pack_left(&kernel, a), pack_right(&kernel, b));
                let left = Left::Packed(21, a.ncols(), &left);
                kernel.multiply(left, &right, c.view_mut(), accumulate);
            }
            expect_product::<P>(&kernel.name(), a.view(), b.view(), c.view());
        }
    }
    check::<Bfloats>();
    check::<Halves>();
    check::<Signed>();
    check::<UnsignedSigned>();
    check::<SignedUnsigned>();
}

#[test]
fn few_rows_agree_with_the_definition_in_both_ways() {
    fn check<P: Tested>(m: usize, k: usize, n: usize) {
        let (a, b) = (matrix::<P::Left>(m, k, 0), matrix::<P::Right>(k, n, 5));
        let columns = b.t().as_standard_layout().into_owned();
        let cut = k / 3;
        for kernel in P::kernels() {
            let what = format!("{} {m}×{k}×{n}", kernel.name());
            let width = kernel.few_columns(n);
            for way in ["dots", "streams"] {
                let mut c = Array2::from_elem((m, width), P::Sum::default());
                for (range, accumulate) in [(0..cut, false), (cut..k, true)] {
                    let a = a.slice(s![.., range.clone()]);
                    let mut packed = vec![u32::MAX; kernel.packed_few(m, a.ncols())];
                    kernel.pack_few(a, &mut packed);
                    let sums = c.as_slice_mut().unwrap();
                    if way == "dots" {
                        let b = columns.t().slice_move(s![range, ..]);
                        kernel.dots(&packed, b, sums, width, accumulate);
                    } else {
                        kernel.streams(&packed, b.slice(s![range, ..]), sums, width, accumulate);
                    }
                }
                let what = format!("{what} in {way}");
                expect_product::<P>(&what, a.view(), b.view(), c.slice(s![.., ..n]));
            }
        }
    }
    fn check_all(m: usize, k: usize, n: usize) {
        check::<Bfloats>(m, k, n);
        check::<Halves>(m, k, n);
        check::<Signed>(m, k, n);
        check::<UnsignedSigned>(m, k, n);
        check::<SignedUnsigned>(m, k, n);
    }
    for m in 1..=4 {
        for n in (1..=67).chain([1025, 4100]) {
            check_all(m, 7, n);
        }
        for k in (0..=67).chain([127, 128, 129, 513]) {
            check_all(m, k, 6);
        }
    }
}

#[test]
fn sums_of_the_largest_integers_are_exact() {
    let (a, b) = (Array2::from_elem((3, 1000), -128_i8), Array2::from_elem((1000, 40), -128_i8));
    for kernel in Signed::kernels() {
        let (left, right) = (pack_left(&kernel, a.view()), pack_right(&kernel, b.view()));
        let mut c = Array2::zeros((3, 40));
        kernel.multiply(Left::Packed(3, 1000, &left), &right, c.view_mut(), false);
        assert!(c.iter().all(|&sum| sum == 1000 << 14), "{}: {c}", kernel.name());
    }
    let a = Array2::from_elem((3, 1000), 255_u8);
    for kernel in UnsignedSigned::kernels() {
        let (left, right) = (pack_left(&kernel, a.view()), pack_right(&kernel, b.view()));
        let mut c = Array2::zeros((3, 40));
        kernel.multiply(Left::Packed(3, 1000, &left), &right, c.view_mut(), false);
        assert!(c.iter().all(|&sum| sum == -255 * 128 * 1000), "{}: {c}", kernel.name());
    }
}

#[test]
fn a_bf16_product_takes_subnormal_numbers_for_zero_at_most() {
    let small = bf16::from_bits(1);
    let (a, b) = (Array2::from_elem((1, 8), small), Array2::from_elem((8, 1), bf16::ONE));
    for kernel in Bfloats::kernels() {
        let (left, right) = (pack_left(&kernel, a.view()), pack_right(&kernel, b.view()));
        let mut c = Array2::from_elem((1, 1), f32::NAN);
        kernel.multiply(Left::Packed(1, 8, &left), &right, c.view_mut(), false);
        let exact = 8.0 * small.to_f32();
        assert!(c[[0, 0]] == 0.0 || c[[0, 0]].to_bits() == exact.to_bits(), "{}", kernel.name());
    }
}
