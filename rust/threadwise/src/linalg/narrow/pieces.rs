//! Pieces of a product of narrow numbers: what one thread computes by itself.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use threadwise_kernels::gemm::Epilogue;
use threadwise_kernels::narrow::{Kernel, Left, Pair, Rounded};
use threadwise_runtime::{Checkpoint, with_scratch};

use super::super::help::Board;
use super::super::pieces::{Bands, Piece, Whole};
use super::super::plan::Form;
use super::finish::finish;
use super::plan::{BLOCK, Plan};
use super::turned::turned;
use super::{Summed, alone, few};
use crate::{Context, Error, Isa};

/// Where B is.
#[derive(Clone, Copy)]
pub(super) enum Source<'a, E> {
    /// In place.
    Plain(ArrayView2<'a, E>),
    /// In slivers that were packed to be kept, of so many rows and columns: in passes over the rows.
    Kept(&'a [u32], usize, usize),
}

/// What a product is made of.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a, P: Pair> {
    pub(super) a: ArrayView2<'a, P::Left>,
    pub(super) b: Source<'a, P::Right>,
    pub(super) epilogue: Epilogue<'a, P::Sum>,
}

/// Computes all pieces, shared among the threads.
pub(super) fn share<P: Pair<Sum: Summed>, R: Rounded<P::Sum>>(
    pieces: &mut [Piece<'_, R>],
    kernel: &Kernel<P>,
    plan: &Plan,
    operands: Operands<'_, P>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let isa = context.isa;
    if let (Some(rows), 2..) = (plan.band, pieces.len()) {
        let k = operands.a.ncols();
        let board = Board::new(pieces, &(0..k), k, rows);
        return board.share(plan.threads, context, |mine, checkpoint| {
            let part = Part::new(kernel, plan, operands, (mine.columns(), 0..k), isa, checkpoint);
            part.at_once(rows, mine)
        });
    }
    context.try_share(pieces, plan.threads, |it, checkpoint| {
        piece(kernel, plan, operands, it, isa, checkpoint)
    })
}

/// Computes one piece of C.
fn piece<P: Pair<Sum: Summed>, R: Rounded<P::Sum>>(
    kernel: &Kernel<P>,
    plan: &Plan,
    operands: Operands<'_, P>,
    piece: &mut Piece<'_, R>,
    isa: Isa,
    checkpoint: Checkpoint<'_>,
) -> Result<(), Error> {
    let (m, n) = piece.c.dim();
    let extent = (piece.column..piece.column + n, piece.terms.clone());
    let mut part = Part::new(kernel, plan, operands, extent, isa, checkpoint);
    part.a = part.a.slice_axis_move(Axis(0), (piece.row..piece.row + m).into());
    let c = piece.c.view_mut();
    match (plan.form, part.b) {
        (Form::Tiles, Source::Plain(b)) if plan.is_turned => turned(&part, b, c),
        (Form::Tiles, _) => part.tiles(c),
        (_, Source::Plain(b)) => few::plain(&part, b, c),
        (_, Source::Kept(kept, k, n)) => few::kept(&part, (kept, k, n), c),
    }
}

/// What a piece is made of.
pub(super) struct Part<'a, 'b, P: Pair> {
    pub(super) kernel: &'b Kernel<P>,
    pub(super) plan: &'b Plan,
    /// The piece's rows, or all.
    pub(super) a: ArrayView2<'a, P::Left>,
    /// All of B.
    b: Source<'a, P::Right>,
    pub(super) columns: Range<usize>,
    pub(super) terms: Range<usize>,
    /// With the bias of the piece's columns.
    pub(super) epilogue: Epilogue<'a, P::Sum>,
    pub(super) isa: Isa,
    pub(super) checkpoint: Checkpoint<'b>,
}

impl<'a, 'b, P: Pair<Sum: Summed>> Part<'a, 'b, P> {
    /// Of all rows of A, and of columns and terms.
    fn new(
        kernel: &'b Kernel<P>,
        plan: &'b Plan,
        Operands { a, b, epilogue }: Operands<'a, P>,
        (columns, terms): (Range<usize>, Range<usize>),
        isa: Isa,
        checkpoint: Checkpoint<'b>,
    ) -> Self {
        let bias = epilogue.bias.map(|bias| &bias[columns.clone()]);
        let epilogue = Epilogue { bias, ..epilogue };
        Self { kernel, plan, a, b, columns, terms, epilogue, isa, checkpoint }
    }

    /// The passes over its terms: one without terms if there are none, which stores zeros and the epilogue.
    pub(super) fn passes(&self) -> impl Iterator<Item = Range<usize>> + use<P> {
        let (Range { start, end }, depth) = (self.terms.clone(), self.plan.depth);
        (start..end.max(start + 1)).step_by(depth).map(move |first| first..end.min(first + depth))
    }

    /// Pass by pass over k, and in each pass block by block of A's rows against the piece's columns of B,
    /// which are packed once a pass.
    fn tiles<R: Rounded<P::Sum>>(&self, mut c: ArrayViewMut2<'_, R>) -> Result<(), Error> {
        let (m, n) = c.dim();
        if self.plan.depth >= self.terms.len() {
            return self.at_once(m, &mut Whole(c));
        }
        let plain = self.epilogue.bias.is_none() && self.epilogue.activation.is_none();
        let is_direct = plain && c.strides()[1] == 1 && R::sums(&mut c).is_some();
        with_scratch(if is_direct { 0 } else { m * n }, |sums: &mut [P::Sum]| {
            let mut sums = (!is_direct).then_some(sums);
            for terms in self.passes() {
                let sums = sums.as_deref_mut();
                self.with_right(&terms, |packed| self.blocks(&terms, packed, c.view_mut(), sums))?;
                if self.checkpoint.reached() {
                    break;
                }
            }
            Ok(())
        })?
    }

    /// All terms in one pass, band by band of at most so many rows.
    fn at_once<R: Rounded<P::Sum>>(
        &self,
        rows: usize,
        bands: &mut impl Bands<R>,
    ) -> Result<(), Error> {
        let a = self.a.slice_axis(Axis(1), self.terms.clone().into());
        let (kernel, finish) = (self.kernel, (self.isa, self.epilogue));
        self.with_right(&self.terms, |packed| {
            alone::with_room(kernel, (rows, self.terms.len(), self.columns.len()), |mut room| {
                bands.each(|row, c| {
                    let a = a.slice_axis(Axis(0), (row..row + c.nrows()).into());
                    let stop = || self.checkpoint.reached();
                    alone::blocks(kernel, a, packed, c, finish, &mut room, stop);
                    Ok(())
                })
            })?
        })
    }

    /// Calls `work` with the piece's columns of B as slivers, in one pass.
    fn with_right(
        &self,
        terms: &Range<usize>,
        work: impl FnOnce(&[u32]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (kernel, n) = (self.kernel, self.columns.len());
        let room = kernel.packed_right(terms.len(), n);
        match self.b {
            Source::Plain(b) => with_scratch(room, |packed: &mut [u32]| {
                let b = b.slice_axis(Axis(0), terms.clone().into());
                kernel.pack_right(b.slice_axis(Axis(1), self.columns.clone().into()), packed);
                work(packed)
            })?,
            Source::Kept(kept, k, all) => {
                let kept = slivers(kernel, kept, (k, all), terms, &self.columns);
                if kernel.keeps_units() {
                    return work(kept);
                }
                with_scratch(room, |packed: &mut [u32]| {
                    kernel.widen(kept, (terms.len(), n), packed);
                    work(packed)
                })?
            }
        }
    }

    /// One pass.
    fn blocks<R: Rounded<P::Sum>>(
        &self,
        terms: &Range<usize>,
        packed: &[u32],
        mut c: ArrayViewMut2<'_, R>,
        mut sums: Option<&mut [P::Sum]>,
    ) -> Result<(), Error> {
        let n = c.ncols();
        let (accumulate, is_last) = (terms.start > self.terms.start, terms.end == self.terms.end);
        let a = self.a.slice_axis(Axis(1), terms.clone().into());
        let blocks = a.axis_chunks_iter(Axis(0), BLOCK);
        for (i, (a, mut c)) in blocks.zip(c.axis_chunks_iter_mut(Axis(0), BLOCK)).enumerate() {
            if self.checkpoint.reached() {
                break;
            }
            let Some(sums) = sums.as_deref_mut() else {
                if let Some(sums) = R::sums(&mut c) {
                    block(self.kernel, a, packed, sums, accumulate)?;
                }
                continue;
            };
            let sums = &mut sums[i * BLOCK * n..][..a.nrows() * n];
            let Ok(mut sums) = ArrayViewMut2::from_shape((a.nrows(), n), sums) else { continue };
            block(self.kernel, a, packed, sums.view_mut(), accumulate)?;
            if is_last {
                finish(self.isa, sums, self.epilogue, c);
            }
        }
        Ok(())
    }
}

/// The slivers of some columns in one pass over a kept B of `k` rows and `n` columns.
pub(super) fn slivers<'a, P: Pair>(
    kernel: &Kernel<P>,
    kept: &'a [u32],
    (k, n): (usize, usize),
    terms: &Range<usize>,
    columns: &Range<usize>,
) -> &'a [u32] {
    let pass = super::plan::pass(kernel, k);
    let before = terms.start / pass * kernel.kept(pass, n);
    let at = before + kernel.kept(terms.len(), columns.start);
    &kept[at..at + kernel.kept(terms.len(), columns.len())]
}

/// A block of A's rows with packed columns of B.
pub(super) fn block<P: Pair<Sum: Summed>>(
    kernel: &Kernel<P>,
    a: ArrayView2<'_, P::Left>,
    b: &[u32],
    sums: ArrayViewMut2<'_, P::Sum>,
    accumulate: bool,
) -> Result<(), Error> {
    let (m, k) = a.dim();
    if a.strides()[1] == 1 && kernel.takes_in_place(k) {
        kernel.multiply(Left::InPlace(a), b, sums, accumulate);
        return Ok(());
    }
    Ok(with_scratch(kernel.packed_left(m, k), |packed: &mut [u32]| {
        kernel.pack_left(a, packed);
        kernel.multiply(Left::Packed(m, k, packed), b, sums, accumulate);
    })?)
}
