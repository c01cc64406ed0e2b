//! Which products are computed by dots: of few rows, or, as the transposed product, of few columns.

use std::mem::size_of;

use super::Plan;
use crate::linalg::way::Layout;

/// Rows up to which dots may be faster than packing columns, and up to which they are if A stays near, ...
pub(super) const DOTTED: usize = 20;
const NEAR: usize = 48 << 10;

/// ... of which each pass reads so many bytes a row.
const PASS: usize = 4096;

/// Terms below which they are slower, but for a single row or column.
const DOTTED_LEAST: usize = 8;

/// Bytes of a vector.
const VECTOR: usize = 64;

/// Quarters of a cycle that it takes to add up the lanes of a sum of dots; to pack a vector of a column of B, for tiles;
/// and to call those: of numbers of up to four bytes, and of more.
const TOTAL: [usize; 2] = [9, 6];
const PACKED: [usize; 2] = [14, 16];
const CALLED: usize = 3200;

/// Columns of a narrow C below which it has few, or of so many terms up to [`DOTTED`].
const FEW: usize = 12;
const FEW_TERMS: usize = 256;

/// If a quarter of the vectors that tiles fill with these columns, or half of one, stays empty, and each column is so many
/// terms long, whose sum then hides what it takes to add up lanes, and ...
const TERMS_A_COLUMN: usize = 6;

/// ... there are so many rows that a copy of the columns of B does not matter, dots are faster: of few and long columns,
/// fewer rows.
const ROWS: usize = 32;
const NARROWEST: usize = 20;
const NARROWEST_ROWS: usize = 16;
const NARROWEST_TERMS: usize = 64;

impl Plan {
    /// Whether a product of contiguous rows by contiguous columns takes less time by dots than to pack the columns, for
    /// tiles.
    pub(super) fn is_dotted<T>((m, k, n): (usize, usize, usize), layout: Layout) -> bool {
        layout.right_is_column_major
            && layout.left_is_row_major
            && (m == 1 || n == 1 || (k >= DOTTED_LEAST && is_faster::<T>((m, k, n))))
    }

    /// Whether C is so narrow that the transposed product, which has few rows, is faster.
    pub(in crate::linalg) fn is_narrow<T>(sizes: (usize, usize, usize), layout: Layout) -> bool {
        let is_narrow = if layout.right_is_column_major {
            sizes.0 >= FEW && is_thin::<T>(sizes)
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

/// Whether dots take less time than tiles. Both multiply and add vectors: those of dots hold terms, those of tiles
/// columns. Dots add up the lanes of each sum besides, tiles leave lanes empty, and B is packed for them.
fn is_faster<T>((m, k, n): (usize, usize, usize)) -> bool {
    let size = size_of::<T>();
    let (lanes, wide) = (VECTOR / size, usize::from(size > 4));
    let dots = TOTAL[wide].saturating_mul(m).saturating_mul(n);
    let packed = PACKED[wide].saturating_mul(k.div_ceil(lanes)).saturating_mul(n);
    // Half a cycle for each vector of columns and each term.
    let lost = n.next_multiple_of(lanes) - n;
    let empty = (2 * lost).saturating_mul(m).saturating_mul(k) / lanes;
    let stays_near = m.saturating_mul(k.min(PASS / size) * size) <= NEAR;
    (m <= DOTTED || stays_near) && dots <= packed.saturating_add(empty).saturating_add(CALLED)
}

/// Whether columns are few and long.
fn is_thin<T>((_, k, n): (usize, usize, usize)) -> bool {
    let bytes = n * size_of::<T>();
    let is_few = n < FEW || (n <= DOTTED && k >= FEW_TERMS);
    let is_loose = bytes <= VECTOR / 2 || bytes <= bytes.next_multiple_of(VECTOR) / 4 * 3;
    is_few && is_loose && k >= TERMS_A_COLUMN * n
}
