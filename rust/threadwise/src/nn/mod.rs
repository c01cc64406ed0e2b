//! The parts of networks that are not products.

pub mod attention;
mod elementwise;
mod norm;
pub mod rope;
pub mod select;

pub use attention::{attention, attention_cost, attention_shape};
pub use elementwise::{softmax, softmax_shape, swiglu, swiglu_shape};
pub use norm::{rms_norm, rms_norm_shape};

/// Multiply-adds of a product that take about as long as one element of a normalization, by which the
/// binding tells whether a call is long.
pub const ELEMENT: usize = 8;
