//! Documented in `threadwise.nn`.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use threadwise::nn;
use threadwise::nn::attention::View;
use threadwise::nn::rope::{Frequencies, Scaling, rope_shape};

use crate::dtype::{Float, Kind};
use crate::seam::{DTypeError, DomainError, Operand, compute, place, raise};

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

/// Documented in `threadwise.nn.attention`.
#[pyfunction]
#[pyo3(signature = (q, k, v, causal, window, scale, out, threads, /))]
#[expect(clippy::too_many_arguments, reason = "those of the Python function")]
pub(crate) fn attention<'py>(
    py: Python<'py>,
    q: &Object<'py>,
    k: &Object<'py>,
    v: &Object<'py>,
    causal: &Object<'py>,
    window: Option<&Object<'py>>,
    scale: Option<&Object<'py>>,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let operands = [("q", q), ("k", k), ("v", v)];
    let [q, k, v] = operands.map(|(name, x)| Operand::single(name, x));
    let (q, k, v) = (q?, k?, v?);
    let window = window.map(|window| count_argument("window", window)).transpose()?;
    let scale = scale.map(|scale| number_argument("scale", scale)).transpose()?;
    let is_causal = flag_argument("causal", causal)?;
    let view = View { is_causal, window, scale };
    let shape = nn::attention_shape(q.shape(), k.shape(), v.shape()).map_err(raise)?;
    let work = nn::attention_cost(q.shape(), k.shape(), is_causal);
    let (q, k, v) = (q.borrow::<f32>()?, k.borrow::<f32>()?, v.borrow::<f32>()?);
    let (place, mut y) = place::<f32>(py, &shape, out, &[&q, &k, &v])?;
    let (q, k, v, y) = (q.view(), k.view(), v.view(), y.as_array_mut());
    compute(py, threads, work, move |context| nn::attention(q, k, v, view, y, context))?;
    Ok(place)
}

/// Documented in `threadwise.nn.rope`. The scaling is a list of names and numbers.
#[pyfunction]
#[pyo3(signature = (x, positions, theta, scaling, out, threads, /))]
pub(crate) fn rope<'py>(
    py: Python<'py>,
    x: &Object<'py>,
    positions: &Object<'py>,
    theta: &Object<'py>,
    scaling: Option<(String, Vec<Object<'py>>)>,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let (x, positions) = (Operand::single("x", x)?, Operand::whole("positions", positions)?);
    let theta = number_argument("theta", theta)?;
    let scaling = scaling.map(|(kind, numbers)| scaling_argument(&kind, &numbers)).transpose()?;
    let shape = rope_shape(x.shape(), positions.shape()).map_err(raise)?;
    let width = shape.last().copied().unwrap_or_default();
    let frequencies = Frequencies::new(width, theta, scaling).map_err(raise)?;
    let work = nn::ELEMENT.saturating_mul(shape.iter().product());
    let (x, positions) = (x.borrow::<f32>()?, positions.borrow::<i64>()?);
    let least = positions.view().iter().copied().min().unwrap_or_default();
    if least < 0 {
        let sentence = format!("positions has {least}, expected no negative numbers");
        return Err(DomainError::new_err(sentence));
    }
    let positions = positions.view().mapv(|position| usize::try_from(position).unwrap_or_default());
    let (place, mut y) = place::<f32>(py, &shape, out, &[&x])?;
    let (x, y) = (x.view(), y.as_array_mut());
    compute(py, threads, work, move |context| {
        nn::rope::rope(x, positions.view(), &frequencies, y, context)
    })?;
    Ok(place)
}

/// The scaling of this name.
pub(crate) fn scaling_argument(kind: &str, numbers: &[Object<'_>]) -> PyResult<Scaling> {
    let number = |i: usize, name: &str| number_argument(name, &numbers[i]);
    let factor = number(0, "factor")?;
    if kind == "linear" {
        return Ok(Scaling::Linear { factor });
    }
    Ok(Scaling::Llama3 {
        factor,
        low_freq_factor: number(1, "low_freq_factor")?,
        high_freq_factor: number(2, "high_freq_factor")?,
        original_context: number(3, "original_max_position_embeddings")?,
    })
}

/// Documented in `threadwise.nn.swiglu`.
#[pyfunction]
#[pyo3(signature = (gate, up, out, threads, /))]
pub(crate) fn swiglu<'py>(
    py: Python<'py>,
    gate: &Object<'py>,
    up: &Object<'py>,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let (gate, up) = (Operand::single("gate", gate)?, Operand::single("up", up)?);
    let shape = nn::swiglu_shape(gate.shape(), up.shape()).map_err(raise)?;
    let work = nn::ELEMENT.saturating_mul(shape.iter().product());
    let (gate, up) = (gate.borrow::<f32>()?, up.borrow::<f32>()?);
    let (place, mut y) = place::<f32>(py, &shape, out, &[&gate, &up])?;
    let (gate, up, y) = (gate.view(), up.view(), y.as_array_mut());
    compute(py, threads, work, move |context| nn::swiglu(gate, up, y, context))?;
    Ok(place)
}

/// Documented in `threadwise.nn.softmax`.
#[pyfunction]
#[pyo3(signature = (x, out, threads, /))]
pub(crate) fn softmax<'py>(
    py: Python<'py>,
    x: &Object<'py>,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let x = Operand::single("x", x)?;
    let work = nn::ELEMENT.saturating_mul(x.shape().iter().product());
    let shape = nn::softmax_shape(x.shape()).map_err(raise)?;
    let x = x.borrow::<f32>()?;
    let (place, mut y) = place::<f32>(py, &shape, out, &[&x])?;
    let (x, y) = (x.view(), y.as_array_mut());
    compute(py, threads, work, move |context| nn::softmax(x, y, context))?;
    Ok(place)
}

/// True or false.
fn flag_argument(name: &'static str, given: &Object<'_>) -> PyResult<bool> {
    given.extract::<bool>().map_err(|_| {
        let kind = given.get_type();
        let words = given.repr().and_then(|given| Ok((given, kind.name()?)));
        let sentence = words
            .map(|(given, kind)| format!("{name} is {given} (a {kind}), expected True or False"));
        sentence.map_or_else(|error| error, DTypeError::new_err)
    })
}

/// A whole number that is not negative.
fn count_argument(name: &'static str, given: &Object<'_>) -> PyResult<usize> {
    let is_number = given.hasattr("__index__")? && !given.is_instance_of::<pyo3::types::PyBool>();
    if !is_number {
        let kind = given.get_type();
        let sentence =
            format!("{name} is {} (a {}), expected a whole number", given.repr()?, kind.name()?);
        return Err(DTypeError::new_err(sentence));
    }
    given.extract::<usize>().map_err(|_| {
        let expected = "expected a whole number from 1 to 2**63 - 1";
        let sentence = given.repr().map(|given| format!("{name} is {given}, {expected}"));
        sentence.map_or_else(|error| error, DomainError::new_err)
    })
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
