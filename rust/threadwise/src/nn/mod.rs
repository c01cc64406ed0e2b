//! The parts of networks that are not products.

mod norm;

pub use norm::{rms_norm, rms_norm_shape};

/// Multiply-adds of a product that take about as long as one element of a normalization, by which the
/// binding tells whether a call is long.
pub const ELEMENT: usize = 8;
