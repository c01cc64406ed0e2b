//! What a product would do, without doing it.

use ndarray::{ArrayView2, ArrayViewD, Axis};
use threadwise_kernels::Activation;
use threadwise_kernels::gemm::Epilogue;

use super::{Product, append_axis, batch, expect, linear_shape, load, matmul_shape};
use crate::work::Choice;
use crate::work::calibration::{self, Origin};
use crate::{Context, Error};

/// A product's plan, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The kernel: `{architecture}-{type}-{instruction set}-{form}`.
    pub kernel: String,
    /// Pieces of work that threads take: parts of the result, and of B where they pack it together.
    pub chunks: usize,
    /// The choice of threads.
    pub choice: Choice,
    /// Whether the machine was measured.
    pub origin: Origin,
}

impl Explanation {
    fn new((kernel, chunks): (String, usize), choice: Choice, context: &Context<'_>) -> Self {
        Self { kernel, chunks, choice, origin: calibration::current(context.isa).1 }
    }

    /// How many threads take part: no more than there are pieces.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.choice.threads.min(self.chunks).max(1)
    }

    /// Why, in a sentence.
    #[must_use]
    pub fn reason(&self) -> String {
        if self.threads() == self.choice.threads {
            return self.choice.reason();
        }
        let count = |number: usize, noun: &str| {
            format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
        };
        let (threads, pieces) = (count(self.threads(), "thread"), count(self.chunks, "piece"));
        format!("{threads}: {:.1} us of work, in {pieces}", self.choice.serial * 1e6)
    }
}

/// What [`matmul`](super::matmul), or [`linear`](super::linear) with this bias and activation and a `b` that is the
/// transposed weight, would do now. It depends on who of the workers is awake. `out` is looked at, and not
/// written.
///
/// # Errors
///
/// If shapes do not fit.
pub fn explain<P: Product>(
    a: ArrayViewD<'_, P::Left>,
    b: ArrayViewD<'_, P::Right>,
    bias: Option<&[P::Bias]>,
    activation: Option<Activation>,
    out: ArrayViewD<'_, P::Out>,
    context: &Context<'_>,
) -> Result<Explanation, Error> {
    expect(&out, &matmul_shape(a.shape(), b.shape())?)?;
    let (mut a, mut b, mut out) = (a, b, out);
    if b.ndim() == 1 {
        b = b.insert_axis(Axis(1));
        out = append_axis(out);
    }
    if a.ndim() == 1 {
        a = a.insert_axis(Axis(0));
        let before_last = out.ndim() - 1;
        out = out.insert_axis(Axis(before_last));
    }
    if b.ndim() == 2 && !out.is_empty() {
        (a, out) = batch::rows_of_one_matrix(a, out)?;
    }
    let Batch { runs, run, m, n, strides } = Batch::of(&out);
    let (k, count) = (a.shape()[a.ndim() - 1], runs * run);
    let choice = load::prospect::<P>((m, k, n), count, context);
    if out.is_empty() {
        return Ok(Explanation::new((P::kernel(context.isa), 0), choice, context));
    }
    let (left, right) = (first(a)?, first(b)?);
    let outline = |threads: usize| {
        let epilogue = Epilogue { bias, activation };
        P::outline(left, right, strides, epilogue, threads, context)
    };
    if out.ndim() > 2
        && let Some(together) = batch::together::<P>((m, k, n), count, choice.threads, context)
    {
        // Each product is one thread's.
        let kernel = outline(1).0;
        return Ok(Explanation::new((kernel, runs * run.div_ceil(together)), choice, context));
    }
    let choice = load::prospect::<P>((m, k, n), 1, context);
    Ok(in_turn(outline(choice.threads), count, choice, context))
}

/// What [`linear_packed`](super::linear_packed) would do now; [`matmul`](super::matmul) with a packed weight is the
/// same. `out` is looked at, and not written.
///
/// # Errors
///
/// If shapes do not fit.
pub fn explain_packed<P: Product>(
    x: ArrayViewD<'_, P::Left>,
    weight: &P::Weight,
    out: ArrayViewD<'_, P::Out>,
    context: &Context<'_>,
) -> Result<Explanation, Error> {
    let [n, k] = P::weight_shape(weight);
    expect(&out, &linear_shape(x.shape(), &[n, k], None)?)?;
    let out = match x.ndim() {
        1 => out.insert_axis(Axis(0)),
        _ if out.is_empty() => out,
        _ => batch::rows_of_one_matrix(x, out)?.1,
    };
    let Batch { runs, run, m, .. } = Batch::of(&out);
    // One matrix of x after the other, where they are not the rows of one.
    let count = if out.is_empty() { 0 } else { runs * run };
    let choice = load::prospect::<P>((m, k, n), 1, context);
    let outline = P::outline_packed(m, weight, choice.threads, context);
    Ok(in_turn(outline, count, choice, context))
}

/// Some products one after the other, each shared by all threads.
fn in_turn(
    (kernel, pieces): (String, usize),
    count: usize,
    one: Choice,
    context: &Context<'_>,
) -> Explanation {
    let choice = one.repeated(count);
    Explanation::new((kernel, pieces * count), choice, context)
}

/// The matrices of a result: their number, in runs along the last axis that counts them, and what each is.
struct Batch {
    runs: usize,
    run: usize,
    m: usize,
    n: usize,
    strides: [isize; 2],
}

impl Batch {
    fn of<T>(out: &ArrayViewD<'_, T>) -> Self {
        let (shape, rows) = (out.shape(), out.ndim() - 2);
        let (runs, run) = match &shape[..rows] {
            [runs @ .., run] => (runs.iter().product(), *run),
            [] => (1, 1),
        };
        let strides = [out.strides()[rows], out.strides()[rows + 1]];
        Self { runs, run, m: shape[rows], n: shape[rows + 1], strides }
    }
}

/// The first matrix of a batch.
fn first<T>(mut matrices: ArrayViewD<'_, T>) -> Result<ArrayView2<'_, T>, Error> {
    while matrices.ndim() > 2 {
        matrices = matrices.index_axis_move(Axis(0), 0);
    }
    batch::fixed(matrices)
}
