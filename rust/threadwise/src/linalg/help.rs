//! Pieces of which threads take rows from one another.
//!
//! Pieces are few, since each packs its columns of B. Where CPUs are not equally fast, as on a host that is shared,
//! the last piece then keeps everybody waiting. So a piece is done band by band, rows of C at a time, and a thread
//! that finds no piece left takes half of the bands that another has not begun, as a part of its own; others
//! may take of that. It packs the columns of B once more: that costs something only where somebody would wait.
//!
//! Each element of C is summed pass by pass as before, so who took what changes no bit.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ndarray::{ArrayViewMut2, Axis};
use threadwise_runtime::Checkpoint;

use super::pieces::{Bands, Piece};
use crate::{Context, Error};

/// Rows of C, of a piece, and where in C they begin.
struct Band<'a, T> {
    row: usize,
    c: ArrayViewMut2<'a, T>,
}

/// A piece, or what is left of it, or what was taken from it.
struct Part<'a, T> {
    column: usize,
    columns: usize,
    /// The first term of the pass that is under way.
    first: usize,
    /// Bands that this pass has not begun, and those that it is through with.
    ahead: VecDeque<Band<'a, T>>,
    done: VecDeque<Band<'a, T>>,
}

/// The pieces of a product, as all its threads see them.
pub(super) struct Board<'a, T> {
    /// The terms that are summed, and those of a pass.
    terms: Range<usize>,
    depth: usize,
    parts: Mutex<Vec<Part<'a, T>>>,
}

impl<'a, T> Board<'a, T> {
    /// Of `pieces`, whose terms `now` are to be summed, in passes of `depth` terms, and bands of so many rows.
    pub(super) fn new(
        pieces: &'a mut [Piece<'_, T>],
        now: &Range<usize>,
        depth: usize,
        rows: usize,
    ) -> Self {
        let part = |piece: &'a mut Piece<'_, T>| {
            let (row, columns) = (piece.row, piece.c.ncols());
            let bands = piece.c.axis_chunks_iter_mut(Axis(0), rows).enumerate();
            let ahead = bands.map(|(i, c)| Band { row: row + i * rows, c }).collect();
            Part { column: piece.column, columns, first: now.start, ahead, done: VecDeque::new() }
        };
        let parts = pieces.iter_mut().map(part).collect();
        Self { terms: now.clone(), depth, parts: Mutex::new(parts) }
    }

    fn parts(&self) -> MutexGuard<'_, Vec<Part<'a, T>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `work` for all parts, shared among the threads, who take of one another's. After an error nobody does.
    pub(super) fn share(
        &self,
        threads: usize,
        context: &Context<'_>,
        work: impl Fn(&mut Mine<'a, '_, T>, Checkpoint<'_>) -> Result<(), Error> + Sync,
    ) -> Result<(), Error>
    where
        T: Send,
    {
        let failure = Mutex::new(None);
        let failed = || failure.lock().unwrap_or_else(PoisonError::into_inner);
        let run = |mut mine: Mine<'a, '_, T>| {
            let checkpoint = mine.checkpoint;
            if !mine.is_over()
                && let Err(error) = work(&mut mine, checkpoint)
            {
                *failed() = Some(error);
            }
        };
        let mut pieces: Vec<usize> = (0..self.parts().len()).collect();
        let begin = |id: &mut usize, checkpoint: Checkpoint<'_>| run(self.begin(*id, checkpoint));
        context.share_then(&mut pieces, threads, begin, |checkpoint| {
            while !checkpoint.reached()
                && failed().is_none()
                && let Some(mine) = self.take(checkpoint)
            {
                run(mine);
            }
        })?;
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// The piece of that number, which the calling thread begins: what others have left of it.
    fn begin<'b>(&'b self, id: usize, checkpoint: Checkpoint<'b>) -> Mine<'a, 'b, T> {
        let next = self.parts()[id].ahead.pop_front();
        Mine { board: self, id, next, checkpoint }
    }

    /// Half of what is left of the part of which most is, for a thread that would else be idle.
    fn take<'b>(&'b self, checkpoint: Checkpoint<'b>) -> Option<Mine<'a, 'b, T>> {
        let mut parts = self.parts();
        let most = parts.iter_mut().max_by_key(|part| self.left(part).iter().sum::<usize>())?;
        // Of this pass, or of those after it, whichever is more.
        let (first, from) = match self.left(most) {
            [0, 0] => return None,
            [now, later] if now >= later => (most.first, &mut most.ahead),
            _ => (most.first + self.depth, &mut most.done),
        };
        let mut ahead = from.split_off(from.len() / 2);
        let next = ahead.pop_front();
        let (column, columns) = (most.column, most.columns);
        parts.push(Part { column, columns, first, ahead, done: VecDeque::new() });
        checkpoint.count_taken();
        Some(Mine { board: self, id: parts.len() - 1, next, checkpoint })
    }

    /// What nobody is at of a part, as work: of the bands that this pass has not begun, and of the others.
    fn left(&self, part: &Part<'a, T>) -> [usize; 2] {
        if part.ahead.is_empty() && part.done.is_empty() {
            return [0, 0];
        }
        let passes = self.terms.end.saturating_sub(part.first).div_ceil(self.depth);
        let [ahead, done] = [&part.ahead, &part.done].map(|bands| part.columns * bands.len());
        [passes * ahead, passes.saturating_sub(1) * done]
    }
}

/// A part that a thread is at.
pub(super) struct Mine<'a, 'b, T> {
    board: &'b Board<'a, T>,
    id: usize,
    /// The band that it does next, which nobody takes from it: it may be packing B for that already.
    next: Option<Band<'a, T>>,
    checkpoint: Checkpoint<'b>,
}

impl<T> Mine<'_, '_, T> {
    /// Its columns of C.
    pub(super) fn columns(&self) -> Range<usize> {
        let part = &self.board.parts()[self.id];
        part.column..part.column + part.columns
    }

    /// Its terms: those that are left of all.
    pub(super) fn terms(&self) -> Range<usize> {
        self.board.parts()[self.id].first..self.board.terms.end
    }
}

impl<T> Bands<T> for Mine<'_, '_, T> {
    fn is_over(&self) -> bool {
        self.next.is_none() || self.checkpoint.reached()
    }

    fn each(
        &mut self,
        mut multiply: impl FnMut(usize, ArrayViewMut2<'_, T>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while let Some(mut band) = self.next.take()
            && !self.checkpoint.reached()
        {
            multiply(band.row, band.c.view_mut())?;
            let part = &mut self.board.parts()[self.id];
            part.done.push_back(band);
            self.next = part.ahead.pop_front();
            if self.next.is_none() {
                // At once, so that nobody takes the band with which the next pass begins.
                part.first += self.board.depth;
                let done = std::mem::take(&mut part.done);
                // Nobody need look at what has all its terms.
                part.ahead = if part.first < self.board.terms.end { done } else { VecDeque::new() };
                self.next = part.ahead.pop_front();
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
