//! Operands of more than two axes, as pairs of matrices.

use ndarray::{
    ArrayBase, ArrayView3, ArrayViewD, ArrayViewMut3, ArrayViewMutD, Axis, Dimension, IxDyn,
    RawData,
};
use threadwise_kernels::gemm::Epilogue;
use threadwise_runtime::Interrupt;

use super::load;
use super::{Product, shapes};
use crate::Context;
use crate::error::{Error, Shape};
use crate::work::WorkDistribution;

/// Products one after the other along the first axis, alike in shapes and strides.
struct Run<'a, P: Product> {
    a: ArrayView3<'a, P::Left>,
    b: ArrayView3<'a, P::Right>,
    c: ArrayViewMut3<'a, P::Out>,
}

/// Multiply-adds that take as long as to begin a product.
const BEGIN: usize = 2000;

/// Multiply-adds that are worth a piece of work by themselves, some microseconds: small products make one
/// together.
const GROUP: usize = 500_000;

/// Multiply-adds of a product that all threads share if others would wait for it, or for a wish to stop.
const LARGE: usize = 1 << 29;

/// `out = f(a @ b + bias)` for operands of at least two axes whose shapes fit.
pub(super) fn run<P: Product>(
    a: ArrayViewD<'_, P::Left>,
    b: ArrayViewD<'_, P::Right>,
    out: ArrayViewMutD<'_, P::Out>,
    epilogue: Epilogue<'_, P::Bias>,
    context: &Context<'_>,
) -> Result<(), Error> {
    if out.is_empty() {
        return Ok(());
    }
    // One B for the whole batch: its As are the rows of one tall matrix, if they lie so.
    let (a, out) = if b.ndim() == 2 { rows_of_one_matrix(a, out)? } else { (a, out) };
    if out.ndim() == 2 {
        return P::multiply(fixed(a)?, fixed(b)?, fixed(out)?, epilogue, context);
    }
    let batch = shapes::batch(out.shape()).to_vec();
    let broadcast = |shape: &[usize]| -> Vec<usize> {
        batch.iter().chain(&shape[shape.len() - 2..]).copied().collect()
    };
    let (a_shape, b_shape) = (broadcast(a.shape()), broadcast(b.shape()));
    let (Some(a), Some(b)) = (a.broadcast(a_shape), b.broadcast(b_shape)) else {
        return Err(unfit(out.shape()));
    };
    let mut runs: Vec<Run<'_, P>> = Vec::with_capacity(batch[..batch.len() - 1].iter().product());
    collect(a, b, out, &mut runs)?;
    all(runs, epilogue, context)
}

/// `out = f(x @ weight.T + bias)` for an x of at least two axes.
pub(super) fn packed<P: Product>(
    x: ArrayViewD<'_, P::Left>,
    weight: &P::Weight,
    out: ArrayViewMutD<'_, P::Out>,
    epilogue: Epilogue<'_, P::Bias>,
    context: &Context<'_>,
) -> Result<(), Error> {
    if out.is_empty() {
        return Ok(());
    }
    let (x, out) = rows_of_one_matrix(x, out)?;
    if out.ndim() == 2 {
        return P::multiply_packed(fixed(x)?, weight, fixed(out)?, epilogue, context);
    }
    // One matrix of x after the other: none of them shares its rows' strides with the next.
    for (x, out) in x.outer_iter().zip(out.into_outer_iter_mut()) {
        packed::<P>(x, weight, out, epilogue, context)?;
    }
    Ok(())
}

/// Joins all axes but the last, in A and in the result, if both lie in memory that way.
pub(super) fn rows_of_one_matrix<L, S: RawData>(
    a: ArrayViewD<'_, L>,
    out: ArrayBase<S, IxDyn>,
) -> Result<(ArrayViewD<'_, L>, ArrayBase<S, IxDyn>), Error> {
    if a.ndim() <= 2 || !a.is_standard_layout() || !out.is_standard_layout() {
        return Ok((a, out));
    }
    let (Some(&k), Some(&n)) = (a.shape().last(), out.shape().last()) else { return Ok((a, out)) };
    let m = out.len() / n;
    let a = a.into_shape_with_order(IxDyn(&[m, k])).map_err(|_| unfit(&[m, k]))?;
    let out = out.into_shape_with_order(IxDyn(&[m, n])).map_err(|_| unfit(&[m, n]))?;
    Ok((a, out))
}

/// Cuts operands of equal batch axes along the first of these, until one is left.
fn collect<'a, P: Product>(
    a: ArrayViewD<'a, P::Left>,
    b: ArrayViewD<'a, P::Right>,
    mut c: ArrayViewMutD<'a, P::Out>,
    runs: &mut Vec<Run<'a, P>>,
) -> Result<(), Error> {
    if c.ndim() == 3 {
        runs.push(Run { a: fixed(a)?, b: fixed(b)?, c: fixed(c)? });
        return Ok(());
    }
    for i in 0..c.len_of(Axis(0)) {
        let (first, rest) = c.split_at(Axis(0), 1);
        c = rest;
        let (a, b) = (a.clone().index_axis_move(Axis(0), i), b.clone().index_axis_move(Axis(0), i));
        collect::<P>(a, b, first.index_axis_move(Axis(0), 0), runs)?;
    }
    Ok(())
}

/// Computes all products: shared out among the threads, some at a time, or, if there are too few large
/// ones for that, one after the other with all threads in each.
fn all<P: Product>(
    runs: Vec<Run<'_, P>>,
    epilogue: Epilogue<'_, P::Bias>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let Some(first) = runs.first() else { return Ok(()) };
    let (m, n, k) = (first.c.len_of(Axis(1)), first.c.len_of(Axis(2)), first.a.len_of(Axis(2)));
    let count: usize = runs.iter().map(|run| run.c.len_of(Axis(0))).sum();
    let threads = load::threads::<P>((m, k, n), count, context);
    let Some(together) = together::<P>((m, k, n), count, threads, context) else {
        for Run { a, b, mut c } in runs {
            for ((a, b), c) in a.outer_iter().zip(b.outer_iter()).zip(c.outer_iter_mut()) {
                P::multiply(a, b, c, epilogue, context)?;
            }
        }
        return Ok(());
    };
    let mut groups = Vec::with_capacity(count.div_ceil(together) + runs.len());
    for mut run in runs {
        while run.c.len_of(Axis(0)) > together {
            let (a, a_rest) = run.a.split_at(Axis(0), together);
            let (b, b_rest) = run.b.split_at(Axis(0), together);
            let (c, c_rest) = run.c.split_at(Axis(0), together);
            groups.push(Run { a, b, c });
            run = Run { a: a_rest, b: b_rest, c: c_rest };
        }
        groups.push(run);
    }
    let isa = context.isa;
    context.try_share(&mut groups, threads, |Run { a, b, c }, _| {
        let alone = Context { isa, threads: 1, interrupt: Interrupt::never(), distribution: None };
        P::each(a.view(), b.view(), c.view_mut(), epilogue, &alone)
    })
}

/// How many of `count` products of these sizes make a piece of work, or `None` if they had better be done
/// one after the other with all threads in each: if they are large, or too few to be shared evenly.
pub(super) fn together<P: Product>(
    sizes: (usize, usize, usize),
    count: usize,
    threads: usize,
    context: &Context<'_>,
) -> Option<usize> {
    let each = load::cost::<P::Right>(sizes).saturating_add(BEGIN);
    let are_even = count.is_multiple_of(threads) || count >= 8 * threads;
    if each > LARGE || (each >= 4 * GROUP * threads && !are_even) {
        return None;
    }
    if let Some(wanted) = context.distribution {
        return Some(products(wanted, count, sizes.0, threads));
    }
    Some((GROUP / each).clamp(1, count.div_ceil(threads).max(1)))
}

/// How many products of `rows` rows make a piece, as the caller wants rows to be cut.
fn products(wanted: WorkDistribution, count: usize, rows: usize, threads: usize) -> usize {
    wanted.extent(count.saturating_mul(rows), threads, rows) / rows
}

/// The same view, its number of axes known to the compiler.
pub(super) fn fixed<S: RawData, D: Dimension>(
    view: ArrayBase<S, IxDyn>,
) -> Result<ArrayBase<S, D>, Error> {
    let shape = Shape::from(view.shape());
    view.into_dimensionality().map_err(|_| Error::TooLarge(shape))
}

/// What ndarray refuses after shapes were found to fit: extents beyond what it can address.
pub(super) fn unfit(shape: &[usize]) -> Error {
    Error::TooLarge(Shape::from(shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_products_are_shared_out_by_as_many_rows_as_the_caller_wants() {
        let of = |min, max, tasks| WorkDistribution::new(min, max, tasks, None, 64).unwrap();
        assert_eq!(products(of(1, 1000, 4), 96, 10, 2), 12, "four pieces for each of two threads");
        assert_eq!(products(of(1, 1000, 2), 96, 10, 2), 24, "two");
        assert_eq!(products(of(1, 55, 2), 96, 10, 2), 5, "at most 55 rows");
        assert_eq!(products(of(350, 1000, 4), 96, 10, 2), 48, "at least 350 rows");
        assert_eq!(products(of(1, 5, 4), 96, 10, 2), 1, "a product is not cut");
    }
}
