//! Documented in `threadwise.train`: gradients of shards here, networks in `network`.

mod arguments;
mod held;
mod network;
mod outputs;

use half::{bf16, f16};
use pyo3::prelude::*;
use threadwise::linalg::Real;
use threadwise::train::{self, ELEMENT, Merge, Parameter, State, Summand, Terms};

use crate::dtype::{Factor, Float, Kind, Number};
use crate::seam::{Borrowed, Lent, Operand, ShapeError, compute, place};

pub(crate) use network::{network_each_gradient, network_gradients, network_train};
pub(crate) use outputs::{network_forward, network_monte_carlo};

use arguments::{Settings, optimizer, writable};

type Object<'py> = Bound<'py, PyAny>;

/// Documented in `threadwise.train.aggregate_gradients`: one array of each shard.
#[pyfunction]
#[pyo3(signature = (sources, weights, factor, out, threads, /))]
pub(crate) fn aggregate<'py>(
    py: Python<'py>,
    sources: Vec<Object<'py>>,
    weights: Vec<f64>,
    factor: f64,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let operands: PyResult<Vec<_>> =
        sources.iter().map(|source| Operand::floating("gradients", source)).collect();
    let operands = operands?;
    let Some(first) = operands.first() else {
        return Err(ShapeError::new_err("gradients has no shards, expected at least one"));
    };
    let sum = (&operands[..], &weights[..], factor);
    match first.kind {
        Factor::Real(Kind::F64) => aggregate_of::<f64>(py, sum, out, threads),
        Factor::Bf16 => aggregate_of::<bf16>(py, sum, out, threads),
        Factor::F16 => aggregate_of::<f16>(py, sum, out, threads),
        _ => aggregate_of::<f32>(py, sum, out, threads),
    }
}

fn aggregate_of<'py, S: Number + Summand<Sum: Real>>(
    py: Python<'py>,
    (operands, weights, factor): (&[Operand<'py, Factor>], &[f64], f64),
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let sources: PyResult<Vec<_>> = operands.iter().map(Operand::borrow::<S>).collect();
    let sources = sources?;
    let shape = operands[0].shape();
    let lent: Vec<&dyn Lent> = sources.iter().map(|source| -> &dyn Lent { source }).collect();
    let (place, mut y) = place::<S>(py, shape, out, &lent)?;
    if weights.len() != sources.len() || operands.iter().any(|it| it.shape() != shape) {
        return Err(ShapeError::new_err(
            "gradients differ in shape, or in number from their weights",
        ));
    }
    let views: Vec<_> = sources.iter().map(Borrowed::view).collect();
    let views: Vec<_> = views.iter().map(|view| view.as_standard_layout()).collect();
    let slices: Vec<&[S]> = views.iter().map(|view| view.as_slice().unwrap_or_default()).collect();
    let weights: Vec<S::Sum> = weights.iter().map(|&weight| real(weight)).collect();
    let terms = Terms { sources: &slices, weights: &weights, factor: real(factor) };
    let work = ELEMENT.saturating_mul(shape.iter().product()).saturating_mul(slices.len());
    let mut view = y.as_array_mut();
    if view.shape() != shape {
        let sentence = format!("out has shape {:?}, expected {shape:?}", view.shape());
        return Err(ShapeError::new_err(sentence));
    }
    compute(py, threads, work, move |context| {
        if let Some(out) = view.as_slice_mut() {
            return train::aggregate(&terms, out, context);
        }
        let mut made = vec![S::default(); view.len()];
        train::aggregate(&terms, &mut made, context)?;
        view.iter_mut().zip(made).for_each(|(to, from)| *to = from);
        Ok(())
    })?;
    Ok(place)
}

fn real<T: Real>(x: f64) -> T {
    T::from_f64(x)
}

/// The root of the sum of all squares of some arrays of one dtype.
#[pyfunction]
#[pyo3(signature = (gradients, threads, /))]
pub(crate) fn global_norm<'py>(
    py: Python<'py>,
    gradients: Vec<Object<'py>>,
    threads: Option<&Object<'py>>,
) -> PyResult<f64> {
    let operands: PyResult<Vec<_>> =
        gradients.iter().map(|gradient| Operand::new("gradients", gradient)).collect();
    let operands = operands?;
    match operands.iter().map(|operand| operand.kind).max() {
        Some(Kind::F64) => norm_of::<f64>(py, &operands, threads),
        _ => norm_of::<f32>(py, &operands, threads),
    }
}

fn norm_of<'py, T: Float>(
    py: Python<'py>,
    operands: &[Operand<'py>],
    threads: Option<&Object<'py>>,
) -> PyResult<f64> {
    let borrowed: PyResult<Vec<_>> = operands.iter().map(Operand::borrow::<T>).collect();
    let borrowed = borrowed?;
    let views: Vec<_> = borrowed.iter().map(Borrowed::view).collect();
    let views: Vec<_> = views.iter().map(|view| view.as_standard_layout()).collect();
    let slices: Vec<[&[T]; 1]> =
        views.iter().map(|view| [view.as_slice().unwrap_or_default()]).collect();
    let one = [real(1.0)];
    let all: Vec<_> = slices
        .iter()
        .map(|slice| {
            (Terms { sources: &slice[..], weights: &one, factor: real(1.0) }, slice[0].len())
        })
        .collect();
    let elements: usize = all.iter().map(|(_, len)| len).sum();
    let work = ELEMENT.saturating_mul(elements);
    compute(py, threads, work, |context| train::norm_of(&all, context))
}

/// A step of an optimizer on some arrays of one dtype, each with its states and with a gradient from each shard.
#[pyfunction]
#[pyo3(signature = (parameters, states, gradients, weights, factor, clip, settings, threads, /))]
#[expect(clippy::too_many_arguments, reason = "those of the Python function")]
pub(crate) fn optimizer_step<'py>(
    py: Python<'py>,
    parameters: Vec<Object<'py>>,
    states: Vec<Vec<Object<'py>>>,
    gradients: Vec<Vec<Object<'py>>>,
    weights: Vec<f64>,
    factor: f64,
    clip: Option<f64>,
    settings: Settings,
    threads: Option<&Object<'py>>,
) -> PyResult<Option<f64>> {
    let Some(first) = parameters.first() else { return Ok(None) };
    let operands = Operands { parameters: &parameters, states: &states, gradients: &gradients };
    let merge = (&weights[..], factor, clip);
    match Operand::new("parameters", first)?.kind {
        Kind::F32 => step_of::<f32>(py, &operands, merge, &settings, threads),
        Kind::F64 => step_of::<f64>(py, &operands, merge, &settings, threads),
    }
}

struct Operands<'a, 'py> {
    parameters: &'a [Object<'py>],
    states: &'a [Vec<Object<'py>>],
    gradients: &'a [Vec<Object<'py>>],
}

fn step_of<'py, T: Float + Summand<Sum = T>>(
    py: Python<'py>,
    operands: &Operands<'_, 'py>,
    (weights, factor, clip): (&[f64], f64, Option<f64>),
    settings: &Settings,
    threads: Option<&Object<'py>>,
) -> PyResult<Option<f64>> {
    let optimizer = optimizer(settings)?;
    let Operands { parameters, states, gradients } = *operands;
    let mut borrowed = Vec::new();
    let mut lent = Vec::new();
    for ((parameter, states), gradients) in parameters.iter().zip(states).zip(gradients) {
        let shape = Operand::new("parameters", parameter)?.shape().to_vec();
        let mut all = vec![writable::<T>("parameters", parameter, &shape)?];
        for state in states {
            all.push(writable::<T>("states", state, &shape)?);
        }
        let mut shards = Vec::new();
        for gradient in gradients {
            let operand = Operand::new("gradients", gradient)?;
            if operand.shape() != shape {
                let actual = operand.shape();
                let sentence = format!("a gradient has shape {actual:?}, its parameter {shape:?}");
                return Err(ShapeError::new_err(sentence));
            }
            shards.push(operand.borrow::<T>()?);
        }
        if shards.len() != weights.len() || states.len() != optimizer.states() {
            let sentence =
                "there are not as many gradients as weights, or states as the optimizer has";
            return Err(ShapeError::new_err(sentence));
        }
        borrowed.push(all);
        lent.push(shards);
    }
    let views: Vec<Vec<_>> =
        lent.iter().map(|shards| shards.iter().map(Borrowed::view).collect()).collect();
    let views: Vec<Vec<_>> = views
        .iter()
        .map(|views| views.iter().map(|view| view.as_standard_layout()).collect())
        .collect();
    let mut arrays: Vec<Vec<_>> = borrowed
        .iter_mut()
        .map(|all| all.iter_mut().map(|array| array.as_array_mut()).collect())
        .collect();
    let mut stepped: Vec<_> = arrays
        .iter_mut()
        .zip(&views)
        .map(|(arrays, views)| {
            let mut slices = arrays.iter_mut().map(|it| it.as_slice_mut().unwrap_or_default());
            let weights = slices.next().unwrap_or_default();
            let states = [slices.next().unwrap_or_default(), slices.next().unwrap_or_default()];
            let gradients = views.iter().map(|it| it.as_slice().unwrap_or_default()).collect();
            Parameter { state: State { weights, states }, gradients }
        })
        .collect();
    let weights: Vec<T> = weights.iter().map(|&weight| real(weight)).collect();
    let elements: usize = stepped.iter().map(|it| it.state.weights.len()).sum();
    let work = ELEMENT.saturating_mul(elements).saturating_mul(weights.len());
    compute(py, threads, work, |context| {
        let merge = Merge { weights: &weights, factor: real(factor), clip };
        train::step(&mut stepped, merge, optimizer, context)
    })
}
