//! From sums to results: what they are stored as, and where.

use ndarray::{ArrayViewMut1, ArrayViewMut2, Axis};

use super::tile::{Part, Results};
use crate::Isa;
use crate::gemm::Epilogue;

/// What sums of `S` are stored as.
pub trait Rounded<S>: Copy + Default + Send + Sync + 'static {
    /// What [`Rounded::finish_rows`] does, as a function.
    fn rounding(isa: Isa) -> RoundFn<S, Self>;

    /// The results of rows of sums: each with the bias of its column, then the activation, then rounded
    /// to nearest, halves to even; integers as they are. The sums are used up.
    ///
    /// # Panics
    ///
    /// If sums, their places or the bias differ in extent, adjacent columns of sums or of places are not adjacent in
    /// memory, or integers have an epilogue.
    fn finish_rows(
        isa: Isa,
        mut sums: ArrayViewMut2<'_, S>,
        epilogue: Epilogue<'_, S>,
        mut to: ArrayViewMut2<'_, Self>,
    ) {
        assert_eq!(sums.dim(), to.dim(), "a place for each sum");
        assert!(
            epilogue.bias.is_none_or(|bias| bias.len() == sums.ncols()),
            "one summand a column"
        );
        let (size, sums_row, to_row) = (sums.dim(), sums.strides()[0], to.strides()[0]);
        let are_adjacent = size.1 <= 1 || (sums.strides()[1] == 1 && to.strides()[1] == 1);
        assert!(are_adjacent || sums.is_empty(), "columns of sums and of places are adjacent");
        let (sums, to) = (sums.as_mut_ptr(), to.as_mut_ptr());
        let rows = Rows { size, sums, sums_row, to, to_row, epilogue };
        // SAFETY: a token proves the instruction set; rows and the bias are as long as asserted, and borrowed.
        unsafe { Self::rounding(isa)(&rows) };
    }

    /// The same for one row.
    ///
    /// # Panics
    ///
    /// As [`Rounded::finish_rows`] says.
    fn finish(isa: Isa, sums: &mut [S], epilogue: Epilogue<'_, S>, to: &mut [Self]) {
        let (sums, to) = (ArrayViewMut1::from(sums), ArrayViewMut1::from(to));
        Self::finish_rows(isa, sums.insert_axis(Axis(0)), epilogue, to.insert_axis(Axis(0)));
    }

    /// The place of results as a place for sums, if they are the same but for the epilogue.
    #[must_use]
    fn sums<'a>(_: &'a mut ArrayViewMut2<'_, Self>) -> Option<ArrayViewMut2<'a, S>> {
        None
    }
}

/// Rows of sums, and where their results go. Adjacent columns are adjacent in memory.
#[derive(Debug)]
pub struct Rows<'a, S, R> {
    /// Rows and columns.
    pub(super) size: (usize, usize),
    pub(super) sums: *mut S,
    /// From a row of sums to the next.
    pub(super) sums_row: isize,
    pub(super) to: *mut R,
    /// From a row of results to the next.
    pub(super) to_row: isize,
    /// With the bias of these columns.
    pub(super) epilogue: Epilogue<'a, S>,
}

/// Rounds rows of sums.
///
/// # Safety
///
/// The CPU has the instruction set for which [`Rounded::rounding`] gave the function. All sums and all results are
/// readable and writable, and no reference to them is in use; the bias, if any, is as long as a row.
pub type RoundFn<S, R> = unsafe fn(&Rows<'_, S, R>);

impl<S, R> Rows<'_, S, R> {
    /// Calls `work` with each row of sums and its place.
    ///
    /// # Safety
    ///
    /// As [`RoundFn`] says.
    #[inline(always)]
    pub(super) unsafe fn each(&self, work: impl Fn(&mut [S], &mut [R])) {
        let (rows, columns) = self.size;
        for i in 0..rows.cast_signed() {
            let sums = self.sums.wrapping_offset(i * self.sums_row);
            let to = self.to.wrapping_offset(i * self.to_row);
            // SAFETY: a row of sums, which nothing else refers to, as the caller promises.
            let sums = unsafe { std::slice::from_raw_parts_mut(sums, columns) };
            // SAFETY: and of results.
            work(sums, unsafe { std::slice::from_raw_parts_mut(to, columns) });
        }
    }
}

/// Where the results of a block go.
pub(super) struct Places<'a, S, R> {
    pub(super) round: RoundFn<S, R>,
    pub(super) to: *mut R,
    /// From a row to the next.
    pub(super) to_row: isize,
    /// With the bias of the block's columns.
    pub(super) epilogue: Epilogue<'a, S>,
}

impl<S, R> Results<S> for Places<'_, S, R> {
    unsafe fn take(&self, part: &Part<S>) {
        let &Part { sums, row: sums_row, size, from: (row, column) } = part;
        let to = self.to.wrapping_offset(row as isize * self.to_row).wrapping_add(column);
        let bias = self.epilogue.bias.map(|bias| &bias[column..column + size.1]);
        let epilogue = Epilogue { bias, ..self.epilogue };
        // SAFETY: the caller promises the sums, and that their places are those of the block.
        unsafe { (self.round)(&Rows { size, sums, sums_row, to, to_row: self.to_row, epilogue }) };
    }
}

impl Rounded<i32> for i32 {
    fn rounding(_: Isa) -> RoundFn<i32, i32> {
        copied
    }

    fn sums<'a>(results: &'a mut ArrayViewMut2<'_, i32>) -> Option<ArrayViewMut2<'a, i32>> {
        Some(results.view_mut())
    }
}

/// # Safety
///
/// As [`RoundFn`] says.
unsafe fn copied(rows: &Rows<'_, i32, i32>) {
    let plain = rows.epilogue.bias.is_none() && rows.epilogue.activation.is_none();
    assert!(plain, "integers have no epilogue");
    // SAFETY: passed on from the caller.
    unsafe { rows.each(|sums, to| to.copy_from_slice(sums)) };
}
