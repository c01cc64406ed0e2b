//! Vectors of lanes: the one abstraction over instruction sets that kernels are written on.
//!
//! An algorithm is written once, generic over [`Lanes`] and `#[inline(always)]`, and is instantiated
//! inside a function that carries `#[target_feature]`, where the lane operations become single
//! instructions. (The generic function may not carry the attribute itself: it is also compiled for
//! vectors that need no feature.)

pub(crate) mod portable;
pub(crate) mod slices;
mod widen;

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "x86_64")]
mod register;
#[cfg(target_arch = "x86_64")]
pub(crate) mod tiles;

#[cfg(test)]
mod tests;

pub(crate) use widen::Widen;

use crate::Activation;
pub(crate) use crate::element::Element;

/// A vector register of `COUNT` elements, and what kernels do with it, lane by lane.
///
/// A value can only be made with a [`Lanes::Proof`], which exists only where the CPU has the
/// instructions: operations on values are therefore safe.
pub(crate) trait Lanes: Copy {
    /// What a lane holds.
    type Element: Element;
    /// The capability token of the instruction set.
    type Proof: Copy;
    /// Which of the first lanes of a register take part in a masked access.
    type Mask: Copy;
    /// Number of lanes.
    const COUNT: usize;

    /// `x` in each lane.
    fn splat(proof: Self::Proof, x: Self::Element) -> Self;

    /// A mask of the first `count` lanes, `count <= COUNT`.
    fn first(proof: Self::Proof, count: usize) -> Self::Mask;

    /// Reads `COUNT` elements.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading `COUNT` elements; it need not be aligned to the vector.
    unsafe fn load(proof: Self::Proof, from: *const Self::Element) -> Self;

    /// Reads the lanes of `mask`; the others become zero, and their memory is not touched.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading as many elements as `mask` has lanes.
    unsafe fn load_first(proof: Self::Proof, mask: Self::Mask, from: *const Self::Element) -> Self;

    /// Writes `COUNT` elements.
    ///
    /// # Safety
    ///
    /// `to` is valid for writing `COUNT` elements.
    unsafe fn store(self, to: *mut Self::Element);

    /// Writes the lanes of `mask`; the memory of the others is not touched.
    ///
    /// # Safety
    ///
    /// `to` is valid for writing as many elements as `mask` has lanes.
    unsafe fn store_first(self, mask: Self::Mask, to: *mut Self::Element);

    /// Copies a square of `COUNT` by `COUNT` elements, rows to columns: element (i, j), at
    /// `from + i·from_row + j`, goes to `to + j·to_row + i`.
    ///
    /// # Safety
    ///
    /// All these elements are readable, and writable, respectively.
    unsafe fn transpose(
        proof: Self::Proof,
        from: *const Self::Element,
        from_row: isize,
        to: *mut Self::Element,
        to_row: isize,
    );

    /// The same for the first `rows` rows of `columns` elements each, at most `COUNT` of both. If `fills`, zeros follow
    /// to `COUNT` elements of each transposed row.
    ///
    /// # Safety
    ///
    /// All these elements are readable, and writable, respectively; no others are touched.
    unsafe fn transpose_first(
        proof: Self::Proof,
        from: *const Self::Element,
        from_row: isize,
        to: *mut Self::Element,
        to_row: isize,
        size: (usize, usize),
        fills: bool,
    );

    /// Asks for the cache line at `at`, which need not be valid: an instruction that never faults,
    /// or nothing.
    fn prefetch(at: *const Self::Element);

    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self * factor + addend`: rounded once where the instruction set fuses, twice where not.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// The sum of all lanes, in an order that is fixed for the instruction set.
    fn total(self) -> Self::Element;
    /// The totals of four: the same bits, in half the operations.
    #[inline(always)]
    fn totals(four: [Self; 4]) -> [Self::Element; 4] {
        four.map(Self::total)
    }

    /// The activation in each lane.
    fn activate(self, proof: Self::Proof, activation: Activation) -> Self;
}

/// What the activations need besides.
pub(crate) trait Arithmetic: Lanes {
    /// `self - other`.
    fn sub(self, other: Self) -> Self;
    /// `self * other`.
    fn mul(self, other: Self) -> Self;
    /// `self / other`.
    fn div(self, other: Self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The larger of both; `other` where either is NaN.
    fn max(self, other: Self) -> Self;
    /// The smaller of both; `other` where either is NaN.
    fn min(self, other: Self) -> Self;
    /// The largest lane; which one, if one of them is NaN, is not said.
    fn largest(self) -> Self::Element;
    /// The nearest integer, halves to even.
    fn round(self) -> Self;
    /// `self * 2^n` for integral `n` whose power of two is a normal number or overflows to infinity.
    fn scale(self, n: Self) -> Self;
    /// `then` in the lanes where `self < other`, `otherwise` in the rest.
    fn select_less(self, other: Self, then: Self, otherwise: Self) -> Self;
}

/// Numbers that can be rounded to float16.
#[cfg(target_arch = "x86_64")]
pub(crate) trait Half: Arithmetic<Element = f32> {
    /// The nearest number of float16, halves to even; infinite where that overflows.
    fn to_half(self) -> Self;
}

/// What groups of numbers and their codes need besides.
#[cfg(target_arch = "x86_64")]
pub(crate) trait Coding: Half {
    /// Half as many numbers, of float64.
    type Wide: Arithmetic<Element = f64, Proof = Self::Proof>;

    /// The same numbers: the first half of the lanes, then the second.
    fn wide(self) -> [Self::Wide; 2];

    /// The least number of each row of a square of `COUNT` adjacent rows: lane i has that of row i. None is NaN.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading `COUNT`·`COUNT` elements.
    unsafe fn least(proof: Self::Proof, from: *const f32) -> Self;

    /// Writes the low byte of each lane's bits.
    ///
    /// # Safety
    ///
    /// `to` is valid for writing `COUNT` bytes.
    unsafe fn store_low_bytes(self, to: *mut u8);
}
