//! Operands of more than two axes, as pairs of matrices.

use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayView2, ArrayViewD, ArrayViewMut2, ArrayViewMutD, Axis, IxDyn};
use threadwise_kernels::gemm::Epilogue;
use threadwise_runtime::{Interrupt, for_each};

use super::plan::WORTH_A_THREAD;
use super::{Product, shapes};
use crate::Context;
use crate::error::{Error, Shape};

/// One product of a batch.
struct Item<'a, P: Product> {
    a: ArrayView2<'a, P::Left>,
    b: ArrayView2<'a, P::Right>,
    c: ArrayViewMut2<'a, P::Out>,
}

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
        let item: Item<'_, P> = Item { a: matrix(a)?, b: matrix(b)?, c: matrix_mut(out)? };
        return P::multiply(item.a, item.b, item.c, epilogue, context);
    }
    let batch = shapes::batch(out.shape());
    let broadcast = |shape: &[usize]| -> Vec<usize> {
        batch.iter().chain(&shape[shape.len() - 2..]).copied().collect()
    };
    let (a_shape, b_shape) = (broadcast(a.shape()), broadcast(b.shape()));
    let mut items: Vec<Item<'_, P>> = Vec::with_capacity(batch.iter().product());
    let (Some(a), Some(b)) = (a.broadcast(a_shape), b.broadcast(b_shape)) else {
        return Err(unfit(out.shape()));
    };
    collect(a, b, out, &mut items)?;
    all(items, epilogue, context)
}

/// Joins all axes but the last, in A and in the result, if both lie in memory that way.
fn rows_of_one_matrix<'a, 'c, L, O>(
    a: ArrayViewD<'a, L>,
    out: ArrayViewMutD<'c, O>,
) -> Result<(ArrayViewD<'a, L>, ArrayViewMutD<'c, O>), Error> {
    if a.ndim() <= 2 || !a.is_standard_layout() || !out.is_standard_layout() {
        return Ok((a, out));
    }
    let (Some(&k), Some(&n)) = (a.shape().last(), out.shape().last()) else { return Ok((a, out)) };
    let m = out.len() / n;
    let a = a.into_shape_with_order(IxDyn(&[m, k])).map_err(|_| unfit(&[m, k]))?;
    let out = out.into_shape_with_order(IxDyn(&[m, n])).map_err(|_| unfit(&[m, n]))?;
    Ok((a, out))
}

/// Cuts operands of equal batch axes along the first of these, until matrices are left.
fn collect<'a, P: Product>(
    a: ArrayViewD<'a, P::Left>,
    b: ArrayViewD<'a, P::Right>,
    mut c: ArrayViewMutD<'a, P::Out>,
    items: &mut Vec<Item<'a, P>>,
) -> Result<(), Error> {
    if c.ndim() == 2 {
        items.push(Item { a: matrix(a)?, b: matrix(b)?, c: matrix_mut(c)? });
        return Ok(());
    }
    for i in 0..c.len_of(Axis(0)) {
        let (first, rest) = c.split_at(Axis(0), 1);
        c = rest;
        let (a, b) = (a.clone().index_axis_move(Axis(0), i), b.clone().index_axis_move(Axis(0), i));
        collect(a, b, first.index_axis_move(Axis(0), 0), items)?;
    }
    Ok(())
}

/// Computes all products: large ones one after the other, with all threads in each; small ones shared
/// out among the threads, some at a time.
fn all<P: Product>(
    mut items: Vec<Item<'_, P>>,
    epilogue: Epilogue<'_, P::Bias>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let work = |item: &Item<'_, P>| item.c.len().saturating_mul(item.a.ncols()).max(1);
    let each = items.first().map_or(1, work);
    if each >= WORTH_A_THREAD * context.threads {
        for Item { a, b, c } in items {
            P::multiply(a, b, c, epilogue, context)?;
        }
        return Ok(());
    }
    let threads = context.threads.min(each.saturating_mul(items.len()) / WORTH_A_THREAD).max(1);
    let together = (WORTH_A_THREAD / 4 / each).clamp(1, items.len().div_ceil(threads));
    let mut groups: Vec<&mut [Item<'_, P>]> = items.chunks_mut(together).collect();
    let (isa, failure) = (context.isa, Mutex::new(None));
    for_each(&mut groups, threads, &context.interrupt, |group, _| {
        let alone = Context { isa, threads: 1, interrupt: Interrupt::never() };
        for Item { a, b, c } in group.iter_mut() {
            let outcome = P::multiply(a.view(), b.view(), c.view_mut(), epilogue, &alone);
            if let Err(error) = outcome {
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        }
    })?;
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

fn matrix<T>(view: ArrayViewD<'_, T>) -> Result<ArrayView2<'_, T>, Error> {
    let shape = Shape::from(view.shape());
    view.into_dimensionality().map_err(|_| Error::TooLarge(shape))
}

fn matrix_mut<T>(view: ArrayViewMutD<'_, T>) -> Result<ArrayViewMut2<'_, T>, Error> {
    let shape = Shape::from(view.shape());
    view.into_dimensionality().map_err(|_| Error::TooLarge(shape))
}

/// What ndarray refuses after shapes were found to fit: extents beyond what it can address.
fn unfit(shape: &[usize]) -> Error {
    Error::TooLarge(Shape::from(shape))
}
