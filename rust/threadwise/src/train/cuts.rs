//! How a pass over a network is cut into items: a function of its sizes and of the batch, never of threads.

/// Items that a phase is cut into at most, if all its rows are together.
const MOST: usize = 16;

/// Items that it is cut into at least, if there is work enough.
const LEAST: usize = 4;

/// Rows of an item of a product at least, and at most: each packs its columns of B anew.
const ROWS: (usize, usize) = (64, 1024);

/// Columns of an item of a product that is made from pieces, or rows of a gradient's.
const WIDE: usize = 128;

/// Elements of a gradient's item at most: they should stay in the second-level cache.
const GRADIENT: usize = 1 << 18;

/// Elements of an item that copies or that computes losses, at least.
const COPIED: usize = 1 << 14;

/// Cells of so many rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cells {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Cells {
    /// Of a product with m rows and n columns: whole slivers of `width`.
    pub(super) fn of_product((m, n): (usize, usize), width: usize) -> Self {
        let slivers = n.div_ceil(width);
        let strips = power_of_two(slivers).min(MOST);
        let columns = slivers.div_ceil(strips) * width;
        let across = n.div_ceil(columns);
        let down = (LEAST.div_ceil(across)).min(m / ROWS.0).max(m.div_ceil(ROWS.1)).max(1);
        Self { rows: m.div_ceil(down).max(1), columns }
    }

    /// Of a product with m rows and n columns that is made from pieces: whole panels of `side` rows and columns. The
    /// wider, the less often is what lies far away read.
    pub(super) fn of_panels((m, n): (usize, usize), side: usize) -> Self {
        let columns = WIDE.min(n.next_multiple_of(side));
        let across = n.div_ceil(columns);
        let down = (LEAST.div_ceil(across)).min(m / ROWS.0).max(m.div_ceil(ROWS.1)).max(1);
        Self { rows: m.div_ceil(down).next_multiple_of(side), columns }
    }

    /// Of the gradient of a weight that is made from pieces: whole panels of `side` of its rows, all columns.
    pub(super) fn of_gradient_panels((outputs, inputs): (usize, usize), side: usize) -> Self {
        let fitting = (GRADIENT / inputs.max(1)).clamp(side, WIDE) / side * side;
        let even = outputs.div_ceil(LEAST).next_multiple_of(side);
        Self { rows: even.min(fitting).min(outputs), columns: inputs }
    }

    /// Of the gradient of a weight: some of its rows, all columns.
    pub(super) fn of_gradient((outputs, inputs): (usize, usize), height: usize) -> Self {
        let strips = power_of_two(outputs.div_ceil(2 * height)).min(MOST);
        let even = outputs.div_ceil(strips);
        let rows = even.min((GRADIENT / inputs.max(1)).max(height)).next_multiple_of(height);
        Self { rows: rows.min(outputs), columns: inputs }
    }

    /// Rows of so many elements that are copied, or that losses are computed of.
    pub(super) fn of_rows(columns: usize) -> Self {
        Self { rows: (COPIED / columns.max(1)).clamp(8, 256), columns }
    }

    /// The same few rows of matrices with so many columns.
    pub(super) fn of_each_row(columns: [usize; 2]) -> [Self; 2] {
        let widest = columns[0].max(columns[1]);
        let rows = (COPIED / widest.max(1)).clamp(1, 8);
        columns.map(|columns| Self { rows, columns })
    }
}

/// Slivers of so many elements that an item packs.
pub(super) fn slivers(elements: usize) -> usize {
    (COPIED / elements.max(1)).max(1)
}

/// The largest that is not more than `n`, which is not zero.
fn power_of_two(n: usize) -> usize {
    1 << n.max(1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_have_whole_slivers_and_enough_items() {
        let cells = |m, n| {
            let Cells { rows, columns } = Cells::of_product((m, n), 64);
            (rows, columns)
        };
        assert_eq!(cells(64, 128), (64, 64), "two strips of a small batch");
        assert_eq!(cells(512, 2048), (512, 128), "sixteen strips");
        assert_eq!(cells(512, 1000), (512, 64), "the last of sixteen strips is narrower");
        assert_eq!(cells(256, 10), (64, 64), "rows, where columns are few");
        assert_eq!(cells(4096, 2048), (1024, 128), "rows, where there are many");
        assert_eq!(cells(1, 1), (1, 64), "one of each");
    }

    #[test]
    fn cuts_have_whole_panels() {
        let cells = |m, n| {
            let Cells { rows, columns } = Cells::of_panels((m, n), 32);
            (rows, columns)
        };
        assert_eq!(cells(512, 2048), (512, 128), "sixteen strips");
        assert_eq!(cells(256, 256), (128, 128), "two strips, two of rows each");
        assert_eq!(cells(250, 10), (96, 32), "rows, where columns are few");
        assert_eq!(cells(3000, 2048), (1024, 128), "rows, where there are many");
        let rows = |outputs, inputs| Cells::of_gradient_panels((outputs, inputs), 32).rows;
        assert_eq!(rows(2048, 2048), 128, "sixteen");
        assert_eq!(rows(128, 784), 32, "four");
        assert_eq!(rows(2048, 6000), 32, "no more than fit");
        assert_eq!(rows(10, 5), 10, "one");
    }

    #[test]
    fn gradients_are_cut_into_whole_tiles() {
        let rows = |outputs, inputs| Cells::of_gradient((outputs, inputs), 6).rows;
        assert_eq!(rows(128, 784), 18, "eight items");
        assert_eq!(rows(2048, 2048), 132, "sixteen");
        assert_eq!(rows(2048, 60_000), 6, "no more than fit");
        assert_eq!(rows(1, 5), 1, "one");
    }
}
