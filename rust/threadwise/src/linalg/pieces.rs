//! Pieces of a product: what one thread computes of it without the others.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use threadwise_kernels::gemm::{Epilogue, Finish, Kernel, Right};
use threadwise_runtime::{Checkpoint, with_scratch};

use super::Real;
use super::help::Board;
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

/// Rows of a piece that are multiplied at a time, pass after pass.
pub(super) trait Bands<T> {
    /// Whether no rows are left.
    fn is_over(&self) -> bool;

    /// Calls `multiply` for the bands of a pass one after the other, until somebody wishes to stop: with the row of C
    /// in which each begins.
    fn each(
        &mut self,
        multiply: impl FnMut(usize, ArrayViewMut2<'_, T>) -> Result<(), Error>,
    ) -> Result<(), Error>;
}

/// All rows of a piece at once, by an A that has no others.
pub(super) struct Whole<'a, T>(pub(super) ArrayViewMut2<'a, T>);

impl<T> Bands<T> for Whole<'_, T> {
    fn is_over(&self) -> bool {
        false
    }

    fn each(
        &mut self,
        mut multiply: impl FnMut(usize, ArrayViewMut2<'_, T>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        multiply(0, self.0.view_mut())
    }
}

/// Those of a piece that one thread does alone: few enough rows of A that they stay in the second-level cache while
/// all columns of B go past. Between them it hears of a wish to stop.
struct Own<'p, 'a, T> {
    piece: &'p mut Piece<'a, T>,
    rows: usize,
    checkpoint: Checkpoint<'p>,
}

impl<T> Bands<T> for Own<'_, '_, T> {
    fn is_over(&self) -> bool {
        self.checkpoint.reached()
    }

    fn each(
        &mut self,
        mut multiply: impl FnMut(usize, ArrayViewMut2<'_, T>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (mut row, rows) = (self.piece.row, self.rows);
        for c in self.piece.c.axis_chunks_iter_mut(Axis(0), rows) {
            if self.checkpoint.reached() {
                break;
            }
            multiply(row, c)?;
            row += rows;
        }
        Ok(())
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
    if let (Some(rows), 2..) = (plan.band, pieces.len()) {
        return Board::new(pieces, now, plan.depth, rows).share(
            plan.threads,
            context,
            |mine, _| {
                let (columns, terms) = (mine.columns(), mine.terms());
                tiles(kernel, plan, operands, (&columns, terms, 0), mine)
            },
        );
    }
    context.try_share(pieces, plan.threads, |it, checkpoint| {
        piece(kernel, plan, operands, it, now, checkpoint)
    })
}

/// Computes the terms `now` of one piece of C.
fn piece<T: Real>(
    kernel: &Kernel<T>,
    plan: &Plan,
    operands: Operands<'_, T>,
    piece: &mut Piece<'_, T>,
    now: &Range<usize>,
    checkpoint: Checkpoint<'_>,
) -> Result<(), Error> {
    let columns = piece.column..piece.column + piece.c.ncols();
    let terms = piece.terms.start.max(now.start)..piece.terms.end.min(now.end);
    let begin = piece.terms.start;
    if plan.form == Form::Tiles {
        let mut bands = Own { piece, rows: plan.block, checkpoint };
        return tiles(kernel, plan, operands, (&columns, terms, begin), &mut bands);
    }
    let rows = piece.row..piece.row + piece.c.nrows();
    for pass in passes(plan.depth, terms) {
        if checkpoint.reached() {
            break;
        }
        let finish = operands.finish(&pass, begin, &columns);
        let a = operands.a.slice_axis(Axis(0), rows.clone().into());
        let a = a.slice_axis_move(Axis(1), pass.clone().into());
        let Source::Plain(b) = operands.b else { continue };
        let b = b.slice_axis_move(Axis(0), pass.into());
        let b = b.slice_axis_move(Axis(1), columns.clone().into());
        match plan.form {
            Form::Dots => kernel.dots(a, b, piece.c.view_mut(), finish),
            _ => kernel.streams(a, b, piece.c.view_mut(), finish),
        }
    }
    Ok(())
}

/// Where passes over these terms begin and end: a product without terms is one that stores zeros and the epilogue.
pub(super) fn passes(depth: usize, terms: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let Range { start, end } = terms;
    let firsts = (start..end.max(start + 1)).step_by(depth.max(1));
    firsts.map(move |first| first..end.min(first + depth))
}

impl<'a, T: Real> Operands<'a, T> {
    /// What becomes of the sums of a pass over columns of C, if those before it began with term `begin`.
    fn finish(&self, pass: &Range<usize>, begin: usize, columns: &Range<usize>) -> Finish<'a, T> {
        let bias = self.epilogue.bias.map(|bias| &bias[columns.clone()]);
        // The sums of a chunk get their epilogue when they are added up.
        let is_last = pass.end == self.a.ncols() && begin == 0;
        let epilogue = is_last.then_some(Epilogue { bias, ..self.epilogue });
        Finish { accumulate: pass.start > begin, epilogue }
    }
}

/// Sums terms of some columns of C by tiles: pass by pass over k, and in each pass band by band of A's rows
/// against these columns of B, which are packed once a pass. Their chunk of k begins with term `begin`.
fn tiles<T: Real>(
    kernel: &Kernel<T>,
    plan: &Plan,
    operands: Operands<'_, T>,
    (columns, terms, begin): (&Range<usize>, Range<usize>, usize),
    bands: &mut impl Bands<T>,
) -> Result<(), Error> {
    let n = columns.len();
    for pass in passes(plan.depth, terms) {
        if bands.is_over() {
            break;
        }
        let (first, depth) = (pass.start, pass.len());
        let finish = operands.finish(&pass, begin, columns);
        let a = operands.a.slice_axis(Axis(1), pass.clone().into());
        let mut each = |multiply: &mut dyn FnMut(ArrayView2<'_, T>, ArrayViewMut2<'_, T>)| {
            bands.each(|row, c| {
                let a = a.slice_axis(Axis(0), (row..row + c.nrows()).into());
                left(kernel, plan.left, a, |a| multiply(a, c))
            })
        };
        let b = match operands.b {
            Source::Plain(b) => b
                .slice_axis_move(Axis(0), pass.into())
                .slice_axis_move(Axis(1), columns.clone().into()),
            Source::Slivers { first: origin, packed } => {
                let at = kernel.packed_right(first - origin, operands.n) + depth * columns.start;
                let b = Right::Packed(depth, n, &packed[at..][..kernel.packed_right(depth, n)]);
                each(&mut |a, c| kernel.multiply(a, b, c, finish))?;
                continue;
            }
        };
        if !plan.pack_right {
            each(&mut |a, c| kernel.multiply(a, Right::InPlace(b), c, finish))?;
            continue;
        }
        let mut is_packed = b.strides()[1] != 1;
        // What is packed with the first rows needs room for one sliver more.
        let (room, width) = (kernel.packed_right(depth, n), kernel.columns());
        with_scratch(kernel.packed_right(depth, n + width), |packed: &mut [T]| {
            if is_packed {
                kernel.pack_right(b, &mut packed[..room]);
            }
            each(&mut |a, c| {
                if is_packed {
                    kernel.multiply(a, Right::Packed(depth, n, &packed[..room]), c, finish);
                } else {
                    is_packed = kernel.multiply_packing(a, b, packed, c, finish);
                }
            })
        })??;
    }
    Ok(())
}

/// Calls `multiply` with rows of A where tiles shall find them. The scratch has as many elements as the copy, so that
/// it has no other shape.
fn left<T: Real>(
    kernel: &Kernel<T>,
    place: Left,
    a: ArrayView2<'_, T>,
    multiply: impl FnOnce(ArrayView2<'_, T>),
) -> Result<(), Error> {
    match place {
        Left::InPlace => multiply(a),
        Left::Rows => with_scratch(a.len(), |scratch: &mut [T]| {
            kernel.copy_left(a, scratch);
            if let Ok(a) = ArrayView2::from_shape(a.dim(), scratch) {
                multiply(a);
            }
        })?,
        Left::Columns => {
            let (m, apart) = (a.nrows(), kernel.columns_apart(a.nrows()));
            with_scratch(apart * a.ncols(), |scratch: &mut [T]| {
                kernel.copy_columns(a, scratch);
                if let Ok(columns) = ArrayView2::from_shape((a.ncols(), apart), scratch) {
                    multiply(columns.slice_axis_move(Axis(1), (..m).into()).reversed_axes());
                }
            })?;
        }
    }
    Ok(())
}
