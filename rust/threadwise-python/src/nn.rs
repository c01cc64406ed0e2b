//! Documented in `threadwise.nn`.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use threadwise::nn;

use crate::dtype::{Float, Kind};
use crate::seam::{DTypeError, Operand, compute, place, raise};

type Object<'py> = Bound<'py, PyAny>;

/// Documented in `threadwise.nn.rms_norm`.
#[pyfunction]
#[pyo3(signature = (x, weight, eps, out, threads, /))]
pub(crate) fn rms_norm<'py>(
    py: Python<'py>,
    x: &Object<'py>,
    weight: &Object<'py>,
    eps: &Object<'py>,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let (x, weight) = (Operand::new("x", x)?, Operand::new("weight", weight)?);
    let eps = number_argument("eps", eps)?;
    match x.kind.max(weight.kind) {
        Kind::F32 => rms_norm_of::<f32>(py, &x, &weight, eps, out, threads),
        Kind::F64 => rms_norm_of::<f64>(py, &x, &weight, eps, out, threads),
    }
}

fn rms_norm_of<'py, T: Float>(
    py: Python<'py>,
    x: &Operand<'py>,
    weight: &Operand<'py>,
    eps: f64,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let shape = nn::rms_norm_shape(x.shape(), weight.shape()).map_err(raise)?;
    let work = nn::ELEMENT.saturating_mul(shape.iter().product());
    let (x, weight) = (x.borrow::<T>()?, weight.borrow::<T>()?);
    let (place, mut y) = place::<T>(py, &shape, out, &[&x, &weight])?;
    let (x, weight, y) = (x.view(), weight.view(), y.as_array_mut());
    let weight = weight.as_standard_layout();
    let weight = weight.as_slice().unwrap_or_default();
    compute(py, threads, work, move |context| nn::rms_norm(x, weight, eps, y, context))?;
    Ok(place)
}

/// A number, as Python converts to `float`; what is too large for that is infinite.
fn number_argument(name: &str, given: &Object<'_>) -> PyResult<f64> {
    match given.extract::<f64>() {
        Err(error) if error.is_instance_of::<PyOverflowError>(given.py()) => Ok(f64::INFINITY),
        Err(_) => {
            let kind = given.get_type();
            let sentence =
                format!("{name} is {} (a {}), expected a number", given.repr()?, kind.name()?);
            Err(DTypeError::new_err(sentence))
        }
        Ok(number) => Ok(number),
    }
}
