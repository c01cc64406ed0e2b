//! Which products are computed by dots: of few rows, or, as the transposed product, of few columns.

use std::mem::size_of;

use super::Plan;
use crate::linalg::way::Layout;

/// Rows below which dots are faster than packing columns, and up to which if there are at least
/// [`DOTTED_TERMS`] terms.
const DOTTED_SHORT: usize = 12;
pub(super) const DOTTED: usize = 20;
const DOTTED_TERMS: usize = 256;

/// Terms below which they are slower, but for a single row or column.
const DOTTED_LEAST: usize = 8;

/// Bytes of the vectors that tiles fill with columns of C. If a quarter of them, or half of one, stays empty, ...
const VECTOR: usize = 64;

/// ... and each column is so many terms long, whose sum then hides what it takes to add up lanes, and ...
const TERMS_A_COLUMN: usize = 6;

/// ... there are so many rows that a copy of the columns of B does not matter, dots are faster: of few and long columns,
/// fewer rows.
const ROWS: usize = 64;
const NARROWEST: usize = 12;
const NARROWEST_ROWS: usize = 24;
const NARROWEST_TERMS: usize = 64;

impl Plan {
    /// Whether a product of contiguous rows by contiguous columns has so few rows that dots are faster than to pack
    /// the columns.
    pub(super) fn is_dotted((m, k, n): (usize, usize, usize), layout: Layout) -> bool {
        // Sums of few terms leave most of a vector empty.
        let is_long = m == 1 || n == 1 || k >= DOTTED_LEAST;
        is_low(m, k) && is_long && layout.right_is_column_major && layout.left_is_row_major
    }

    /// Whether C is so narrow that the transposed product, which has few rows, is faster.
    pub(in crate::linalg) fn is_narrow<T>(sizes: (usize, usize, usize), layout: Layout) -> bool {
        let is_narrow = if layout.right_is_column_major {
            sizes.0 >= DOTTED_SHORT && is_thin::<T>(sizes)
        } else {
            layout.right_is_row_major && Self::is_narrow_by_rows::<T>(sizes)
        };
        is_narrow && layout.left_is_row_major
    }

    /// Whether it is, if A and B are contiguous by rows: the columns of B are copied first.
    pub(in crate::linalg) fn is_narrow_by_rows<T>((m, k, n): (usize, usize, usize)) -> bool {
        let is_narrowest = n * size_of::<T>() <= NARROWEST && k >= NARROWEST_TERMS;
        m >= if is_narrowest { NARROWEST_ROWS } else { ROWS } && is_thin::<T>((m, k, n))
    }
}

/// Whether dots are fast for so many rows and terms.
fn is_low(m: usize, k: usize) -> bool {
    m < DOTTED_SHORT || (m <= DOTTED && k >= DOTTED_TERMS)
}

/// Whether columns are few and long.
fn is_thin<T>((_, k, n): (usize, usize, usize)) -> bool {
    let bytes = n * size_of::<T>();
    let is_loose = bytes <= VECTOR / 2 || bytes <= bytes.next_multiple_of(VECTOR) / 4 * 3;
    is_low(n, k) && is_loose && k >= TERMS_A_COLUMN * n
}
