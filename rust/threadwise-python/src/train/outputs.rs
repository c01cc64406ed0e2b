//! Outputs of networks, without masks and with them.

use numpy::PyArrayMethods;
use pyo3::prelude::*;
use threadwise::train::{self, Network, Sample};

use super::arguments::{Description, network, rows};
use super::held::{Held, expected, inputs, kind, outputs};
use crate::dtype::{Float, Kind};
use crate::seam::{compute, place, result};

type Object<'py> = Bound<'py, PyAny>;

/// Outputs, without masks or with those of a sample: seed, number, first row.
#[pyfunction]
#[pyo3(signature = (description, parameters, x, sample, out, threads, /))]
pub(crate) fn network_forward<'py>(
    py: Python<'py>,
    description: Description,
    parameters: Vec<Object<'py>>,
    x: &Object<'py>,
    sample: Option<(u64, u64, usize)>,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let network = network(description)?;
    match kind(&parameters)? {
        Kind::F32 => forward_of::<f32>(py, &network, &parameters, x, sample, out, threads),
        Kind::F64 => forward_of::<f64>(py, &network, &parameters, x, sample, out, threads),
    }
}

fn forward_of<'py, T: Float>(
    py: Python<'py>,
    network: &Network,
    parameters: &[Object<'py>],
    x: &Object<'py>,
    sample: Option<(u64, u64, usize)>,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let held = Held::<T>::new(network, parameters)?;
    let (weights, x) = (held.weights()?, inputs::<T>(network, x)?);
    let view = rows("x", x.view())?;
    let shape = [view.nrows(), outputs(network)];
    let (place, mut y) = place::<T>(py, &shape, out, &[&x])?;
    let y = expected(y.as_array_mut(), &shape)?;
    let sample = sample.map(|(seed, number, first_row)| Sample { seed, number, first_row });
    if view.nrows() == 0 {
        return Ok(place);
    }
    let work = network.multiply_adds().saturating_mul(view.nrows());
    compute(py, threads, work, move |context| {
        train::forward(network, weights, view, sample, y, context)
    })?;
    Ok(place)
}

/// Outputs of samples, each with masks of its own, one below the other.
#[pyfunction]
#[pyo3(signature = (description, parameters, x, samples, seed, first_row, threads, /))]
#[expect(clippy::too_many_arguments, reason = "those of the Python function")]
pub(crate) fn network_monte_carlo<'py>(
    py: Python<'py>,
    description: Description,
    parameters: Vec<Object<'py>>,
    x: &Object<'py>,
    samples: usize,
    seed: u64,
    first_row: usize,
    threads: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let network = network(description)?;
    let draw = (samples, seed, first_row);
    match kind(&parameters)? {
        Kind::F32 => monte_carlo_of::<f32>(py, &network, &parameters, x, draw, threads),
        Kind::F64 => monte_carlo_of::<f64>(py, &network, &parameters, x, draw, threads),
    }
}

fn monte_carlo_of<'py, T: Float>(
    py: Python<'py>,
    network: &Network,
    parameters: &[Object<'py>],
    x: &Object<'py>,
    (samples, seed, first_row): (usize, u64, usize),
    threads: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let held = Held::<T>::new(network, parameters)?;
    let (weights, x) = (held.weights()?, inputs::<T>(network, x)?);
    let view = rows("x", x.view())?;
    let shape = [samples.saturating_mul(view.nrows()), outputs(network)];
    let made = result::<T>(py, &shape)?;
    let mut lent = made.readwrite();
    let y = expected(lent.as_array_mut(), &shape)?;
    let work = network.multiply_adds().saturating_mul(shape[0]);
    compute(py, threads, work, move |context| {
        train::monte_carlo(network, weights, view, (seed, first_row), y, context)
    })?;
    drop(lent);
    Ok(made.into_any())
}
