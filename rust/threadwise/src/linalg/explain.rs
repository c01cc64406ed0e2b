//! What a product would do, without doing it.

use ndarray::{ArrayView2, ArrayViewD, Axis, Ix2};
use threadwise_kernels::Activation;
use threadwise_kernels::gemm::{Epilogue, Kernel};

use super::packed::PackedWeight;
use super::plan::{Form, Plan};
use super::way::{Target, Way, layout};
use super::{Real, append_axis, batch, expect, linear_shape, load, matmul_shape};
use crate::work::Choice;
use crate::work::calibration::{self, Origin};
use crate::{Context, Error};

/// A product's plan, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The kernel: `{architecture}-{type}-{instruction set}-{form}`.
    pub kernel: String,
    /// Pieces of work that the result is cut into.
    pub chunks: usize,
    /// The choice of threads.
    pub choice: Choice,
    /// Whether the machine was measured.
    pub origin: Origin,
}

impl Explanation {
    /// How many threads take part: no more than there are pieces.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.choice.threads.min(self.chunks).max(1)
    }

    /// Why, in a sentence.
    #[must_use]
    pub fn reason(&self) -> String {
        let (threads, serial) = (self.threads(), self.choice.serial * 1e6);
        if threads == self.choice.threads {
            return self.choice.reason();
        }
        let pieces = if threads == 1 { "one piece" } else { "so many pieces" };
        let noun = if threads == 1 { "thread" } else { "threads" };
        format!("{threads} {noun}: {serial:.1} us of work on one thread, which is cut into {pieces}")
    }
}

/// What [`matmul`](super::matmul), or [`linear`](super::linear) with this epilogue, would do now, into `out` or
/// a new array in C order. It depends on who of the workers is awake.
///
/// # Errors
///
/// If shapes do not fit.
pub fn explain<T: Real>(
    a: ArrayViewD<'_, T>,
    b: ArrayViewD<'_, T>,
    bias: Option<&[T]>,
    activation: Option<Activation>,
    out: Option<ArrayViewD<'_, T>>,
    context: &Context<'_>,
) -> Result<Explanation, Error> {
    let shape = matmul_shape(a.shape(), b.shape())?;
    out.as_ref().map_or(Ok(()), |out| expect(out, &shape))?;
    let (is_row, is_column) = (a.ndim() == 1, b.ndim() == 1);
    let out = out.map(|out| {
        let out = if is_column { append_axis(out) } else { out };
        let before_last = out.ndim() - 1;
        if is_row { out.insert_axis(Axis(before_last)) } else { out }
    });
    let a = if is_row { a.insert_axis(Axis(0)) } else { a };
    let b = if is_column { b.insert_axis(Axis(1)) } else { b };

    let kernel = T::gemm(context.isa);
    let (m, k) = last_two(a.shape());
    let n = b.shape()[b.ndim() - 1];
    let is_standard = out.as_ref().is_none_or(|out| out.is_standard_layout());
    // Of a matrix of the result.
    let strides = match &out {
        Some(out) => [out.strides()[out.ndim() - 2], out.strides()[out.ndim() - 1]],
        None => [n.cast_signed(), 1],
    };
    let epilogue = Epilogue { bias, activation };
    let of = |a, b, target, count| {
        let choice = load::prospect::<T>((m, k, n), count, context);
        one(&kernel, a, b, target, choice, context)
    };
    if shape.contains(&0) {
        let choice = load::prospect::<T>((m, k, n), 0, context);
        return Ok(answer(kernel.name(), 0, choice, context));
    }
    if b.ndim() == 2 && (a.ndim() == 2 || (a.is_standard_layout() && is_standard)) {
        // One B for all: the As are the rows of one tall matrix.
        let rows = a.len() / k.max(1);
        todo!()
    }
    todo!()
}
