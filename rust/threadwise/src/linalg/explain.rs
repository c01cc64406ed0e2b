//! What a product would do, without doing it.

use ndarray::{ArrayView2, ArrayViewD, Axis, Ix2};

use super::{Product, batch, load, matmul_shape};
use crate::work::Choice;
use crate::work::calibration::{self, Origin};
use crate::{Context, Error};

/// A product's plan, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The kernel: `{architecture}-{type}-{instruction set}-{form}`.
    pub kernel: String,
    /// Pieces of work that are given out.
    pub chunks: usize,
    /// The choice of threads.
    pub choice: Choice,
    /// Whether the machine was measured.
    pub origin: Origin,
}

/// What [`matmul`](super::matmul) would do now with a new result in C order. It depends on who of the
/// workers is awake.
///
/// # Errors
///
/// If shapes do not fit.
pub fn explain<P: Product>(
    a: ArrayViewD<'_, P::Left>,
    b: ArrayViewD<'_, P::Right>,
    context: &Context<'_>,
) -> Result<Explanation, Error> {
    let shape = matmul_shape(a.shape(), b.shape())?;
    let a = if a.ndim() == 1 { a.insert_axis(Axis(0)) } else { a };
    let b = if b.ndim() == 1 { b.insert_axis(Axis(1)) } else { b };
    let origin = calibration::current(context.isa).1;
    let (m, k) = (a.shape()[a.ndim() - 2], a.shape()[a.ndim() - 1]);
    let n = b.shape()[b.ndim() - 1];
    let elements: usize = shape.iter().product();
    let count = elements.checked_div(m * n).unwrap_or(0);
    let matrix = if a.ndim() == 2 {
        a.view().into_dimensionality::<Ix2>().ok()
    } else if b.ndim() == 2 && a.is_standard_layout() {
        // One B for all: the As are the rows of one tall matrix.
        a.view().into_shape_with_order((count * m, k)).ok()
    } else {
        None
    };
    let right = b.view().into_dimensionality::<Ix2>().ok();
    if let (Some(a), Some(b)) = (matrix, right) {
        return Ok(of_matrices::<P>(a, b, origin, context));
    }
    let choice = load::prospect::<P>((m, k, n), count, context);
    let chunks = count.div_ceil(batch::together::<P>((m, k, n), count, choice.threads, context));
    // Each product is done by a thread alone, all in the same way.
    let kernel = match (first(a.view()), first(b.view())) {
        (Some(a), Some(b)) => P::outline(a, b, 1, context).0,
        _ => String::new(),
    };
    Ok(Explanation { kernel, chunks, choice, origin })
}

fn of_matrices<P: Product>(
    a: ArrayView2<'_, P::Left>,
    b: ArrayView2<'_, P::Right>,
    origin: Origin,
    context: &Context<'_>,
) -> Explanation {
    let sizes = (a.nrows(), a.ncols(), b.ncols());
    let choice = load::prospect::<P>(sizes, 1, context);
    let (kernel, chunks) = P::outline(a, b, choice.threads, context);
    Explanation { kernel, chunks, choice, origin }
}

/// The first matrix of a batch.
fn first<T>(mut batch: ArrayViewD<'_, T>) -> Option<ArrayView2<'_, T>> {
    while batch.ndim() > 2 {
        if batch.len_of(Axis(0)) == 0 {
            return None;
        }
        batch = batch.index_axis_move(Axis(0), 0);
    }
    batch.into_dimensionality().ok()
}
