//! A register of 32-bit words: codes, or the sums of their products with bytes.

use half::{bf16, f16};

use crate::simd::{Arithmetic, Lanes};

/// What kernels do with words of codes.
///
/// A value can only be made with a [`Words::Proof`], which exists only where the CPU has the instructions:
/// operations on values are therefore safe.
pub(in crate::quant) trait Words: Copy {
    /// The capability token of the instruction set.
    type Proof: Copy;
    /// As many floats.
    type Floats: Arithmetic<Element = f32>;
    /// Words in a register.
    const COUNT: usize;

    /// The token for floats.
    fn floats(proof: Self::Proof) -> <Self::Floats as Lanes>::Proof;

    /// `word` in each place.
    fn splat(proof: Self::Proof, word: u32) -> Self;

    /// Reads words.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading `COUNT` words; it need not be aligned.
    unsafe fn load(proof: Self::Proof, from: *const u8) -> Self;

    /// Reads words of 24 bits; the upper 8 are whatever they are.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading 3 · `COUNT` bytes.
    unsafe fn load_24(proof: Self::Proof, from: *const u8) -> Self;

    /// Writes the words.
    ///
    /// # Safety
    ///
    /// `to` is valid for writing 4 · `COUNT` bytes; it need not be aligned.
    unsafe fn store(self, to: *mut u8);

    /// Reads bytes, one for each word.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading `COUNT` bytes.
    unsafe fn widen_u8(proof: Self::Proof, from: *const u8) -> Self;

    /// Each word shifted right, by less than 32.
    fn right(self, proof: Self::Proof, by: u32) -> Self;
    /// Each word shifted left, by less than 32.
    fn left(self, proof: Self::Proof, by: u32) -> Self;
    /// Bits of `self` where `mask` has ones, of `other` where it has zeros.
    fn select(self, other: Self, mask: Self) -> Self;
    /// Bits that both have.
    fn and(self, other: Self) -> Self;

    /// `sums` plus, in each word, the products of its four codes with the four bytes of `x`, which have signs. Exact.
    fn dot(self, proof: Self::Proof, x: Self, sums: Self) -> Self;
    /// The same for codes of less than 32, which may be faster.
    fn dot_small(self, proof: Self::Proof, x: Self, sums: Self) -> Self;

    /// Each word, which has a sign, as a float.
    fn to_floats(self) -> Self::Floats;

    /// The numbers 0 to 15, or whatever [`Words::low`] needs.
    fn table(proof: Self::Proof, bits: u32) -> Self::Floats;
    /// The lowest `bits` of each word as a float, with the table for so many.
    fn low(self, proof: Self::Proof, bits: u32, table: Self::Floats) -> Self::Floats;

    /// One of `COUNT` floats in each lane: that whose number the word holds.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading `COUNT` floats.
    unsafe fn gather(self, from: *const f32) -> Self::Floats;

    /// `COUNT` floats, made of narrower ones.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading as many.
    unsafe fn widen_f16(proof: Self::Proof, from: *const f16) -> Self::Floats;
    /// The same.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading `COUNT` numbers.
    unsafe fn widen_bf16(proof: Self::Proof, from: *const bf16) -> Self::Floats;
}
