//! Kernels of widened units against the definition.

use std::ops::Mul;

use ndarray::Array2;

use super::super::scalar;
use super::{
    Bfloats, Halves, Left, Signed, SignedUnsigned, Tested, UnsignedSigned, matrix, pack_left,
    pack_right,
};
use crate::Isa;

#[test]
fn short_kernels_sum_as_the_definition_does_bit_for_bit() {
    fn check<P: Tested<Sum: Mul<Output = P::Sum>>>() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 4), (13, 8, 17), (40, 3, 70), (16, 16, 16), (7, 64, 9)]
        {
            let (a, b) = (matrix::<P::Left>(m, k, 0), matrix::<P::Right>(k, n, 1));
            let mut expected = Array2::from_elem((m, n), P::Sum::default());
            scalar::product::<P>(a.view(), b.view(), expected.view_mut());
            for kernel in Isa::detected().into_iter().map(|isa| P::kernel(isa).short()) {
                let (left, right) = (pack_left(&kernel, a.view()), pack_right(&kernel, b.view()));
                let mut c = Array2::from_elem((m, n), P::Sum::default());
                kernel.multiply(Left::Packed(m, k, &left), &right, c.view_mut(), false);
                assert_eq!(c, expected, "{} {m}×{k}×{n}", kernel.name());
            }
        }
    }
    check::<Bfloats>();
    check::<Halves>();
    check::<Signed>();
    check::<UnsignedSigned>();
    check::<SignedUnsigned>();
}
