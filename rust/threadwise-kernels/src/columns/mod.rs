//! Columns of rows of numbers: means and squares of deviations, least and largest numbers, columns on another scale;
//! and what is true of each run of so many rows.
//!
//! | file | what |
//! | --- | --- |
//! | `moments` | mean and Σ(x − mean)² of each column, least and largest number, (x − shift)/scale |
//! | `windows` | mean, sum, deviation, least and largest number of each window |
//! | `scalar` | the definitions |
//!
//! Rows that follow one another in memory may be given as fewer and wider ones: then a column is found in several
//! places of a row, which [`Moments::join`] puts together.
//!
//! **Error.** All is computed in double precision. Blocks of rows are summed in two passes while they are in the cache,
//! first numbers, then squares of what they differ from the mean; blocks are put together by T. F. Chan, G. H. Golub,
//! R. J. `LeVeque`, *Algorithms for Computing the Sample Variance*, The American Statistician 37(3), 1983. A sum in a
//! window of m rows has at most m roundings.
//!
//! **Bits.** The loops are written once, without fused operations, and compiled for each instruction set: bits depend on
//! the numbers, their order and how the caller cuts them, not on the instruction set.

mod instances;
mod moments;
#[cfg(test)]
mod scalar;
#[cfg(test)]
mod tests;
mod windows;

pub use instances::{Columns, Windows};
pub use moments::{Extremes, Moments};
pub use windows::Statistic;
