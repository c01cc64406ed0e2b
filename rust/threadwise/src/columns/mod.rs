//! Columns of rows: what is true of each, all rows on another scale, and windows of rows.
//!
//! Rows are cut into pieces by their shape alone, and what is known of pieces is put together in their order: bits
//! depend on no number of threads.

mod rolling;

use threadwise_kernels::columns::{Columns, Extremes, Moments};

use crate::linalg::Real;
use crate::work::{Choice, Load, calibration};
use crate::{Context, Error};

pub use rolling::rolling;
pub use threadwise_kernels::columns::Statistic;

/// Numbers of a piece, about.
const PIECE: usize = 1 << 16;

/// Numbers of a block: with room for what is known of columns they fit in the second-level cache.
const BLOCK: usize = 1 << 15;

/// Numbers of a row along which loops are as fast as they get.
const WIDE: usize = 512;

/// Multiply-adds in whose time a number is gone over once, where memory is no limit.
pub const ELEMENT: usize = 8;

/// Rows of adjacent numbers, as many in each.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    numbers: &'a [T],
    width: usize,
}

impl<'a, T: Real> Rows<'a, T> {
    /// # Panics
    ///
    /// If rows are not whole, or there are none, or have no numbers.
    #[must_use]
    pub fn new(numbers: &'a [T], width: usize) -> Self {
        assert!(width > 0 && !numbers.is_empty() && numbers.len().is_multiple_of(width), "rows");
        Self { numbers, width }
    }

    /// Numbers of a piece, whole rows.
    fn piece(&self) -> usize {
        (PIECE / self.width).max(1) * self.width
    }

    /// Calls `work` for each piece; threads that took part at most.
    fn share<R: Send>(
        &self,
        make: impl Fn() -> R,
        work: impl Fn(&[T], &mut R) + Sync,
        context: &Context<'_>,
    ) -> Result<(Vec<R>, usize), Error> {
        let mut pieces: Vec<_> = self.numbers.chunks(self.piece()).map(|it| (it, make())).collect();
        let threads = threads::<T>(self.numbers.len(), [1, 0], pieces.len(), context);
        context.share(&mut pieces, threads, |(rows, found), _| work(rows, found))?;
        Ok((pieces.into_iter().map(|piece| piece.1).collect(), threads))
    }

    /// Calls `work` for runs of some rows, those that are side by side as long as `WIDE` numbers first.
    fn blocks<'r>(&self, rows: &'r [T], mut work: impl FnMut(&'r [T], usize)) {
        let together = (WIDE / self.width).max(1);
        let wide = together * self.width;
        let (whole, rest) = rows.split_at(rows.len() / wide * wide);
        for block in whole.chunks((BLOCK / wide).max(1) * wide) {
            work(block, together);
        }
        if !rest.is_empty() {
            work(rest, 1);
        }
    }
}

/// The mean of each column, Σ(x − mean)², and whether all its numbers are the same; threads that took part at most.
///
/// # Errors
///
/// If the context's interrupt is due.
pub fn moments<T: Real>(
    rows: Rows<'_, T>,
    context: &Context<'_>,
) -> Result<(Moments, usize), Error> {
    let kernel = Columns::<T>::new(context.isa);
    let first = &rows.numbers[..rows.width];
    let wide = first.repeat((WIDE / rows.width).max(1));
    let (found, threads) = rows.share(
        || Moments::new(rows.width),
        |piece, found| {
            let (mut all, mut block) = (Moments::new(wide.len()), Moments::new(wide.len()));
            let mut rest = Moments::new(rows.width);
            rows.blocks(piece, |numbers, together| {
                if together * rows.width == wide.len() {
                    kernel.moments(numbers, &wide, &mut block);
                    all.add(&block);
                } else {
                    kernel.moments(numbers, first, &mut rest);
                }
            });
            found.add(&all.join(rows.width));
            found.add(&rest);
        },
        context,
    )?;
    let mut all = Moments::new(rows.width);
    for it in &found {
        all.add(it);
    }
    Ok((all, threads))
}

/// The least and the largest number of each column, NaN where there is one; threads that took part at most.
///
/// # Errors
///
/// If the context's interrupt is due.
pub fn extremes<T: Real>(
    rows: Rows<'_, T>,
    context: &Context<'_>,
) -> Result<(Extremes<T>, usize), Error> {
    let kernel = Columns::<T>::new(context.isa);
    let width = rows.width;
    let (found, threads) = rows.share(
        || Extremes::new(&[]),
        |piece, found| {
            let mut all = Extremes::new(&piece[..width]);
            rows.blocks(piece, |numbers, together| {
                let mut block = Extremes::new(&numbers[..together * width]);
                kernel.extremes(numbers, &mut block);
                all.add(&block.join(width));
            });
            *found = all;
        },
        context,
    )?;
    let mut all = Extremes::new(&rows.numbers[..width]);
    for it in &found {
        all.add(it);
    }
    Ok((all, threads))
}

/// out = (x − shift)/scale, by columns, in double precision; threads that took part at most.
///
/// # Errors
///
/// If the context's interrupt is due.
///
/// # Panics
///
/// If there is not a shift and a scale for each column, and a place for each number.
pub fn scaled<T: Real>(
    rows: Rows<'_, T>,
    [shift, scale]: [&[f64]; 2],
    out: &mut [T],
    context: &Context<'_>,
) -> Result<usize, Error> {
    assert_eq!((shift.len(), scale.len()), (rows.width, rows.width), "columns");
    assert_eq!(out.len(), rows.numbers.len(), "a place for each number");
    let kernel = Columns::<T>::new(context.isa);
    let together = (WIDE / rows.width).max(1);
    let (wide_shift, wide_scale) = (shift.repeat(together), scale.repeat(together));
    let piece = rows.piece();
    let mut pieces: Vec<_> = rows.numbers.chunks(piece).zip(out.chunks_mut(piece)).collect();
    let threads = threads::<T>(rows.numbers.len(), [1, 1], pieces.len(), context);
    context.share(&mut pieces, threads, |(from, to), _| {
        let whole = from.len() / wide_shift.len() * wide_shift.len();
        let ((from, rest), (to, last)) = (from.split_at(whole), to.split_at_mut(whole));
        kernel.scaled(from, &wide_shift, &wide_scale, to);
        kernel.scaled(rest, shift, scale, last);
    })?;
    Ok(threads)
}

/// Threads that it is worth to go over so many numbers, each of which is read and written so many times.
fn threads<T: Real>(
    numbers: usize,
    [read, written]: [usize; 2],
    pieces: usize,
    context: &Context<'_>,
) -> usize {
    if context.threads <= 1 || pieces <= 1 {
        return 1;
    }
    let bytes = numbers as f64 * size_of::<T>() as f64;
    let load = Load {
        kind: T::RATE,
        multiply_adds: (numbers * ELEMENT) as f64,
        read: bytes * read as f64,
        written: bytes * written as f64,
    };
    let (machine, _) = calibration::current(context.isa);
    Choice::for_call(&machine, load, context.threads, pieces).threads
}

#[cfg(test)]
mod tests;
