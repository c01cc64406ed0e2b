//! Products of narrow numbers: bfloat16, float16, and integers of eight bits.
//!
//! As in `product`, C is cut into pieces that threads share. Sums are wider than the numbers: they are kept
//! in scratch memory until k has been passed over, and rounded once. Where k is cut depends on the sizes and on the
//! kernel alone; only the size of pieces depends on the threads.

mod alone;
mod cuts;
mod few;
mod finish;
mod pieces;
mod plan;
mod tiny;
mod turned;
mod weight;

use std::marker::PhantomData;

use bytemuck::Pod;
use ndarray::{ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3};
use threadwise_kernels::gemm::Epilogue;
use threadwise_kernels::narrow::{Kernel, Pair, Rounded, Sum};
use threadwise_runtime::{budget, with_scratch};

use self::finish::finish;
use self::pieces::{Operands, Source, share};
use self::plan::{Plan, is_thin, is_turned, kernel};
use self::weight::Lie;
use super::pieces::cut;
use super::plan::WORTH_DETACHING;
use super::{Product, load};
use crate::error::Shape;
use crate::work::Kind;
use crate::{Context, Error, Isa};

pub use self::weight::NarrowWeight;

/// Multiply-adds up to which a product by tiles is done at once, without a wish to stop being heard.
const AT_ONCE: usize = 1 << 20;

/// Elements of a result that [`smallest`] has room for.
const ROOM: usize = 4096;

/// What narrow numbers are summed in, which is a result too.
pub trait Summed: Sum + Pod + Rounded<Self> {}

impl Summed for f32 {}
impl Summed for i32 {}

/// The product of `P`, stored as `R`.
#[derive(Clone, Copy, Debug)]
pub struct Narrow<P, R>(PhantomData<(P, R)>);

impl<P: Pair<Sum: Summed>, R: Rounded<P::Sum>> Product for Narrow<P, R> {
    type Left = P::Left;
    type Right = P::Right;
    type Out = R;
    type Bias = P::Sum;
    type Weight = NarrowWeight<P::Right>;

    fn multiply(
        a: ArrayView2<'_, P::Left>,
        b: ArrayView2<'_, P::Right>,
        c: ArrayViewMut2<'_, R>,
        epilogue: Epilogue<'_, P::Sum>,
        context: &Context<'_>,
    ) -> Result<(), Error> {
        let strides = [c.strides()[0], c.strides()[1]];
        if is_transposed::<P>(context.isa, a, b, strides, epilogue.bias.is_some()) {
            let (a, b, c) = (b.reversed_axes(), a.reversed_axes(), c.reversed_axes());
            return by_form::<P::Swapped, R>(a, b, c, epilogue, context);
        }
        by_form::<P, R>(a, b, c, epilogue, context)
    }

    fn each(
        a: ArrayView3<'_, P::Left>,
        b: ArrayView3<'_, P::Right>,
        mut c: ArrayViewMut3<'_, R>,
        epilogue: Epilogue<'_, P::Sum>,
        context: &Context<'_>,
    ) -> Result<(), Error> {
        let isa = context.isa;
        let (Some(left), Some(right)) = (a.outer_iter().next(), b.outer_iter().next()) else {
            return Ok(());
        };
        let is_plain = epilogue.bias.is_none() && epilogue.activation.is_none();
        let are_tiny = is_plain && tiny::fits::<P>((left.nrows(), left.ncols(), right.ncols()));
        if are_tiny && tiny::products::<P, R>(isa, a, b, c.view_mut())? {
            return Ok(());
        }
        let strides = [c.strides()[1], c.strides()[2]];
        let are_done = if is_transposed::<P>(isa, left, right, strides, epilogue.bias.is_some()) {
            let (a, b) = (a.permuted_axes([0, 2, 1]), b.permuted_axes([0, 2, 1]));
            let kernel = kernel::<P::Swapped>(isa, (right.ncols(), left.ncols(), left.nrows()));
            let c = c.view_mut().permuted_axes([0, 2, 1]);
            alone::products(&kernel, b, a, c, (isa, epilogue))?
        } else {
            let kernel = kernel::<P>(isa, (left.nrows(), left.ncols(), right.ncols()));
            alone::products(&kernel, a, b, c.view_mut(), (isa, epilogue))?
        };
        if !are_done {
            for ((a, b), c) in a.outer_iter().zip(b.outer_iter()).zip(c.outer_iter_mut()) {
                Self::multiply(a, b, c, epilogue, context)?;
            }
        }
        Ok(())
    }

    fn multiply_packed(
        a: ArrayView2<'_, P::Left>,
        weight: &NarrowWeight<P::Right>,
        c: ArrayViewMut2<'_, R>,
        epilogue: Epilogue<'_, P::Sum>,
        context: &Context<'_>,
    ) -> Result<(), Error> {
        let kept = match weight.lie() {
            Lie::Rows(rows) => return Self::multiply(a, rows.t(), c, epilogue, context),
            Lie::Slivers(kept) => kept,
        };
        if c.is_empty() {
            return Ok(());
        }
        let (kernel, [n, k]) = (weight.kernel::<P>(), weight.shape());
        let sizes = (c.nrows(), k, n);
        let threads = load::threads::<Self>(sizes, 1, context);
        let plan = Plan::of_kept(&kernel, sizes, threads, context.distribution);
        run(&kernel, &plan, Operands { a, b: Source::Kept(kept, k, n), epilogue }, c, context)
    }

    fn weight_shape(weight: &NarrowWeight<P::Right>) -> [usize; 2] {
        weight.shape()
    }

    fn rate() -> Kind {
        match P::NAME {
            "bf16" => Kind::Bfloat16,
            "f16" => Kind::Float16,
            _ => Kind::Int8,
        }
    }

    fn kernel(isa: Isa) -> String {
        P::kernel(isa).name()
    }

    fn outline(
        a: ArrayView2<'_, P::Left>,
        b: ArrayView2<'_, P::Right>,
        strides: [isize; 2],
        epilogue: Epilogue<'_, P::Sum>,
        threads: usize,
        context: &Context<'_>,
    ) -> (String, usize) {
        if is_transposed::<P>(context.isa, a, b, strides, epilogue.bias.is_some()) {
            return outline::<P::Swapped>(b.reversed_axes(), a.reversed_axes(), threads, context);
        }
        outline::<P>(a, b, threads, context)
    }

    fn outline_packed(
        rows: usize,
        weight: &NarrowWeight<P::Right>,
        threads: usize,
        context: &Context<'_>,
    ) -> (String, usize) {
        let (kernel, [n, k]) = (weight.kernel::<P>(), weight.shape());
        let plan = Plan::of_kept(&kernel, (rows, k, n), threads, context.distribution);
        (kernel.name().replace("gemm", "packed"), plan.pieces((rows, k, n)))
    }
}

/// Whether Cᵀ = Bᵀ·Aᵀ is computed into a C of these strides: where its columns are contiguous, and few ones are as
/// rows, which have kernels of their own.
fn is_transposed<P: Pair>(
    isa: Isa,
    a: ArrayView2<'_, P::Left>,
    b: ArrayView2<'_, P::Right>,
    strides: [isize; 2],
    has_bias: bool,
) -> bool {
    let (m, n) = (a.nrows(), b.ncols());
    let by_rows = strides[1] == 1 || n == 1;
    let by_columns = strides[0] == 1 || m == 1;
    !has_bias && (by_columns && ((n == 1 && m > 1) || !by_rows) || is_thin::<P>(isa, a, b))
}

fn outline<P: Pair>(
    a: ArrayView2<'_, P::Left>,
    b: ArrayView2<'_, P::Right>,
    threads: usize,
    context: &Context<'_>,
) -> (String, usize) {
    let ((m, k), n) = (a.dim(), b.ncols());
    let kernel = kernel::<P>(context.isa, (m, k, n));
    let plan = Plan::of(&kernel, m, b, threads, context.distribution);
    (kernel.name().replace("gemm", plan.form.name()), plan.pieces((m, k, n)))
}

fn by_form<P: Pair<Sum: Summed>, R: Rounded<P::Sum>>(
    a: ArrayView2<'_, P::Left>,
    b: ArrayView2<'_, P::Right>,
    mut c: ArrayViewMut2<'_, R>,
    epilogue: Epilogue<'_, P::Sum>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let ((m, k), n) = (a.dim(), b.ncols());
    if c.is_empty() {
        return Ok(());
    }
    let kernel = kernel::<P>(context.isa, (m, k, n));
    let threads = load::threads::<Narrow<P, R>>((m, k, n), 1, context);
    let is_alone = threads <= 1 && context.distribution.is_none() && !is_turned(&kernel, m, b);
    let finish = (context.isa, epilogue);
    if is_alone && alone::product(&kernel, a, b, c.view_mut(), finish, AT_ONCE)? {
        return Ok(());
    }
    let plan = Plan::of(&kernel, m, b, threads, context.distribution);
    run(&kernel, &plan, Operands { a, b: Source::Plain(b), epilogue }, c, context)
}

/// `a @ b` for matrices, handed to `take`, if it is so small that it is not worth a place of its own, or `None`.
///
/// # Errors
///
/// If an environment variable of threadwise makes no sense, or memory runs out.
pub fn smallest<P: Pair<Sum: Summed>, R: Rounded<P::Sum>, T>(
    a: ArrayView2<'_, P::Left>,
    b: ArrayView2<'_, P::Right>,
    take: impl FnOnce(ArrayView2<'_, R>) -> T,
) -> Result<Option<T>, Error> {
    // Rooms of two sizes, because to clear the large one takes as long as the smallest products.
    const SMALL: usize = 256;
    let ((m, k), n) = (a.dim(), b.ncols());
    let elements = m.saturating_mul(n);
    if k != b.nrows() || elements > ROOM || elements.saturating_mul(k) >= WORTH_DETACHING {
        return Ok(None);
    }
    if elements <= SMALL {
        in_room::<P, R, T>(&mut [R::default(); SMALL], a, b, take).map(Some)
    } else {
        in_room::<P, R, T>(&mut [R::default(); ROOM], a, b, take).map(Some)
    }
}

fn in_room<P: Pair<Sum: Summed>, R: Rounded<P::Sum>, T>(
    room: &mut [R],
    a: ArrayView2<'_, P::Left>,
    b: ArrayView2<'_, P::Right>,
    take: impl FnOnce(ArrayView2<'_, R>) -> T,
) -> Result<T, Error> {
    budget::check_environment()?;
    let (m, n) = (a.nrows(), b.ncols());
    let mut c = matrix(&mut room[..m * n], (m, n))?;
    let none = Epilogue { bias: None, activation: None };
    Narrow::<P, R>::multiply(a, b, c.view_mut(), none, &Context::alone(Isa::current()?))?;
    Ok(take(c.view()))
}

/// A product by its plan.
fn run<P: Pair<Sum: Summed>, R: Rounded<P::Sum>>(
    kernel: &Kernel<P>,
    plan: &Plan,
    operands: Operands<'_, P>,
    c: ArrayViewMut2<'_, R>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let ((m, n), k) = (c.dim(), operands.a.ncols());
    if plan.chunk < k {
        return in_chunks(kernel, plan, operands, c, context);
    }
    let mut pieces = Vec::with_capacity(plan.pieces((m, k, n)));
    cut((plan.rows, plan.columns), 0..k, c, &mut pieces);
    share(&mut pieces, kernel, plan, operands, context)
}

/// A small C of long sums: each chunk of k into sums of its own, which are then added up in order.
fn in_chunks<P: Pair<Sum: Summed>, R: Rounded<P::Sum>>(
    kernel: &Kernel<P>,
    plan: &Plan,
    operands: Operands<'_, P>,
    c: ArrayViewMut2<'_, R>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let ((m, n), k) = (c.dim(), operands.a.ncols());
    let Operands { a, b, epilogue } = operands;
    let sums_alone = Operands { a, b, epilogue: Epilogue { bias: None, activation: None } };
    with_scratch(k.div_ceil(plan.chunk) * m * n, |scratch: &mut [P::Sum]| {
        let mut pieces = Vec::with_capacity(plan.pieces((m, k, n)));
        for (i, sums) in scratch.chunks_exact_mut(m * n).enumerate() {
            let terms = i * plan.chunk..k.min((i + 1) * plan.chunk);
            cut((plan.rows, plan.columns), terms, matrix(sums, (m, n))?, &mut pieces);
        }
        share(&mut pieces, kernel, plan, sums_alone, context)?;
        drop(pieces);
        let (first, others) = scratch.split_at_mut(m * n);
        for others in others.chunks_exact(m * n) {
            first.iter_mut().zip(others).for_each(|(sum, other)| *sum = sum.plus(*other));
        }
        finish(context.isa, matrix(first, (m, n))?, epilogue, c);
        Ok(())
    })?
}

fn matrix<S>(sums: &mut [S], (m, n): (usize, usize)) -> Result<ArrayViewMut2<'_, S>, Error> {
    ArrayViewMut2::from_shape((m, n), sums).map_err(|_| Error::TooLarge(Shape(vec![m, n])))
}

#[cfg(test)]
mod tests;
