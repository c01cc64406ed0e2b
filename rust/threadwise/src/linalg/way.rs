//! Which product is computed for a C: A·B, or the transposed one.

use ndarray::ArrayView2;
use threadwise_kernels::gemm::Epilogue;

use super::Real;
use super::plan::Plan;

/// How a product gets into C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By its rows.
    Rows,
    /// As the transposed product, by the columns of C: term by term the same sums.
    Columns,
    /// The same for a narrow C, with a copy of B if its columns are not contiguous: the transposed product has few rows,
    /// and columns that are contiguous.
    Narrow,
    /// As the transposed product, which is then copied row to column: B, whose columns are contiguous and
    /// many, need not be packed.
    Wide,
    /// By rows, which are then copied: neither rows nor columns of C are contiguous.
    Copied,
}

/// What decides about C.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Target {
    by_rows: bool,
    by_columns: bool,
    is_standard: bool,
    is_plain: bool,
}

impl Target {
    /// A C of these extents and strides, with this epilogue.
    pub(super) fn new<T>(
        (m, n): (usize, usize),
        strides: [isize; 2],
        epilogue: Epilogue<'_, T>,
    ) -> Self {
        let by_rows = strides[1] == 1 || n == 1;
        Self {
            by_rows,
            by_columns: (strides[0] == 1 || m == 1) && epilogue.bias.is_none(),
            is_standard: by_rows && (m == 1 || usize::try_from(strides[0]) == Ok(n)),
            is_plain: epilogue.bias.is_none() && epilogue.activation.is_none(),
        }
    }

    /// Whether it has no epilogue.
    pub(super) fn is_plain(self) -> bool {
        self.is_plain
    }
}

impl Way {
    /// The way of `a @ b`, which is not empty.
    pub(super) fn of<T: Real>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>, target: Target) -> Self {
        let ((m, k), n) = (a.dim(), b.ncols());
        let Target { by_rows, by_columns, is_standard, is_plain } = target;
        // A column is a row of the transposed product, which has kernels of its own.
        let is_column = n == 1 && m > 1;
        if by_columns && (is_column || !by_rows) {
            return Self::Columns;
        }
        let layout = layout(a, b);
        // An epilogue is applied to the rows of C.
        if (is_plain || by_rows) && Plan::is_narrow::<T>((m, k, n), layout) {
            return Self::Narrow;
        }
        if by_rows && is_standard && Plan::is_wide((m, k, n), layout) {
            return Self::Wide;
        }
        if by_rows { Self::Rows } else { Self::Copied }
    }

    /// Whether it is the transposed product.
    pub(super) fn is_transposed(self) -> bool {
        matches!(self, Self::Columns | Self::Narrow | Self::Wide)
    }
}

/// What decides about packing.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Layout {
    /// Whether adjacent columns of B are adjacent in memory.
    pub(super) right_is_row_major: bool,
    /// Whether adjacent rows of B are.
    pub(super) right_is_column_major: bool,
    /// Bytes from a row of B to the next.
    pub(super) right_stride: usize,
    /// Whether its rows begin at cache lines.
    pub(super) right_is_aligned: bool,
    /// Whether adjacent columns of A are.
    pub(super) left_is_row_major: bool,
    /// Whether adjacent rows of A are.
    pub(super) left_is_column_major: bool,
    /// Bytes from a column of A to the next.
    pub(super) left_stride: usize,
}

/// How the operands of a product lie.
pub(super) fn layout<T>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>) -> Layout {
    let (k, n) = b.dim();
    let right_stride = b.strides()[0].unsigned_abs() * size_of::<T>();
    Layout {
        right_is_row_major: b.strides()[1] == 1 || n == 1 || k == 0,
        right_is_column_major: b.strides()[0] == 1 || k == 1,
        right_stride,
        right_is_aligned: (b.as_ptr().addr() | right_stride).is_multiple_of(64),
        left_is_row_major: a.strides()[1] == 1 || k == 1,
        left_is_column_major: a.strides()[0] == 1,
        left_stride: a.strides()[1].unsigned_abs() * size_of::<T>(),
    }
}
