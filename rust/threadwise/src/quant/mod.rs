//! Weights in few bits: [`quantize`] and [`dequantize`].
//!
//! `scheme` says what is stored and how large it is, `parts` where it lies; `rows` does some rows of a weight on
//! one thread, `quantize` and `dequantize` share a whole one; `sums` measures what was lost.

mod dequantize;
pub mod model;
mod parts;
mod quantize;
mod rows;
mod scheme;
mod sums;
#[cfg(test)]
mod tests;

pub use dequantize::{dequantize, dequantize_rows};
pub use parts::{Numbers, NumbersMut, Quantized, QuantizedMut, Zeros, ZerosMut};
pub use quantize::{quantize, work};
pub use rows::{Outcome, Survey, quantize_rows};
pub use scheme::{ROWS, Scheme};
pub use sums::ErrorSums;
pub use threadwise_kernels::quant::{Bits, Method, Number, ZeroPoint};
