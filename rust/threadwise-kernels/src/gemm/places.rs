//! Where the rows of a matrix begin: in pages, which decides what stays in a cache, and in cache lines.

use ndarray::ArrayView2;

/// Bytes of a B that stays in the nearest cache, if not more of its rows begin at the same place of a page.
const NEAR: usize = 32 << 10;
const WAYS: usize = 8;

/// Rows of B that begin at the same place of a page and are asked for ahead: more would drive each other out of the
/// nearest cache before they are used.
const PER_PLACE: usize = 5;
const PAGE: usize = 4096;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Rows of B that may be asked for ahead.
pub(super) fn ahead<T>(b: ArrayView2<'_, T>) -> usize {
    PER_PLACE * places(b)
}

/// Places of a page at which rows of B begin.
fn places<T>(b: ArrayView2<'_, T>) -> usize {
    let stride = b.strides()[0].unsigned_abs() * size_of::<T>();
    PAGE >> stride.trailing_zeros().min(PAGE.ilog2())
}

/// Whether all of B stays in the nearest cache where it lies.
pub(super) fn stays_near<T>(b: ArrayView2<'_, T>) -> bool {
    b.len() * size_of::<T>() <= NEAR && b.nrows() <= WAYS * places(b)
}

/// Elements of the rows of a matrix before the first cache line that begins in them, if they all have as many.
pub(super) fn before_line<T>(start: *const T, stride: isize) -> usize {
    let (bytes, size) = (stride.unsigned_abs() * size_of::<T>(), size_of::<T>());
    let before = start.addr().wrapping_neg() % LINE;
    if bytes.is_multiple_of(LINE) && before.is_multiple_of(size) { before / size } else { 0 }
}
