//! One product of two matrices, by the plan.

use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use threadwise_kernels::gemm::{Epilogue, Finish, Kernel, Left, Right};
use threadwise_runtime::{Checkpoint, for_each, with_scratch};

use super::Real;
use super::plan::{self, Form, Layout, Plan};
use crate::{Context, Error};

/// A piece of C, and where in C it begins.
struct Piece<'a, T> {
    row: usize,
    column: usize,
    c: ArrayViewMut2<'a, T>,
}

/// `c = f(a @ b + bias)`. Any strides will do; C is written fastest where its rows are contiguous.
pub(super) fn multiply<T: Real>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    epilogue: Epilogue<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let (m, n) = c.dim();
    if c.is_empty() {
        return Ok(());
    }
    let by_rows = c.strides()[1] == 1 || n == 1;
    let by_columns = (c.strides()[0] == 1 || m == 1) && epilogue.bias.is_none();
    // A column is a row of the transposed product, which has kernels of its own.
    let is_column = n == 1 && m > 1;
    if by_columns && (is_column || !by_rows) {
        // Cᵀ = Bᵀ·Aᵀ, term by term the same sums.
        let (a, b, c) = (b.reversed_axes(), a.reversed_axes(), c.reversed_axes());
        return into_rows(a, b, c, epilogue, context);
    }
    if by_rows {
        return into_rows(a, b, c, epilogue, context);
    }
    with_scratch(m * n, |scratch: &mut [T]| {
        // The scratch has this size, so neither view can fail.
        if let Ok(rows) = ArrayViewMut2::from_shape((m, n), &mut *scratch) {
            into_rows(a, b, rows, epilogue, context)?;
        }
        if let Ok(rows) = ArrayView2::from_shape((m, n), scratch) {
            c.assign(&rows);
        }
        Ok(())
    })?
}

/// `c = a @ b` for small operands whose rows are contiguous, on the calling thread and without packing:
/// the sums of [`multiply`].
pub(super) fn alone<T: Real>(
    kernel: &Kernel<T>,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
) {
    let (n, k) = (c.ncols(), a.ncols());
    let none = Epilogue { bias: None, activation: None };
    if n == 1 {
        let (a, b, c) = (b.reversed_axes(), a.reversed_axes(), c.reversed_axes());
        return kernel.dots(a, b, c, Finish { accumulate: false, epilogue: Some(none) });
    }
    let depth = plan::depth(k).max(1);
    for first in (0..k.max(1)).step_by(depth) {
        let terms = first..k.min(first + depth);
        let a = Left::InPlace(a.slice_axis(Axis(1), terms.clone().into()));
        let b = Right::InPlace(b.slice_axis(Axis(0), terms.into()));
        let finish = Finish { accumulate: first > 0, epilogue: None };
        kernel.multiply(a, b, c.view_mut(), finish);
    }
}

/// [`multiply`] where the rows of C are contiguous: in pieces, shared among the threads. A piece needs
/// nothing of the others, not even their packed operands, so the threads meet once, at the end.
fn into_rows<T: Real>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    epilogue: Epilogue<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let kernel = T::gemm(context.isa);
    let ((m, k), n) = (a.dim(), b.ncols());
    let layout = Layout {
        right_is_row_major: b.strides()[1] == 1 || n == 1 || k == 0,
        right_is_column_major: b.strides()[0] == 1 || k == 1,
        right_stride: b.strides()[0].unsigned_abs() * size_of::<T>(),
        left_is_row_major: a.strides()[1] == 1 || k == 1,
    };
    let plan = Plan::new(&kernel, (m, k, n), layout, context.threads);
    let plan = plan.cut_by(context.distribution, &kernel, (m, n));
    let operands = Operands { a, b, epilogue };
    if m <= plan.rows && n <= plan.columns {
        let mut whole = [Piece { row: 0, column: 0, c }];
        return share(&mut whole, &kernel, &plan, operands, context);
    }
    let mut pieces = Vec::with_capacity(m.div_ceil(plan.rows) * n.div_ceil(plan.columns));
    for (i, mut rows) in c.axis_chunks_iter_mut(Axis(0), plan.rows).enumerate() {
        for column in (0..n).step_by(plan.columns) {
            let (c, rest) = rows.split_at(Axis(1), plan.columns.min(n - column));
            pieces.push(Piece { row: i * plan.rows, column, c });
            rows = rest;
        }
    }
    share(&mut pieces, &kernel, &plan, operands, context)
}

/// Computes all pieces.
fn share<T: Real>(
    pieces: &mut [Piece<'_, T>],
    kernel: &Kernel<T>,
    plan: &Plan,
    operands: Operands<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let failure = Mutex::new(None);
    for_each(pieces, plan.threads, &context.interrupt, |it, checkpoint| {
        if let Err(error) = piece(kernel, plan, operands, it, checkpoint) {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    })?;
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// What a product is made of.
#[derive(Clone, Copy)]
struct Operands<'a, T> {
    a: ArrayView2<'a, T>,
    b: ArrayView2<'a, T>,
    epilogue: Epilogue<'a, T>,
}

/// Computes one piece of C: pass by pass over k, and in each pass block by block of A's rows against
/// the piece's columns of B, which are packed once a pass.
fn piece<T: Real>(
    kernel: &Kernel<T>,
    plan: &Plan,
    Operands { a, b, epilogue }: Operands<'_, T>,
    piece: &mut Piece<'_, T>,
    checkpoint: Checkpoint<'_>,
) -> Result<(), Error> {
    let (m, n) = piece.c.dim();
    let k = a.ncols();
    let a = a.slice_axis(Axis(0), (piece.row..piece.row + m).into());
    let columns = piece.column..piece.column + n;
    let b = b.slice_axis(Axis(1), columns.clone().into());
    let epilogue = Epilogue { bias: epilogue.bias.map(|bias| &bias[columns]), ..epilogue };
    // A product without terms is one pass that stores zeros and the epilogue.
    for first in (0..k.max(1)).step_by(plan.depth.max(1)) {
        if checkpoint.reached() {
            break;
        }
        let terms = first..k.min(first + plan.depth);
        let finish =
            Finish { accumulate: first > 0, epilogue: (terms.end == k).then_some(epilogue) };
        let a = a.slice_axis(Axis(1), terms.clone().into());
        let b = b.slice_axis(Axis(0), terms.into());
        match plan.form {
            Form::Dots => dots(kernel, plan, a, b, piece.c.view_mut(), finish),
            Form::Streams => kernel.streams(a, b, piece.c.view_mut(), finish),
            Form::Tiles if plan.pack_right => {
                let depth = b.nrows();
                with_scratch(kernel.packed_right(depth, n), |packed: &mut [T]| {
                    kernel.pack_right(b, packed);
                    let b = Right::Packed(depth, n, packed);
                    blocks(kernel, plan, a, b, piece, finish, checkpoint)
                })??;
            }
            Form::Tiles => blocks(kernel, plan, a, Right::InPlace(b), piece, finish, checkpoint)?,
        }
    }
    Ok(())
}

/// A piece in dots: a block of columns at a time, which stay in the second-level cache while the rows go
/// past, few at a time.
fn dots<T: Real>(
    kernel: &Kernel<T>,
    plan: &Plan,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    finish: Finish<'_, T>,
) {
    let columns = b.axis_chunks_iter(Axis(1), plan.block);
    for (i, (b, mut c)) in columns.zip(c.axis_chunks_iter_mut(Axis(1), plan.block)).enumerate() {
        let place = i * plan.block..i * plan.block + b.ncols();
        let epilogue = finish
            .epilogue
            .map(|epilogue| Epilogue { bias: epilogue.bias.map(|bias| &bias[place]), ..epilogue });
        let rows = a.axis_chunks_iter(Axis(0), kernel.few());
        for (a, c) in rows.zip(c.axis_chunks_iter_mut(Axis(0), kernel.few())) {
            kernel.dots(a, b, c, Finish { epilogue, ..finish });
        }
    }
}

/// One pass over a piece: few enough rows of A at a time that they stay in the second-level cache while
/// all columns of B go past. Between blocks it hears of a wish to stop.
fn blocks<T: Real>(
    kernel: &Kernel<T>,
    plan: &Plan,
    a: ArrayView2<'_, T>,
    b: Right<'_, T>,
    piece: &mut Piece<'_, T>,
    finish: Finish<'_, T>,
    checkpoint: Checkpoint<'_>,
) -> Result<(), Error> {
    let rows = a.axis_chunks_iter(Axis(0), plan.block);
    for (a, c) in rows.zip(piece.c.axis_chunks_iter_mut(Axis(0), plan.block)) {
        if checkpoint.reached() {
            break;
        }
        if plan.pack_left {
            with_scratch(a.len(), |packed: &mut [T]| {
                kernel.pack_left(a, packed);
                kernel.multiply(Left::Packed(a.nrows(), a.ncols(), packed), b, c, finish);
            })?;
        } else {
            kernel.multiply(Left::InPlace(a), b, c, finish);
        }
    }
    Ok(())
}
