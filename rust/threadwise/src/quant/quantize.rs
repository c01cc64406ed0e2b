//! A whole weight, shared by threads.

use ndarray::{ArrayView2, Axis};
use threadwise_kernels::quant::{Method, Number, ZeroPoint};

use super::rows::{LANES, expect_importance};
use super::{Outcome, QuantizedMut, ROWS, Scheme, quantize_rows};
use crate::work::{Choice, Kind, Load, calibration};
use crate::{Context, Error};

/// Numbers of a piece of work, about: their rows and codes fit in the second-level cache.
const PIECE: usize = 1 << 16;

/// Multiply-adds that take about as long as a number does, by the method.
#[must_use]
pub const fn work(method: Method) -> usize {
    match method {
        Method::MinMax => 30,
        Method::Mse => 300,
    }
}

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
    to.expect(weight.dim(), scheme)?;
    expect_importance(weight.dim(), importance)?;
    let (rows, columns) = weight.dim();
    if weight.is_empty() {
        return Ok(Outcome::default());
    }
    let together = (PIECE / columns).max(LANES.div_ceil(scheme.groups(columns)));
    let is_packed = scheme.zero_point == ZeroPoint::Integer;
    let together = together.next_multiple_of(if is_packed { ROWS } else { 1 });
    let mut pieces = Vec::with_capacity(rows.div_ceil(together));
    let (mut rest, mut counts, mut places) = (weight, importance, to);
    for first in (0..rows).step_by(together) {
        let many = together.min(rows - first);
        let (x, below) = rest.split_at(Axis(0), many);
        let (importance, others) = counts.map(|w| w.split_at(Axis(0), many)).unzip();
        let (to, to_below) = places.split_at(many, scheme);
        (rest, counts, places) = (below, others, to_below);
        pieces.push(Piece { first, x, importance, to: Some(to), outcome: Ok(Outcome::default()) });
    }
    let threads = threads(weight.len(), size_of::<T>(), scheme, pieces.len(), context);
    let isa = context.isa;
    context.share(&mut pieces, threads, |piece, _| {
        if let Some(to) = piece.to.take() {
            let (x, importance) = (piece.x, piece.importance);
            piece.outcome = quantize_rows(x, importance, scheme, to, false, isa);
        }
    })?;
    let mut outcome = Outcome::default();
    for piece in pieces {
        match piece.outcome {
            Ok(done) => outcome.merge(&done),
            Err(Error::NotFinite { name, mut index, actual }) => {
                index.0[0] += piece.first;
                return Err(Error::NotFinite { name, index, actual });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(outcome)
}

/// Some rows, where they go, and what came out.
struct Piece<'a, 'b, T> {
    first: usize,
    x: ArrayView2<'a, T>,
    importance: Option<ArrayView2<'a, f32>>,
    to: Option<QuantizedMut<'b>>,
    outcome: Result<Outcome, Error>,
}

/// Threads that the work is worth.
fn threads(
    elements: usize,
    size: usize,
    scheme: &Scheme,
    pieces: usize,
    context: &Context<'_>,
) -> usize {
    if context.threads <= 1 || pieces <= 1 {
        return 1;
    }
    let multiply_adds = elements as f64 * work(scheme.method) as f64;
    let (read, written) = (elements as f64 * size as f64, elements as f64 * 0.6);
    let load = Load { kind: Kind::Float32, multiply_adds, read, written };
    let (machine, _) = calibration::current(context.isa);
    Choice::for_call(&machine, load, context.threads, pieces).threads
}
