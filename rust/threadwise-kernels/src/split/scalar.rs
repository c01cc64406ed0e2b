//! The definition of pieces, and of their products.

use half::bf16;

/// The three pieces of a number: each the nearest bfloat16 to what is left, of two that are as near the one that is
/// farther from zero.
pub(super) fn pieces(x: f32) -> [bf16; 3] {
    let near = |x: f32| f32::from_bits(x.to_bits().wrapping_add(0x8000) & 0xffff_0000);
    let piece = |x: f32| bf16::from_bits((x.to_bits() >> 16) as u16);
    let first = near(x);
    let second = near(x - first);
    [first, second, x - first - second].map(piece)
}

/// The sum of the six products, in double precision, in which each of them is exact.
pub(super) fn product(a: f32, b: f32) -> f64 {
    let ([a1, a2, a3], [b1, b2, b3]) = (pieces(a).map(bf16::to_f64), pieces(b).map(bf16::to_f64));
    a1 * b1 + (a1 * b2 + a2 * b1) + (a1 * b3 + a2 * b2 + a3 * b1)
}
