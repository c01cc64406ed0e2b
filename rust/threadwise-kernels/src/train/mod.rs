//! What training does besides products: sums of gradients, steps of optimizers, losses, derivatives of
//! activations, dropout.
//!
//! | file | what |
//! | --- | --- |
//! | `terms` | factor·Σᵢ wᵢ·gᵢ, the sources read where they lie, in their order |
//! | `reduce` | that sum, stored; its squares, summed |
//! | `rules`, `step` | that sum, and what an optimizer makes of it, in one pass |
//! | `curve` | the functions of hidden layers, and their derivatives |
//! | `loss` | a row of outputs: its loss, and the derivative in its place |
//! | `philox`, `dropout` | masks that are functions of seed and place |
//!
//! **Bits.** An element of a sum or of a step depends on that element of the operands, on the order of the
//! sources and on the instruction set; not on where slices are cut. Sums over elements (of squares, of a row) are
//! made in the lanes of vectors first, so they depend on the slice as a whole.
//!
//! [`scalar`] has the definitions, in double precision; the rest is written on [`Lanes`](crate::simd::Lanes).

mod curve;
mod dropout;
mod instances;
mod loss;
mod philox;
mod reduce;
mod rules;
#[cfg(test)]
mod scalar;
mod step;
mod terms;

#[cfg(test)]
mod tests;

pub use curve::Curve;
pub use dropout::Dropout;
pub use instances::Kernels;
pub use loss::Loss;
pub use philox::philox;
pub use reduce::{Reduce, Summand};
pub use rules::{Adam, Momentum, Plain};
pub use step::State;
pub use terms::Terms;
