//! Documented in `threadwise.workflows`: columns of rows, and windows of them.

use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use threadwise::columns::{self, ELEMENT, Rows, Statistic};
use threadwise::{Context, Error};

use crate::dtype::{Float, Kind};
use crate::seam::{DomainError, Operand, ShapeError, compute, result};

type Object<'py> = Bound<'py, PyAny>;

/// Two arrays of what is known of columns, which columns have the same number everywhere, and threads.
type Known<'py> = (Object<'py>, Object<'py>, Vec<bool>, usize);

/// Rows and columns of an array of at least one number.
fn extents(x: &Operand<'_>) -> PyResult<(usize, usize)> {
    match *x.shape() {
        [rows, columns] if rows > 0 && columns > 0 => Ok((rows, columns)),
        ref shape => Err(ShapeError::new_err(format!(
            "x has shape {shape:?}, expected rows and columns, at least one of each"
        ))),
    }
}

/// Runs `work` with the rows of `x`, whose numbers it goes over so many times.
fn compute_rows<'py, T: Float, R: Send>(
    py: Python<'py>,
    x: &Operand<'py>,
    times: usize,
    threads: Option<&Object<'py>>,
    work: impl FnOnce(Rows<'_, T>, &Context<'_>) -> Result<R, Error> + Send,
) -> PyResult<R> {
    let (count, width) = extents(x)?;
    let x = x.borrow::<T>()?;
    let (x, multiply_adds) = (x.view(), ELEMENT.saturating_mul(times * count * width));
    compute(py, threads, multiply_adds, move |context| {
        let rows = x.as_standard_layout();
        work(Rows::new(rows.as_slice().unwrap_or_default(), width), context)
    })
}

/// The mean of each column, Σ(x − mean)², whether all of it is the same, and threads used.
#[pyfunction]
#[pyo3(signature = (x, threads, /))]
pub(crate) fn column_moments<'py>(
    py: Python<'py>,
    x: &Object<'py>,
    threads: Option<&Object<'py>>,
) -> PyResult<Known<'py>> {
    let x = Operand::new("x", x)?;
    match x.kind {
        Kind::F32 => moments_of::<f32>(py, &x, threads),
        Kind::F64 => moments_of::<f64>(py, &x, threads),
    }
}

fn moments_of<'py, T: Float>(
    py: Python<'py>,
    x: &Operand<'py>,
    threads: Option<&Object<'py>>,
) -> PyResult<Known<'py>> {
    let (found, used) = compute_rows::<T, _>(py, x, 1, threads, columns::moments)?;
    let is_constant = found.differing.iter().map(|&bits| bits == 0).collect();
    let (mean, squares) = (array(py, &found.mean), array(py, &found.squares));
    Ok((mean, squares, is_constant, used))
}

/// The least and the largest number of each column, and threads used.
#[pyfunction]
#[pyo3(signature = (x, threads, /))]
pub(crate) fn column_extremes<'py>(
    py: Python<'py>,
    x: &Object<'py>,
    threads: Option<&Object<'py>>,
) -> PyResult<(Object<'py>, Object<'py>, usize)> {
    let x = Operand::new("x", x)?;
    match x.kind {
        Kind::F32 => extremes_of::<f32>(py, &x, threads),
        Kind::F64 => extremes_of::<f64>(py, &x, threads),
    }
}

fn extremes_of<'py, T: Float>(
    py: Python<'py>,
    x: &Operand<'py>,
    threads: Option<&Object<'py>>,
) -> PyResult<(Object<'py>, Object<'py>, usize)> {
    let (found, used) = compute_rows::<T, _>(py, x, 1, threads, columns::extremes)?;
    let wide = |x: &[T]| x.iter().map(|x| x.to_f64()).collect::<Vec<_>>();
    Ok((array(py, &wide(&found.least)), array(py, &wide(&found.most)), used))
}

/// (x − shift)/scale by columns, a new array, and threads used.
#[pyfunction]
#[pyo3(signature = (x, shift, scale, threads, /))]
pub(crate) fn column_scaled<'py>(
    py: Python<'py>,
    x: &Object<'py>,
    shift: Vec<f64>,
    scale: Vec<f64>,
    threads: Option<&Object<'py>>,
) -> PyResult<(Object<'py>, usize)> {
    let x = Operand::new("x", x)?;
    match x.kind {
        Kind::F32 => scaled_of::<f32>(py, &x, [&shift, &scale], threads),
        Kind::F64 => scaled_of::<f64>(py, &x, [&shift, &scale], threads),
    }
}

fn scaled_of<'py, T: Float>(
    py: Python<'py>,
    x: &Operand<'py>,
    [shift, scale]: [&[f64]; 2],
    threads: Option<&Object<'py>>,
) -> PyResult<(Object<'py>, usize)> {
    let (_, width) = extents(x)?;
    if (shift.len(), scale.len()) != (width, width) {
        let (shifts, scales) = (shift.len(), scale.len());
        let sentence = format!("shift has {shifts}, scale {scales} numbers, expected {width}");
        return Err(ShapeError::new_err(sentence));
    }
    let made = result::<T>(py, x.shape())?;
    let mut lent = made.readwrite();
    let mut out = lent.as_array_mut();
    let used = compute_rows::<T, _>(py, x, 1, threads, move |rows, context| {
        columns::scaled(rows, [shift, scale], out.as_slice_mut().unwrap_or_default(), context)
    })?;
    drop(lent);
    Ok((made.into_any(), used))
}

/// The statistic of each run of `size` rows, a new array, threads used and pieces.
#[pyfunction]
#[pyo3(signature = (x, size, statistic, ddof, threads, /))]
pub(crate) fn rolling<'py>(
    py: Python<'py>,
    x: &Object<'py>,
    size: usize,
    statistic: &str,
    ddof: usize,
    threads: Option<&Object<'py>>,
) -> PyResult<(Object<'py>, usize, usize)> {
    let x = Operand::new("x", x)?;
    let statistic = match statistic {
        "mean" => Statistic::Mean,
        "std" if ddof < size => Statistic::Deviation((size - ddof) as f64),
        "min" => Statistic::Least,
        "max" => Statistic::Largest,
        "sum" => Statistic::Sum,
        _ => {
            let sentence = format!("there is no {statistic} of {size} rows with ddof {ddof}");
            return Err(DomainError::new_err(sentence));
        }
    };
    match x.kind {
        Kind::F32 => rolling_of::<f32>(py, &x, size, statistic, threads),
        Kind::F64 => rolling_of::<f64>(py, &x, size, statistic, threads),
    }
}

fn rolling_of<'py, T: Float>(
    py: Python<'py>,
    x: &Operand<'py>,
    size: usize,
    statistic: Statistic,
    threads: Option<&Object<'py>>,
) -> PyResult<(Object<'py>, usize, usize)> {
    let (count, width) = extents(x)?;
    if size == 0 || size > count {
        let sentence = format!("x has {count} rows, expected the {size} of a window, at least 1");
        return Err(ShapeError::new_err(sentence));
    }
    let made = result::<T>(py, &[count - size + 1, width])?;
    let mut lent = made.readwrite();
    let mut out = lent.as_array_mut();
    let (used, pieces) = compute_rows::<T, _>(py, x, 2, threads, move |rows, context| {
        columns::rolling(rows, size, statistic, out.as_slice_mut().unwrap_or_default(), context)
    })?;
    drop(lent);
    Ok((made.into_any(), used, pieces))
}

/// A new array of float64.
fn array<'py>(py: Python<'py>, numbers: &[f64]) -> Object<'py> {
    PyArray1::from_slice(py, numbers).into_any()
}
