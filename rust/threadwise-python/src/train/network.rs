//! Gradients of networks, and steps.

use numpy::{PyArrayMethods, PyReadwriteArrayDyn};
use pyo3::prelude::*;
use pyo3::types::PyList;
use threadwise::train::{self, Course, Goal, Network, Target, Trained, WeightsMut};

use super::arguments::{
    Description, Settings, Targets, loss, matrix_mut, network, numbers, optimizer, rows, targets,
    writable,
};
use super::held::{Held, inputs, kind, outputs, shapes};
use crate::dtype::{Float, Kind};
use crate::seam::{Borrowed, DomainError, ShapeError, compute, result};

type Object<'py> = Bound<'py, PyAny>;

/// The target, whether it is labels, and the loss with its number.
type Wanted<'py> = (Object<'py>, bool, String, f64);

/// What the passes backwards have in common.
struct Backward<'py, T: Float> {
    held: Held<'py, T>,
    x: Borrowed<'py, T>,
    targets: Targets<'py, T>,
    loss: train::Loss,
}

impl<'py, T: Float> Backward<'py, T> {
    fn new(
        network: &Network,
        parameters: &[Object<'py>],
        x: &Object<'py>,
        (y, labeled, name, delta): &Wanted<'py>,
    ) -> PyResult<Self> {
        let held = Held::new(network, parameters)?;
        let (x, loss) = (inputs(network, x)?, loss((name, *delta))?);
        Ok(Self { held, x, targets: wanted(network, (y, *labeled))?, loss })
    }
}

fn wanted<'py, T: Float>(
    network: &Network,
    (y, labeled): (&Object<'py>, bool),
) -> PyResult<Targets<'py, T>> {
    targets(y, labeled, outputs(network))
}

/// The goal of these targets for so many rows.
fn goal<'a, T: Float>(
    targets: &'a Targets<'_, T>,
    loss: train::Loss,
    shape: [usize; 2],
) -> PyResult<Goal<'a, T>> {
    let (target, actual) = match targets {
        Targets::Labels(labels) => {
            let labels = labels.as_slice().unwrap_or_default();
            (Target::Labels(labels), vec![labels.len(), shape[1]])
        }
        Targets::Values(values) => {
            let view = rows("y", values.view())?;
            let actual = view.shape().to_vec();
            (Target::Values(view), actual)
        }
    };
    if actual != shape || shape[0] == 0 {
        let sentence =
            format!("y has shape {actual:?} and x {} rows, expected {shape:?}", shape[0]);
        return Err(ShapeError::new_err(sentence));
    }
    if matches!(target, Target::Labels(_)) && loss != train::Loss::CrossEntropy {
        return Err(DomainError::new_err("labels are targets of cross entropy only"));
    }
    Ok(Goal { target, loss })
}

/// The mean loss, and the gradients of weights and biases in turn.
#[pyfunction]
#[pyo3(signature = (description, parameters, x, wanted, threads, /))]
pub(crate) fn network_gradients<'py>(
    py: Python<'py>,
    description: Description,
    parameters: Vec<Object<'py>>,
    x: &Object<'py>,
    wanted: Wanted<'py>,
    threads: Option<&Object<'py>>,
) -> PyResult<(f64, Bound<'py, PyList>)> {
    let network = network(description)?;
    match kind(&parameters)? {
        Kind::F32 => gradients_of::<f32>(py, &network, &parameters, x, &wanted, false, threads),
        Kind::F64 => gradients_of::<f64>(py, &network, &parameters, x, &wanted, false, threads),
    }
}

/// The gradients of each row's loss, along the first axis.
#[pyfunction]
#[pyo3(signature = (description, parameters, x, wanted, threads, /))]
pub(crate) fn network_each_gradient<'py>(
    py: Python<'py>,
    description: Description,
    parameters: Vec<Object<'py>>,
    x: &Object<'py>,
    wanted: Wanted<'py>,
    threads: Option<&Object<'py>>,
) -> PyResult<Bound<'py, PyList>> {
    let network = network(description)?;
    let (_, gradients) = match kind(&parameters)? {
        Kind::F32 => gradients_of::<f32>(py, &network, &parameters, x, &wanted, true, threads)?,
        Kind::F64 => gradients_of::<f64>(py, &network, &parameters, x, &wanted, true, threads)?,
    };
    Ok(gradients)
}

fn gradients_of<'py, T: Float>(
    py: Python<'py>,
    network: &Network,
    parameters: &[Object<'py>],
    x: &Object<'py>,
    wanted: &Wanted<'py>,
    each: bool,
    threads: Option<&Object<'py>>,
) -> PyResult<(f64, Bound<'py, PyList>)> {
    let it = Backward::<T>::new(network, parameters, x, wanted)?;
    let (weights, x) = (it.held.weights()?, rows("x", it.x.view())?);
    let goal = goal(&it.targets, it.loss, [x.nrows(), outputs(network)])?;
    let (mut arrays, mut lent): (Vec<_>, Vec<PyReadwriteArrayDyn<'py, T>>) = (vec![], vec![]);
    for shape in shapes(network) {
        let shape = if each { [vec![x.nrows()], shape].concat() } else { shape };
        let array = result::<T>(py, &shape)?;
        lent.push(array.readwrite());
        arrays.push(array.into_any());
    }
    let count = x.nrows();
    let views: PyResult<Vec<_>> = lent
        .iter_mut()
        .map(|lent| {
            let view = lent.as_array_mut();
            if !each {
                return matrix_mut(view);
            }
            let columns = view.len() / count;
            let flat = view.into_shape_with_order((count, columns));
            flat.map_err(|_| ShapeError::new_err("a new array is contiguous"))
        })
        .collect();
    let mut views = views?.into_iter();
    let mut places = Vec::new();
    while let (Some(weight), Some(bias)) = (views.next(), views.next()) {
        places.push(WeightsMut { weight, bias });
    }
    let work = network.multiply_adds().saturating_mul(3 * count);
    let loss = compute(py, threads, work, move |context| {
        if each {
            train::each_gradient(network, weights, x, goal, places, context)?;
            return Ok(0.0);
        }
        train::gradients(network, weights, x, goal, places, context)
    })?;
    Ok((loss, PyList::new(py, arrays)?))
}

/// Steps: rows of each batch, its size, settings of the optimizer, rates, norm, number of the first step.
type Steps<'py> = (Option<Object<'py>>, usize, Settings, Vec<f64>, Option<f64>, u64);

/// Makes steps. Returns the loss of each.
#[pyfunction]
#[pyo3(signature = (description, parameters, states, x, wanted, steps, threads, /))]
#[expect(clippy::too_many_arguments, reason = "those of the Python function")]
pub(crate) fn network_train<'py>(
    py: Python<'py>,
    description: Description,
    parameters: Vec<Object<'py>>,
    states: Vec<Vec<Object<'py>>>,
    x: &Object<'py>,
    wanted: Wanted<'py>,
    steps: Steps<'py>,
    threads: Option<&Object<'py>>,
) -> PyResult<Vec<f64>> {
    let network = network(description)?;
    let own = (&parameters[..], &states[..]);
    match kind(&parameters)? {
        Kind::F32 => train_of::<f32>(py, &network, own, x, &wanted, steps, threads),
        Kind::F64 => train_of::<f64>(py, &network, own, x, &wanted, steps, threads),
    }
}

fn train_of<'py, T: Float>(
    py: Python<'py>,
    network: &Network,
    (parameters, states): (&[Object<'py>], &[Vec<Object<'py>>]),
    x: &Object<'py>,
    (y, labeled, name, delta): &Wanted<'py>,
    (order, batch, settings, rates, clip, time): Steps<'py>,
    threads: Option<&Object<'py>>,
) -> PyResult<Vec<f64>> {
    let (optimizer, loss) = (optimizer(&settings)?, loss((name, *delta))?);
    let (x, targets) = (inputs::<T>(network, x)?, wanted::<T>(network, (y, *labeled))?);
    let x = rows("x", x.view())?;
    let goal = goal(&targets, loss, [x.nrows(), outputs(network)])?;
    let order = order.map(|order| numbers("rows", &order, x.nrows())).transpose()?;
    let order: Option<Vec<usize>> = order
        .map(|rows| rows.into_iter().map(|row| usize::try_from(row).unwrap_or_default()).collect());
    let count = order.as_ref().map_or(x.nrows(), Vec::len);
    let is_alone = order.is_some() || count <= batch;
    if batch == 0 || count == 0 || rates.len() != count.div_ceil(batch) || !is_alone {
        return Err(DomainError::new_err(format!(
            "{count} rows in batches of {batch} have not {} steps",
            rates.len()
        )));
    }
    let shapes = shapes(network);
    if parameters.len() != shapes.len() || states.len() != optimizer.states() {
        return Err(ShapeError::new_err(
            "there are not as many parameters or states as belong here",
        ));
    }
    let mut lent = Vec::new();
    for (name, arrays) in std::iter::once(("parameters", parameters))
        .chain(states.iter().map(|it| ("states", &it[..])))
    {
        let arrays = arrays.iter().zip(&shapes);
        let lent_now: PyResult<Vec<_>> =
            arrays.map(|(array, shape)| writable::<T>(name, array, shape)).collect();
        lent.push(lent_now?);
    }
    let mut views = Vec::new();
    for arrays in &mut lent {
        let matrices: PyResult<Vec<_>> =
            arrays.iter_mut().map(|array| matrix_mut(array.as_array_mut())).collect();
        views.push(matrices?.into_iter());
    }
    let mut trained = Vec::new();
    for _ in 0..network.layers() {
        let mut pairs = Vec::new();
        for views in &mut views {
            if let (Some(weight), Some(bias)) = (views.next(), views.next()) {
                pairs.push(WeightsMut { weight, bias });
            }
        }
        let mut pairs = pairs.into_iter();
        if let Some(weights) = pairs.next() {
            trained.push(Trained { weights, states: pairs.collect() });
        }
    }
    let work = network.multiply_adds().saturating_mul(3 * count);
    compute(py, threads, work, move |context| {
        let course = Course { optimizer, rates: &rates, clip, time };
        train::train(network, trained, x, order.as_deref(), batch, goal, course, context)
    })
}
