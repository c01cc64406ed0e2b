//! Operands of more than two axes, as pairs of matrices.

use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayView2, ArrayViewD, ArrayViewMut2, ArrayViewMutD, Axis, IxDyn};
use threadwise_kernels::gemm::Epilogue;
use threadwise_runtime::{Interrupt, for_each};

use super::plan::WORTH_A_THREAD;
use super::{Real, product, shapes};
use crate::Context;
use crate::error::{Error, Shape};
use crate::work::WorkDistribution;

/// One product of a batch.
struct Item<'a, T> {
    a: ArrayView2<'a, T>,
    b: ArrayView2<'a, T>,
    c: ArrayViewMut2<'a, T>,
}

/// `out = f(a @ b + bias)` for operands of at least two axes whose shapes fit.
pub(super) fn run<T: Real>(
    a: ArrayViewD<'_, T>,
    b: ArrayViewD<'_, T>,
    out: ArrayViewMutD<'_, T>,
    epilogue: Epilogue<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    if out.is_empty() {
        return Ok(());
    }
    // One B for the whole batch: its As are the rows of one tall matrix, if they lie so.
    let (a, out) = if b.ndim() == 2 { rows_of_one_matrix(a, out)? } else { (a, out) };
    if out.ndim() == 2 {
        let item = Item { a: matrix(a)?, b: matrix(b)?, c: matrix_mut(out)? };
        return product::multiply(item.a, item.b, item.c, epilogue, context);
    }
    let batch = shapes::batch(out.shape());
    let broadcast = |shape: &[usize]| -> Vec<usize> {
        batch.iter().chain(&shape[shape.len() - 2..]).copied().collect()
    };
    let (a_shape, b_shape) = (broadcast(a.shape()), broadcast(b.shape()));
    let mut items = Vec::with_capacity(batch.iter().product());
    let (Some(a), Some(b)) = (a.broadcast(a_shape), b.broadcast(b_shape)) else {
        return Err(unfit(out.shape()));
    };
    collect(a, b, out, &mut items)?;
    all(items, epilogue, context)
}

/// Joins all axes but the last, in A and in the result, if both lie in memory that way.
fn rows_of_one_matrix<'a, 'c, T: Real>(
    a: ArrayViewD<'a, T>,
    out: ArrayViewMutD<'c, T>,
) -> Result<(ArrayViewD<'a, T>, ArrayViewMutD<'c, T>), Error> {
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
fn collect<'a, T: Real>(
    a: ArrayViewD<'a, T>,
    b: ArrayViewD<'a, T>,
    mut c: ArrayViewMutD<'a, T>,
    items: &mut Vec<Item<'a, T>>,
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
fn all<T: Real>(
    mut items: Vec<Item<'_, T>>,
    epilogue: Epilogue<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let work = |item: &Item<'_, T>| item.c.len().saturating_mul(item.a.ncols()).max(1);
    let each = items.first().map_or(1, work);
    if each >= WORTH_A_THREAD * context.threads {
        for Item { a, b, c } in items {
            product::multiply(a, b, c, epilogue, context)?;
        }
        return Ok(());
    }
    let threads = context.threads.min(each.saturating_mul(items.len()) / WORTH_A_THREAD).max(1);
    let together = (WORTH_A_THREAD / 4 / each).clamp(1, items.len().div_ceil(threads));
    let rows = items.first().map_or(1, |item| item.c.nrows());
    let together = match context.distribution {
        Some(wanted) => products(wanted, items.len(), rows, threads),
        None => together,
    };
    let mut groups: Vec<&mut [Item<'_, T>]> = items.chunks_mut(together).collect();
    let (isa, failure) = (context.isa, Mutex::new(None));
    for_each(&mut groups, threads, &context.interrupt, |group, _| {
        let alone = Context { isa, threads: 1, interrupt: Interrupt::never(), distribution: None };
        for Item { a, b, c } in group.iter_mut() {
            let outcome = product::multiply(a.view(), b.view(), c.view_mut(), epilogue, &alone);
            if let Err(error) = outcome {
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        }
    })?;
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// How many products of `rows` rows make a piece, as the caller wants rows to be cut.
fn products(wanted: WorkDistribution, count: usize, rows: usize, threads: usize) -> usize {
    wanted.extent(count.saturating_mul(rows), threads, rows) / rows
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
