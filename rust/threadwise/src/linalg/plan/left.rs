//! Where tiles find A.

use super::right::NEAREST;
use crate::linalg::way::Layout;

/// Bytes from a column of A to the next from which on each is in a page of its own, columns from which on
/// these are too many, ...
const PAGE: usize = 4096;
const MANY: usize = 128;

/// ... and slivers of B for which it pays to copy them.
const SLIVERS: usize = 4;

/// Where tiles find A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::linalg) enum Left {
    /// Where it lies: its rows are contiguous, and each tile asks for those of the next; or its columns are,
    /// and near one another; or it is small, or read once.
    InPlace,
    /// In a copy of each block, row after row.
    Rows,
    /// In a copy of each block, column after column.
    Columns,
}

impl Left {
    /// For an A of so many bytes, whose columns are multiplied with `k` rows of whole slivers of B.
    pub(super) fn of(layout: Layout, bytes: usize, (k, slivers): (usize, usize)) -> Self {
        if layout.left_is_row_major || bytes <= NEAREST || slivers == 0 {
            return Self::InPlace;
        }
        if !layout.left_is_column_major {
            return Self::Rows;
        }
        let is_far = layout.left_stride >= PAGE && k >= MANY;
        // Columns whole pages apart have the same few places in the nearest cache.
        let is_worth = layout.left_stride.is_multiple_of(PAGE) || slivers >= SLIVERS;
        if is_far && is_worth { Self::Columns } else { Self::InPlace }
    }
}
