//! Windows of a series, many of them at once.
//!
//! A window is the end of one block of as many rows and the beginning of the next one. What is true of ends and of
//! beginnings is found by running along the blocks in either direction, so that the work does not grow with windows: M. van
//! Herk, *A Fast Algorithm for Local Minimum and Maximum Filters on Rectangular and Octagonal Kernels*, Pattern
//! Recognition Letters 13(7), 1992; here also for sums. No sum is ever subtracted from another one.

/// What is found of each window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// The mean.
    Mean,
    /// The root of the squares of deviations over so many degrees of freedom.
    Deviation(f64),
    /// The least number, or NaN.
    Least,
    /// The largest number, or NaN.
    Largest,
    /// The sum.
    Sum,
}

/// The statistic of the windows that begin in each row of a block, in its place. `next` is the block behind it, and
/// `squares` room for as much; lanes are series of their own.
#[inline(always)]
pub(super) fn windows<const LANES: usize>(
    statistic: Statistic,
    block: &mut [[f64; LANES]],
    next: &mut [[f64; LANES]],
    squares: &mut [[f64; LANES]],
) {
    let size = block.len() as f64;
    match statistic {
        Statistic::Sum => joined(block, next, |x, y| x + y),
        Statistic::Mean => {
            joined(block, next, |x, y| x + y);
            block.iter_mut().flatten().for_each(|sum| *sum /= size);
        }
        Statistic::Least => joined(block, next, super::moments::lesser),
        Statistic::Largest => joined(block, next, super::moments::larger),
        Statistic::Deviation(freedom) => {
            let mut about = [0.0; LANES];
            for row in &*block {
                for (about, x) in about.iter_mut().zip(row) {
                    *about += if x.is_finite() { *x } else { 0.0 };
                }
            }
            for sum in &mut about {
                *sum /= size;
            }
            for row in block.iter_mut().chain(&mut *next) {
                row.iter_mut().zip(&about).for_each(|(x, about)| *x -= about);
            }
            for (to, from) in squares.iter_mut().zip(&*block) {
                to.iter_mut().zip(from).for_each(|(to, x)| *to = x * x);
            }
            joined(block, next, |x, y| x + y);
            next.iter_mut().flatten().for_each(|x| *x *= *x);
            joined(squares, next, |x, y| x + y);
            for (row, squares) in block.iter_mut().zip(squares) {
                for (sum, squares) in row.iter_mut().zip(squares) {
                    let left = *squares - *sum * *sum / size;
                    // What is left may be less than zero by rounding; NaN is not less.
                    let left = if left < 0.0 { 0.0 } else { left };
                    *sum = (left / freedom).sqrt();
                }
            }
        }
    }
}

/// Joins the rest of a block, from each of its rows on, with the beginning of the next one.
#[inline(always)]
fn joined<const LANES: usize>(
    block: &mut [[f64; LANES]],
    next: &[[f64; LANES]],
    join: impl Fn(f64, f64) -> f64 + Copy,
) {
    let mut rows = block.iter_mut().rev();
    let Some(last) = rows.next() else { return };
    let mut known = *last;
    for row in rows {
        for (x, known) in row.iter_mut().zip(&mut known) {
            *known = join(*x, *known);
            *x = *known;
        }
    }
    let mut rows = block[1..].iter_mut().zip(next);
    let Some((row, first)) = rows.next() else { return };
    let mut known = *first;
    row.iter_mut().zip(&known).for_each(|(x, known)| *x = join(*x, *known));
    for (row, more) in rows {
        for ((x, known), more) in row.iter_mut().zip(&mut known).zip(more) {
            *known = join(*more, *known);
            *x = join(*x, *known);
        }
    }
}
