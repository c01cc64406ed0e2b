//! A network's parameters and inputs, borrowed.

use numpy::ndarray::{ArrayViewMut2, ArrayViewMutD};
use pyo3::prelude::*;
use threadwise::train::{Network, Weights};

use super::arguments::matrix;
use crate::dtype::{Float, Kind};
use crate::seam::{Borrowed, Operand, ShapeError};

type Object<'py> = Bound<'py, PyAny>;

/// Weights and biases in turn, borrowed.
pub(super) struct Held<'py, T: Float>(Vec<Borrowed<'py, T>>);

impl<'py, T: Float> Held<'py, T> {
    pub(super) fn new(network: &Network, parameters: &[Object<'py>]) -> PyResult<Self> {
        let mut held = Vec::with_capacity(parameters.len());
        for (parameter, shape) in parameters.iter().zip(shapes(network)) {
            let operand = Operand::new("parameters", parameter)?;
            if operand.shape() != shape {
                let actual = operand.shape();
                let sentence = format!("a parameter has shape {actual:?}, expected {shape:?}");
                return Err(ShapeError::new_err(sentence));
            }
            held.push(operand.borrow::<T>()?);
        }
        if held.len() != 2 * network.layers() {
            return Err(ShapeError::new_err("a layer has a weight and a bias"));
        }
        Ok(Self(held))
    }

    pub(super) fn weights(&self) -> PyResult<Vec<Weights<'_, T>>> {
        self.0
            .chunks_exact(2)
            .map(|pair| {
                let (weight, bias) = (matrix(pair[0].view())?, matrix(pair[1].view())?);
                Ok(Weights { weight, bias })
            })
            .collect()
    }
}

/// The shapes of weights and biases in turn.
pub(super) fn shapes(network: &Network) -> Vec<Vec<usize>> {
    let pair = |pair: &[usize]| [vec![pair[1], pair[0]], vec![pair[1]]];
    network.sizes.windows(2).flat_map(pair).collect()
}

pub(super) fn kind(parameters: &[Object<'_>]) -> PyResult<Kind> {
    match parameters.first() {
        Some(first) => Ok(Operand::new("parameters", first)?.kind),
        None => Err(ShapeError::new_err("a network has parameters")),
    }
}

/// The inputs, of as many columns as the network takes.
pub(super) fn inputs<'py, T: Float>(
    network: &Network,
    x: &Object<'py>,
) -> PyResult<Borrowed<'py, T>> {
    let operand = Operand::new("x", x)?;
    let (shape, columns) = (operand.shape(), network.sizes[0]);
    if shape.len() != 2 || shape[1] != columns {
        let sentence = format!("x has shape {shape:?}, expected (rows, {columns})");
        return Err(ShapeError::new_err(sentence));
    }
    operand.borrow::<T>()
}

pub(super) fn outputs(network: &Network) -> usize {
    network.sizes[network.layers()]
}

/// A place for a result, if it has this shape.
pub(super) fn expected<'a, T>(
    place: ArrayViewMutD<'a, T>,
    shape: &[usize],
) -> PyResult<ArrayViewMut2<'a, T>> {
    let actual = place.shape().to_vec();
    let sentence = || ShapeError::new_err(format!("out has shape {actual:?}, expected {shape:?}"));
    if place.shape() != shape {
        return Err(sentence());
    }
    if !place.is_standard_layout() {
        return Err(ShapeError::new_err(
            "out is not contiguous by rows: pass an array from numpy.empty",
        ));
    }
    place.into_dimensionality().map_err(|_| sentence())
}
