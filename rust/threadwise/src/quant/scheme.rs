//! What is stored of a weight, and how large that is.

use std::num::NonZeroUsize;

use threadwise_kernels::quant::{Bits, Method, ZeroPoint, words};

/// Rows that work is cut at multiples of: the zero points of so many fill whole words.
pub const ROWS: usize = 32;

/// How a weight is quantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scheme {
    /// Bits of a code.
    pub bits: Bits,
    /// Numbers of a row that share a scale, the last group may have fewer; all of the row, if none is given.
    pub group_size: Option<NonZeroUsize>,
    /// What codes are counted from.
    pub zero_point: ZeroPoint,
    /// How scales are found.
    pub method: Method,
}

impl Scheme {
    /// Numbers in a group of a row of so many; at least 1.
    #[must_use]
    pub fn group(&self, columns: usize) -> usize {
        self.group_size.map_or(columns.max(1), NonZeroUsize::get)
    }

    /// Groups of a row of so many numbers.
    #[must_use]
    pub fn groups(&self, columns: usize) -> usize {
        columns.div_ceil(self.group(columns))
    }

    /// Words of the codes of a row of so many numbers.
    #[must_use]
    pub fn words(&self, columns: usize) -> usize {
        words(columns, self.bits)
    }

    /// Words of the integer zero points of so many rows, for each group.
    #[must_use]
    pub fn zero_words(&self, rows: usize) -> usize {
        words(rows, self.bits)
    }
}
