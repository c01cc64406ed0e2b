//! The inner products: some rows times some vectors, in registers.

use crate::simd::{Lanes, Widen};

/// sums + Σₖ aₖ·bₖ: `count` numbers of each of `ROWS` rows, `a_row` apart, times the `VECTORS` vectors that lie in
/// steps of `b_step` numbers from `b` on.
///
/// # Safety
///
/// The numbers and all lanes of the vectors are readable.
#[inline(always)]
pub(super) unsafe fn multiply<V, S, const ROWS: usize, const VECTORS: usize>(
    proof: V::Proof,
    (a, a_row): (*const f32, usize),
    b: [*const S; VECTORS],
    b_step: usize,
    count: usize,
    mut sums: [[V; VECTORS]; ROWS],
) -> [[V; VECTORS]; ROWS]
where
    V: Widen<S> + Lanes<Element = f32>,
{
    let mut right = [V::splat(proof, 0.0); VECTORS];
    for k in 0..count {
        for (right, b) in right.iter_mut().zip(b) {
            // SAFETY: vector k, which the caller promises.
            *right = unsafe { V::widen(proof, b.wrapping_add(k * b_step)) };
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let at = a.wrapping_add(r * a_row + k);
            // SAFETY: number k of row r, which the caller promises.
            let left = V::splat(proof, unsafe { *at });
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = left.mul_add(right, *sum);
            }
        }
    }
    sums
}
