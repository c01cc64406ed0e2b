//! Slivers that are kept, against those that are packed for one product, and strips against dots.

use ndarray::{Array2, s};

use super::{Bfloats, Halves, Signed, SignedUnsigned, Tested, UnsignedSigned, matrix};

fn check_kept<P: Tested>(k: usize, n: usize) {
    let b = matrix::<P::Right>(k, n, 1);
    for kernel in P::kernels() {
        let what = format!("{} {k}×{n}", kernel.name());
        let mut kept = vec![u32::MAX; kernel.kept(k, n)];
        kernel.keep(b.view(), &mut kept);
        let mut back = Array2::from_elem((k, n), P::Right::default());
        kernel.unpack(&kept, back.view_mut());
        assert_eq!(back, b, "{what}: unpacked");
        let mut packed = vec![u32::MAX; kernel.packed_right(k, n)];
        kernel.pack_right(b.view(), &mut packed);
        if kernel.keeps_units() {
            assert_eq!(kept, packed, "{what}: units");
        } else {
            let mut widened = vec![u32::MAX; packed.len()];
            kernel.widen(&kept, (k, n), &mut widened);
            assert_eq!(widened, packed, "{what}: widened");
        }
    }
}

#[test]
fn kept_slivers_are_packed_ones_and_can_be_unpacked() {
    for (k, n) in (0..=67).map(|k| (k, 5)).chain((0..=67).map(|n| (7, n))).chain([(130, 129)]) {
        check_kept::<Bfloats>(k, n);
        check_kept::<Halves>(k, n);
        check_kept::<Signed>(k, n);
        check_kept::<UnsignedSigned>(k, n);
        check_kept::<SignedUnsigned>(k, n);
    }
}

/// The sums of strips, in passes of `pass` rows of B, and those of dots.
fn check_strips<P: Tested>(m: usize, k: usize, n: usize, pass: usize) {
    let (a, b) = (matrix::<P::Left>(m, k, 0), matrix::<P::Right>(n, k, 1).reversed_axes());
    for kernel in P::kernels().into_iter().filter(super::Kernel::has_strips) {
        let mut left = vec![u32::MAX; kernel.packed_few(m, k)];
        kernel.pack_few(a.view(), &mut left);
        let width = kernel.few_columns(n);
        let mut dots = vec![P::Sum::default(); m * width];
        kernel.dots(&left, b.view(), &mut dots, width, false);

        let (columns, a_row) = (kernel.columns(), kernel.packed_few(1, k));
        let mut lanes = vec![P::Sum::default(); m * kernel.lanes()];
        for j in (0..n).step_by(columns) {
            for first in (0..k.max(1)).step_by(pass) {
                let part = b.slice(s![first..k.min(first + pass), j..n.min(j + columns)]);
                let mut kept = vec![u32::MAX; kernel.kept(part.nrows(), columns)];
                kernel.keep(part, &mut kept);
                let a = &left[kernel.packed_few(1, first)..];
                kernel.strip((a, a_row), (&kept, part.nrows()), &mut lanes, first == 0);
            }
            for (i, lanes) in lanes.chunks_exact(kernel.lanes()).enumerate() {
                let mut sums = vec![P::Sum::default(); columns];
                kernel.total(lanes, &mut sums, false);
                let what = format!("{} {m}×{k}×{n}, row {i} from {j}", kernel.name());
                let here = columns.min(n - j);
                assert_eq!(sums[..here], dots[i * width + j..][..here], "{what}");
                kernel.total(lanes, &mut sums, true);
                let twice = |sum: &P::Sum| super::Sum::plus(*sum, *sum);
                let doubled: Vec<_> = dots[i * width + j..][..here].iter().map(twice).collect();
                assert_eq!(sums[..here], doubled, "{what}, added");
            }
        }
    }
}

#[test]
fn strips_are_dots_bit_for_bit() {
    fn check_all(m: usize, k: usize, n: usize, pass: usize) {
        check_strips::<Bfloats>(m, k, n, pass);
        check_strips::<Halves>(m, k, n, pass);
        check_strips::<Signed>(m, k, n, pass);
        check_strips::<UnsignedSigned>(m, k, n, pass);
        check_strips::<SignedUnsigned>(m, k, n, pass);
    }
    for m in 1..=4 {
        for k in (0..=67).chain([127, 128, 129, 513, 1030]) {
            check_all(m, k, 6, 64);
        }
        for n in 1..=67 {
            check_all(m, 70, n, 128);
        }
        check_all(m, 2000, 130, 1024);
    }
}
