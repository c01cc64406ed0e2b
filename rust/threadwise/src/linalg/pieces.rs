//! Pieces of a product: what one thread computes of it without the others.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use threadwise_kernels::gemm::{Epilogue, Finish, Kernel, Right};
use threadwise_runtime::{Checkpoint, with_scratch};

use super::Real;
use super::plan::{Form, Left, Plan};
use crate::{Context, Error};

/// A piece of C, where in C it begins, and the terms whose sum it is.
pub(super) struct Piece<'a, T> {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) terms: Range<usize>,
    pub(super) c: ArrayViewMut2<'a, T>,
}

/// B, as it lies or as slivers.
#[derive(Clone, Copy)]
pub(super) enum Source<'a, T> {
    /// As it lies.
    Plain(ArrayView2<'a, T>),
    /// Pass after pass over k from term `first` on, of each the slivers of all columns.
    Slivers { first: usize, packed: &'a [T] },
}

/// What a product is made of.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a, T> {
    pub(super) a: ArrayView2<'a, T>,
    pub(super) b: Source<'a, T>,
    /// Columns of B.
    pub(super) n: usize,
    pub(super) epilogue: Epilogue<'a, T>,
}

/// The pieces of C, or of its sum over some terms, of at most `rows` and `columns`.
pub(super) fn cut<'a, T>(
    (rows, columns): (usize, usize),
    terms: Range<usize>,
    c: ArrayViewMut2<'a, T>,
    pieces: &mut Vec<Piece<'a, T>>,
) {
    let (m, n) = c.dim();
    let (mut row, mut rest) = (0, c);
    while !rest.is_empty() {
        let (mut band, below) = rest.split_at(Axis(0), rows.min(m - row));
        for column in (0..n).step_by(columns) {
            let (c, right) = band.split_at(Axis(1), columns.min(n - column));
            pieces.push(Piece { row, column, terms: terms.clone(), c });
            band = right;
        }
        (row, rest) = (row + rows, below);
    }
}

/// Computes the terms `now` of all pieces, shared among the threads. A piece needs nothing of the others,
/// so the threads meet once, at the end.
pub(super) fn share<T: Real>(
    pieces: &mut [Piece<'_, T>],
    now: &Range<usize>,
    kernel: &Kernel<T>,
    plan: &Plan,
    operands: Operands<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let failure = Mutex::new(None);
    context.share(pieces, plan.threads, |it, checkpoint| {
        if let Err(error) = piece(kernel, plan, operands, it, now, checkpoint) {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    })?;
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Computes the terms `now` of one piece of C: pass by pass over k, and in each pass block by block of A's
/// rows against the piece's columns of B, which are packed once a pass.
fn piece<T: Real>(
    kernel: &Kernel<T>,
    plan: &Plan,
    Operands { a, b, n: all_columns, epilogue }: Operands<'_, T>,
    piece: &mut Piece<'_, T>,
    now: &Range<usize>,
    checkpoint: Checkpoint<'_>,
) -> Result<(), Error> {
    let (m, n) = piece.c.dim();
    let k = a.ncols();
    let a = a.slice_axis(Axis(0), (piece.row..piece.row + m).into());
    let columns = piece.column..piece.column + n;
    let epilogue = Epilogue { bias: epilogue.bias.map(|bias| &bias[columns.clone()]), ..epilogue };
    let (start, end) = (piece.terms.start.max(now.start), piece.terms.end.min(now.end));
    // A product without terms is one pass that stores zeros and the epilogue.
    for first in (start..end.max(start + 1)).step_by(plan.depth.max(1)) {
        if checkpoint.reached() {
            break;
        }
        let terms = first..end.min(first + plan.depth);
        // The sums of a chunk get their epilogue when they are added up.
        let is_last = terms.end == k && piece.terms.start == 0;
        let accumulate = first > piece.terms.start;
        let finish = Finish { accumulate, epilogue: is_last.then_some(epilogue) };
        let a = a.slice_axis(Axis(1), terms.clone().into());
        let b = match b {
            Source::Plain(b) => b
                .slice_axis_move(Axis(0), terms.into())
                .slice_axis_move(Axis(1), columns.clone().into()),
            Source::Slivers { first: origin, packed } => {
                let depth = terms.len();
                let at = kernel.packed_right(first - origin, all_columns) + depth * piece.column;
                let b = Right::Packed(depth, n, &packed[at..][..kernel.packed_right(depth, n)]);
                blocks(kernel, plan, a, piece, checkpoint, |a, c| {
                    kernel.multiply(a, b, c, finish);
                })?;
                continue;
            }
        };
        match plan.form {
            Form::Dots => kernel.dots(a, b, piece.c.view_mut(), finish),
            Form::Streams => kernel.streams(a, b, piece.c.view_mut(), finish),
            Form::Tiles if plan.pack_right => {
                let depth = b.nrows();
                let mut is_packed = b.strides()[1] != 1;
                // What is packed with the first rows needs room for one sliver more.
                let (room, width) = (kernel.packed_right(depth, n), kernel.columns());
                with_scratch(kernel.packed_right(depth, n + width), |packed: &mut [T]| {
                    if is_packed {
                        kernel.pack_right(b, &mut packed[..room]);
                    }
                    blocks(kernel, plan, a, piece, checkpoint, |a, c| {
                        if is_packed {
                            let b = Right::Packed(depth, n, &packed[..room]);
                            kernel.multiply(a, b, c, finish);
                        } else {
                            is_packed = kernel.multiply_packing(a, b, packed, c, finish);
                        }
                    })
                })??;
            }
            Form::Tiles => {
                let b = Right::InPlace(b);
                blocks(kernel, plan, a, piece, checkpoint, |a, c| {
                    kernel.multiply(a, b, c, finish);
                })?;
            }
        }
    }
    Ok(())
}

/// One pass over a piece: few enough rows of A at a time that they stay in the second-level cache while
/// all columns of B go past. Between blocks it hears of a wish to stop.
fn blocks<T: Real>(
    kernel: &Kernel<T>,
    plan: &Plan,
    a: ArrayView2<'_, T>,
    piece: &mut Piece<'_, T>,
    checkpoint: Checkpoint<'_>,
    mut multiply: impl FnMut(ArrayView2<'_, T>, ArrayViewMut2<'_, T>),
) -> Result<(), Error> {
    let rows = a.axis_chunks_iter(Axis(0), plan.block);
    for (a, c) in rows.zip(piece.c.axis_chunks_iter_mut(Axis(0), plan.block)) {
        if checkpoint.reached() {
            break;
        }
        // The scratch has as many elements as the copy, so that it has no other shape.
        match plan.left {
            Left::InPlace => multiply(a, c),
            Left::Rows => with_scratch(a.len(), |scratch: &mut [T]| {
                kernel.copy_left(a, scratch);
                if let Ok(a) = ArrayView2::from_shape(a.dim(), scratch) {
                    multiply(a, c);
                }
            })?,
            Left::Columns => {
                let (m, apart) = (a.nrows(), kernel.columns_apart(a.nrows()));
                with_scratch(apart * a.ncols(), |scratch: &mut [T]| {
                    kernel.copy_columns(a, scratch);
                    if let Ok(columns) = ArrayView2::from_shape((a.ncols(), apart), scratch) {
                        let a = columns.slice_axis_move(Axis(1), (..m).into()).reversed_axes();
                        multiply(a, c);
                    }
                })?;
            }
        }
    }
    Ok(())
}
