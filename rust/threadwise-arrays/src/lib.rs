//! New NumPy arrays, which own their memory as `numpy.empty`'s do. Large ones begin at cache lines: NumPy begins
//! its own 16 bytes after one as a rule, so that every vector that is stored lies across two lines, and so does
//! every one that the next operation loads.
//!
//! `unsafe` is used for NumPy's interface in C, which has what its safe wrapper has not: arrays that are not
//! cleared, and memory from elsewhere.

mod lines;

use numpy::npyffi::{NpyTypes, PY_ARRAY_API, get_type_object, npy_intp};
use numpy::{Element, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use smallvec::SmallVec;

/// Bytes from which on an array begins at a cache line: to ask for that takes as long as to write some thousands.
const LARGE: usize = 64 << 10;

/// A new array of numbers, contiguous by rows, for an operation that writes every element: as of
/// `numpy.empty`, what they are before is not said.
///
/// # Errors
///
/// As `numpy.empty`: `MemoryError` if there is not so much memory, `ValueError` if no array can be so large.
pub fn empty<'py, T: Element + Copy>(
    py: Python<'py>,
    shape: &[usize],
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    let length = |&extent: &usize| npy_intp::try_from(extent);
    let Ok(mut shape) = shape.iter().map(length).collect::<Result<SmallVec<[_; 4]>, _>>() else {
        return Err(PyValueError::new_err("Maximum allowed dimension exceeded"));
    };
    let bytes =
        shape.iter().fold(size_of::<T>(), |bytes, &n| bytes.saturating_mul(n.unsigned_abs()));
    let at_lines = if bytes >= LARGE { lines::begin(py)? } else { None };
    let made = new::<T>(py, &mut shape);
    drop(at_lines);
    made
}

/// [`empty`], filled before anybody has it.
///
/// # Errors
///
/// As [`empty`].
pub fn filled<'py, T: Element + Copy, R>(
    py: Python<'py>,
    shape: &[usize],
    fill: impl FnOnce(&mut [T]) -> R,
) -> PyResult<(Bound<'py, PyArrayDyn<T>>, R)> {
    let array = empty::<T>(py, shape)?;
    // SAFETY: its elements follow one another, as it is contiguous, and nobody else knows of it.
    let elements = unsafe { array.as_slice_mut() }?;
    let outcome = fill(elements);
    Ok((array, outcome))
}

fn new<'py, T: Element + Copy>(
    py: Python<'py>,
    shape: &mut [npy_intp],
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    let axes = std::ffi::c_int::try_from(shape.len())?;
    let descr = T::get_dtype(py).into_dtype_ptr();
    // SAFETY: the interpreter is attached, as `py` proves.
    let kind = unsafe { get_type_object(py, NpyTypes::PyArray_Type) };
    let (none, nothing, nobody) =
        (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: `shape` has as many lengths as there are axes, and is only read. NumPy finds strides and memory
    // where none are given, and takes the reference to the type of the elements.
    let made = unsafe {
        let dims = shape.as_mut_ptr();
        PY_ARRAY_API.PyArray_NewFromDescr(py, kind, descr, axes, dims, none, nothing, 0, nobody)
    };
    // SAFETY: a new reference, or null and an exception.
    let made = unsafe { Bound::from_owned_ptr_or_err(py, made) }?;
    Ok(made.cast_into::<PyArrayDyn<T>>()?)
}
