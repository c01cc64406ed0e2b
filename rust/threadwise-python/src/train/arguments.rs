//! Arguments of training, from Python's objects.

use numpy::ndarray::{Array1, ArrayView2, ArrayViewD, ArrayViewMut2, ArrayViewMutD, Axis, Ix2};
use numpy::{PyArrayDyn, PyArrayMethods, PyReadwriteArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use threadwise::train::{Curve, Loss, Network, Optimizer};

use crate::dtype::{Float, Number};
use crate::seam::{DTypeError, DomainError, LayoutError, Operand, ShapeError};

type Object<'py> = Bound<'py, PyAny>;

/// An optimizer: its name, its numbers, whether momentum is Nesterov's or decay decoupled, and the number of the step.
pub(crate) type Settings = (String, Vec<f64>, bool, u64);

/// The optimizer that these settings are of.
pub(super) fn optimizer(settings: &Settings) -> PyResult<Optimizer> {
    let (name, numbers, flag, time) = settings;
    match (name.as_str(), numbers.as_slice()) {
        ("sgd", &[rate, momentum, decay]) => {
            Ok(Optimizer::Sgd { rate, momentum, is_nesterov: *flag, decay })
        }
        ("adam", &[rate, one, two, eps, decay]) => {
            let betas = [one, two];
            Ok(Optimizer::Adam { rate, betas, eps, decay, is_decoupled: *flag, time: *time })
        }
        _ => Err(DomainError::new_err(format!("there is no optimizer {name:?}"))),
    }
}

/// A network: sizes, the function of hidden layers, the share of each that is left out, seed.
pub(crate) type Description = (Vec<usize>, String, Vec<f64>, u64);

/// The network that this describes.
pub(super) fn network((sizes, curve, dropout, seed): Description) -> PyResult<Network> {
    if sizes.len() < 2 || sizes.contains(&0) || dropout.len() + 2 != sizes.len() {
        return Err(DomainError::new_err(format!("there is no network of sizes {sizes:?}")));
    }
    if dropout.iter().any(|rate| !(0.0..1.0).contains(rate)) {
        return Err(DomainError::new_err(format!("dropout is {dropout:?}, expected 0 to below 1")));
    }
    let known = Curve::named(&curve);
    if known.is_none() && curve != "identity" {
        return Err(DomainError::new_err(format!("there is no activation {curve:?}")));
    }
    Ok(Network { sizes, curve: known, dropout, seed })
}

/// The loss of this name.
pub(super) fn loss((name, delta): (&str, f64)) -> PyResult<Loss> {
    match name {
        "cross_entropy" => Ok(Loss::CrossEntropy),
        "mse" => Ok(Loss::Squares),
        "huber" => Ok(Loss::Huber(delta)),
        "bce" => Ok(Loss::BinaryCrossEntropy),
        _ => Err(DomainError::new_err(format!("there is no loss {name:?}"))),
    }
}

/// An array of this shape, by rows without gaps, to be written.
pub(super) fn writable<'py, T: Number>(
    name: &str,
    object: &Object<'py>,
    shape: &[usize],
) -> PyResult<PyReadwriteArrayDyn<'py, T>> {
    let Ok(array) = object.cast::<PyArrayDyn<T>>() else {
        let expected = T::NAME;
        return Err(DTypeError::new_err(format!("{name} has an array that is not of {expected}")));
    };
    if array.shape() != shape {
        let actual = array.shape();
        return Err(ShapeError::new_err(format!(
            "{name} has shape {actual:?}, expected {shape:?}"
        )));
    }
    if !array.is_c_contiguous() || !array.is_aligned() {
        return Err(LayoutError::new_err(format!("{name} is not contiguous by rows")));
    }
    array.try_readwrite().map_err(|_| {
        LayoutError::new_err(format!(
            "{name} is in use by another call, or read-only, expected writable arrays at rest: train a model in \
             one thread at a time"
        ))
    })
}

/// Rows along the first axis.
pub(super) fn rows<'a, T>(name: &str, view: ArrayViewD<'a, T>) -> PyResult<ArrayView2<'a, T>> {
    let shape = view.shape().to_vec();
    view.into_dimensionality::<Ix2>()
        .map_err(|_| ShapeError::new_err(format!("{name} has shape {shape:?}, expected two axes")))
}

/// A weight, or a bias as its only column.
pub(super) fn matrix<T>(view: ArrayViewD<'_, T>) -> PyResult<ArrayView2<'_, T>> {
    let view = if view.ndim() == 1 { view.insert_axis(Axis(1)) } else { view };
    rows("parameters", view)
}

/// The same, to be written.
pub(super) fn matrix_mut<T>(view: ArrayViewMutD<'_, T>) -> PyResult<ArrayViewMut2<'_, T>> {
    let view = if view.ndim() == 1 { view.insert_axis(Axis(1)) } else { view };
    let sentence = "parameters have arrays of more than two axes";
    view.into_dimensionality::<Ix2>().map_err(|_| ShapeError::new_err(sentence))
}

/// Whole numbers below `end`.
pub(super) fn numbers(
    name: &'static str,
    object: &Object<'_>,
    end: usize,
) -> PyResult<Array1<i64>> {
    let operand = Operand::whole(name, object)?;
    let numbers = operand.borrow::<i64>()?;
    let numbers: Array1<i64> = numbers.view().iter().copied().collect();
    let is_within = |&number: &i64| usize::try_from(number).is_ok_and(|number| number < end);
    match numbers.iter().position(|number| !is_within(number)) {
        None => Ok(numbers),
        Some(at) => Err(DomainError::new_err(format!(
            "{name}[{at}] is {}, expected whole numbers from 0 to {}",
            numbers[at],
            end.saturating_sub(1)
        ))),
    }
}

/// What a target is, by the loss.
pub(super) enum Targets<'py, T: Float> {
    Labels(Array1<i64>),
    Values(crate::seam::Borrowed<'py, T>),
}

/// Labels where they are whole numbers along one axis, values elsewhere.
pub(super) fn targets<'py, T: Float>(
    object: &Object<'py>,
    labeled: bool,
    outputs: usize,
) -> PyResult<Targets<'py, T>> {
    if labeled {
        return Ok(Targets::Labels(numbers("y", object, outputs)?));
    }
    Ok(Targets::Values(Operand::new("y", object)?.borrow::<T>()?))
}
