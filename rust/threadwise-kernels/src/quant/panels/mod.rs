//! Products of rows of numbers with a quantized matrix whose codes were copied into panels, on one thread.
//!
//! yᵢᵣ = Σⱼ wᵣⱼ·xᵢⱼ with wᵣⱼ = s·cᵣⱼ + z, where c is the code, s the scale of its group and z what code 0 stands for, as for
//! [`dots`](super::dots), which reads codes where files have them. Here sixteen rows of the matrix make a panel, whose words
//! lie side by side: a lane is a row, four inputs go to all of them, and nothing is ever added across lanes. That
//! takes a copy, and is then as fast for one row of inputs as memory gives codes, and for many a product of
//! tiles: up to eight rows of inputs by sixteen of the matrix, in registers; or up to sixteen by 32, where the CPU has AMX.
//!
//! **Inputs as bytes.** Each run of 16 to 128 inputs of a row, of which a group has one or more, has a scale t = max|x|/127, and
//! x̂ = t·round(x/t), halves to even: |x − x̂| ≤ max|x|/253. A run with a number that is not finite has no finite products; one
//! whose numbers are all below 2⁻¹⁰⁰ is taken for zeros. The codes' products with bytes are summed exactly.
//!
//! **Error.** Of Σⱼ wᵣⱼ·x̂ᵢⱼ, or of Σⱼ wᵣⱼ·xᵢⱼ with inputs as they are, at most γₙ·Σⱼ (|s·cᵣⱼ| + |z|)·|xᵢⱼ| with n = 2·k/l + 4, and l more
//! for inputs as they are, in runs of l, barring overflow and underflow (Higham 2002, section 3.1).
//!
//! **Bits.** An element depends on its row of inputs, its row of the matrix and the length of runs; not on the rows beside
//! them, nor, where there are fused multiply-adds, on the instruction set: the chain of sums is that of the definition.
//!
//! `layout` says what lies where, `pack` copies codes, `inputs` makes rows of inputs ready, [`scalar`] has the definition, `tile` its
//! twin over words, `amx` that in AMX's tiles, which `pairs` feeds; `kernel` chooses the instance.

#[cfg(target_arch = "x86_64")]
mod amx;
mod inputs;
mod instances;
mod kernel;
mod layout;
mod pack;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only tiles need it"))]
mod pairs;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only vectors need it"))]
mod tile;

pub use super::dots::Scales;
pub use inputs::Inputs;
pub use kernel::{Kernel, Weights};
pub use layout::{LANES, Layout};

/// Which value a code stands for; numbers lie as scales do.
#[derive(Clone, Copy, Debug)]
pub enum Zeros<'a> {
    /// `(code - 2^(bits - 1)) · scale`.
    Symmetric,
    /// `code · scale + minimum`.
    Minima(Scales<'a>),
    /// `(code - zero) · scale`, with codes.
    Codes(&'a [u8]),
}
