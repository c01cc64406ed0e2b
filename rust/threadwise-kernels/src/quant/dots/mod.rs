//! Products of rows of numbers with a quantized matrix, straight from its packed codes, on one thread.
//!
//! yᵢᵣ = Σⱼ wᵣⱼ·xᵢⱼ with wᵣⱼ = s·cᵣⱼ + z, where c is the code, s the scale of its group and z what code 0 stands for: a
//! minimum, or minus the code of zero times the scale. A group adds s·Σⱼ cᵣⱼ·xᵢⱼ + z·Xᵢ, with the sum X of its inputs, which all
//! rows of the matrix share.
//!
//! A word of codes is a *lane* of a register: all its codes belong to one group and meet inputs of one scale. Its
//! codes, made bytes, are multiplied four at a time with inputs as bytes and summed exactly in 32 bits
//! (`vpdpbusd`, `vpmaddubsw`); then the lane's sum becomes a float and is scaled. So no codes need be moved from where
//! they lie, a register is loaded once for some rows of inputs, and lanes are added up once a row. With inputs as
//! floats, a code is looked up or converted, and multiplied.
//!
//! **Inputs as bytes.** Each run of 32 inputs of a row has a scale t = max|x|/127, and x̂ = t·round(x/t), halves to even.
//! |x − x̂| ≤ max|x|/253: half of t, and the roundings of t, of its inverse and of the quotient. A run with a number that
//! is not finite has no finite products; one whose numbers are all below 2⁻¹⁰⁰ is taken for zeros.
//!
//! **Error.** Of Σⱼ wᵣⱼ·x̂ᵢⱼ, or of Σⱼ wᵣⱼ·xᵢⱼ with inputs as floats, at most γₙ·Σⱼ (|s·cᵣⱼ| + |z|)·|xᵢⱼ| with n = k/2 + 24, barring
//! overflow and underflow (Higham 2002, section 3.1). The longest chain of sums is the definition's: k/4 lanes of at least
//! four codes behind k/16 groups of at least sixteen inputs; the sum X of a group is one over k/16 exact ones, or of floats
//! four additions longer, a lane of floats has sixteen terms at most. To have the scales and the products rounded
//! takes the rest.
//!
//! **Bits.** A product depends on its row of inputs, its row of the matrix, the kind of inputs and the
//! instruction set, and on nothing else; codes and scales of inputs, and exact sums, not even on that.
//!
//! **Many rows.** Rows of the matrix become floats in the order of prepared inputs, for a product of plain matrices.
//!
//! `layout` says what lies where, `prepare` makes inputs ready, `factors` the scales, `scalar` has the definition, `strip`
//! its twin over `words`, whose instances are `avx2` and `avx512`, `decode` writes floats.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only vectors need it"))]
mod decode;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only vectors need it"))]
mod factors;
mod instances;
mod kernel;
mod layout;
mod prepare;
mod scalar;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only vectors need it"))]
pub(super) mod strip;
#[cfg(test)]
mod tests;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only vectors need it"))]
pub(super) mod words;

pub use factors::{Scales, Zeros};
pub use kernel::{Inputs, Kernel, Weights};
pub use layout::Layout;
