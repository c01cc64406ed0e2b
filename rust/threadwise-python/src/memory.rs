//! Where the elements of arrays lie, from addresses, shapes and strides.

use std::ops::Range;

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::Bound;

/// Whether each step from an element to another is a whole number of elements. Along an axis of extent 1
/// no step is taken, and NumPy leaves any stride there.
pub(crate) fn steps_are_whole(array: &Bound<'_, PyUntypedArray>, size: usize) -> bool {
    let taken = array.strides().iter().zip(array.shape()).filter(|&(_, &extent)| extent > 1);
    taken.map(|(stride, _)| stride).all(|stride| stride % size as isize == 0)
}

/// Whether elements may share memory with one another, so that they cannot hold different results: along
/// some axis, a step is no longer than what all shorter steps together reach. Cuts and transpositions
/// of arrays without repetition have none.
pub(crate) fn repeats_elements(array: &Bound<'_, PyUntypedArray>, size: usize) -> bool {
    let mut axes: Vec<(usize, usize)> = array
        .strides()
        .iter()
        .map(|stride| stride.unsigned_abs())
        .zip(array.shape().iter().copied())
        .filter(|&(_, extent)| extent != 1)
        .collect();
    axes.sort_unstable();
    let mut reach = size;
    !array.is_empty()
        && axes.into_iter().any(|(step, extent)| {
            let meets = step < reach;
            reach += step * (extent - 1);
            meets
        })
}

/// The addresses between which all elements lie, from that of the first.
pub(crate) fn extent(array: &Bound<'_, PyUntypedArray>, first: usize) -> Range<usize> {
    if array.is_empty() {
        return first..first;
    }
    let (mut low, mut high) = (0, array.dtype().itemsize().cast_signed());
    for (&stride, &length) in array.strides().iter().zip(array.shape()) {
        let reach = stride * (length.cast_signed() - 1);
        (low, high) = (low + reach.min(0), high + reach.max(0));
    }
    first.wrapping_add_signed(low)..first.wrapping_add_signed(high)
}
