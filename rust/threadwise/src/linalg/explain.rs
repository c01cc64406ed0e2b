//! What a product would do, without doing it.

use ndarray::{ArrayView2, ArrayViewD, Axis, Ix2};

use super::plan::Form;
use super::{Real, batch, load, matmul_shape, product};
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
pub fn explain<T: Real>(
    a: ArrayViewD<'_, T>,
    b: ArrayViewD<'_, T>,
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
        return Ok(of_matrices(a, b, origin, context));
    }
    let choice = load::prospect::<T>((m, k, n), count, context);
    let chunks = count.div_ceil(batch::together::<T>((m, k, n), count, choice.threads, context));
    let kernel = T::gemm(context.isa).name();
    Ok(Explanation { kernel, chunks, choice, origin })
}

fn of_matrices<T: Real>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    origin: Origin,
    context: &Context<'_>,
) -> Explanation {
    let kernel = T::gemm(context.isa);
    let sizes = (a.nrows(), a.ncols(), b.ncols());
    let choice = load::prospect::<T>(sizes, 1, context);
    let (form, chunks) = product::outline(&kernel, a, b, choice.threads, context);
    let suffix = match form {
        Form::Tiles => "gemm",
        Form::Dots => "dots",
        Form::Streams => "streams",
    };
    let kernel = kernel.name().replace("gemm", suffix);
    Explanation { kernel, chunks, choice, origin }
}
