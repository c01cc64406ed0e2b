//! Windows of rows, cut into blocks as long as a window.

use threadwise_kernels::columns::{Statistic, Windows};
use threadwise_runtime::with_scratch;

use super::{PIECE, Rows, threads};
use crate::linalg::Real;
use crate::{Context, Error};

/// Series that are gone along at once, where there are as many.
const LANES: usize = 8;

/// Series from which on that is worth while.
const MANY: usize = 4;

/// The statistic of each run of `size` rows, for each column; threads that took part at most, and pieces.
///
/// # Errors
///
/// If memory runs out, or the context's interrupt is due.
///
/// # Panics
///
/// If there are fewer rows than a window has, or not a place for each of `rows - size + 1` windows.
pub fn rolling<T: Real>(
    rows: Rows<'_, T>,
    size: usize,
    statistic: Statistic,
    out: &mut [T],
    context: &Context<'_>,
) -> Result<(usize, usize), Error> {
    let Rows { numbers, width } = rows;
    assert!(size > 0 && numbers.len() >= size * width, "the rows of a window");
    assert_eq!(out.len() + (size - 1) * width, numbers.len(), "a place for each window");
    let blocks = (PIECE / (width * size)).max(1);
    let step = blocks * size * width;
    let mut pieces: Vec<_> = out
        .chunks_mut(step)
        .enumerate()
        .map(|(i, out)| {
            (Piece { numbers: &numbers[i * step..], width, size, statistic }, out, Ok(()))
        })
        .collect();
    let count = pieces.len();
    let threads = threads::<T>(numbers.len(), [1, 1], count, context);
    let (one, many) = (Windows::<1>::new(context.isa), Windows::<LANES>::new(context.isa));
    context.share(&mut pieces, threads, |(piece, out, outcome), _| {
        let is_many = out.len().div_ceil(size * width) * width >= MANY;
        *outcome = if is_many { piece.run(many, out) } else { piece.run(one, out) };
    })?;
    pieces.into_iter().try_for_each(|piece| piece.2)?;
    Ok((threads, count))
}

/// Some blocks, and all that is behind them.
struct Piece<'a, T> {
    numbers: &'a [T],
    width: usize,
    size: usize,
    statistic: Statistic,
}

impl<T: Real> Piece<'_, T> {
    /// The windows that begin in these blocks. A series is a column of a block and of the one behind it.
    fn run<const N: usize>(&self, kernel: Windows<N>, out: &mut [T]) -> Result<(), Error> {
        let (size, width) = (self.size, self.width);
        let series = out.len().div_ceil(size * width) * width;
        with_scratch(3 * size * N, |room: &mut [f64]| {
            let (room, _) = room.as_chunks_mut::<N>();
            let (block, rest) = room.split_at_mut(size);
            let (next, squares) = rest.split_at_mut(size);
            for first in (0..series).step_by(N) {
                let lanes = first..series.min(first + N);
                let place = |series: usize| series / width * size * width + series % width;
                for lane in 0..N {
                    let at = lanes.clone().nth(lane).map(place);
                    self.gather(at, lane, block);
                    self.gather(at.map(|at| at + size * width), lane, next);
                }
                kernel.run(self.statistic, block, next, squares);
                for (lane, series) in lanes.enumerate() {
                    let to = out.iter_mut().skip(place(series)).step_by(width);
                    for (to, row) in to.zip(&*block) {
                        *to = T::from_f64(row[lane]);
                    }
                }
            }
        })?;
        Ok(())
    }

    /// Copies a column's numbers from `at` on to a lane, as many as there are; zeros for the others.
    fn gather<const N: usize>(&self, at: Option<usize>, lane: usize, to: &mut [[f64; N]]) {
        let from = at.and_then(|at| self.numbers.get(at..)).unwrap_or_default();
        let mut to = to.iter_mut();
        if self.width == 1 {
            from.iter().zip(&mut to).for_each(|(x, row)| row[lane] = x.to_f64());
        } else {
            let from = from.iter().step_by(self.width);
            from.zip(&mut to).for_each(|(x, row)| row[lane] = x.to_f64());
        }
        to.for_each(|row| row[lane] = 0.0);
    }
}
