//! Documented in `threadwise.quant.model` and `threadwise.quant._files`.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use threadwise::quant::model::{Event, Job, Report, Resume, TensorReport};
use threadwise::quant::{Bits, Method, Scheme, ZeroPoint, model};
use threadwise::store::{Checkpoint, Tensor, Weights};

use crate::seam::{DomainError, compute, raise};

type Object<'py> = Bound<'py, PyAny>;

/// Bits, group size (-1 for a whole row), kind of zero points, method.
type Wish = (usize, isize, String, String);

/// The files of a model: path, where data begin, metadata, and tensors by name, dtype, shape, begin and
/// end.
#[pyfunction]
#[pyo3(signature = (path, /))]
pub(crate) fn weights(py: Python<'_>, path: PathBuf) -> PyResult<Bound<'_, PyList>> {
    let checkpoint = py.detach(|| Checkpoint::open(&path)).map_err(raise)?;
    let files: PyResult<Vec<_>> =
        checkpoint.shards.iter().map(|file| described(py, file)).collect();
    PyList::new(py, files?)
}

fn described<'py>(py: Python<'py>, file: &Weights) -> PyResult<Bound<'py, PyTuple>> {
    let header = file.header();
    let tensor = |tensor: &Tensor| {
        let Tensor { ref name, dtype, ref shape, begin, end } = *tensor;
        (name, dtype.name(), PyTuple::new(py, shape)?, begin, end).into_pyobject(py)
    };
    let tensors: PyResult<Vec<_>> = header.tensors.iter().map(tensor).collect();
    let metadata = header.metadata.clone();
    (file.path(), file.data(), metadata, tensors?).into_pyobject(py)
}

/// Quantizes the tensors that have a wish. Returns a dictionary for the report.
#[pyfunction]
#[pyo3(
    signature = (source, target, wishes, min_cosine, fail_fast, threads, streaming, max_memory, overwrite,
                 resume, progress, /)
)]
#[expect(clippy::too_many_arguments, reason = "Python's")]
pub(crate) fn quantize_model<'py>(
    py: Python<'py>,
    source: PathBuf,
    target: PathBuf,
    wishes: HashMap<String, Wish>,
    min_cosine: f64,
    fail_fast: bool,
    threads: Option<Object<'py>>,
    streaming: bool,
    max_memory: Option<u64>,
    overwrite: bool,
    resume: Option<bool>,
    progress: Py<PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let schemes: PyResult<HashMap<String, Scheme>> =
        wishes.into_iter().map(|(name, wish)| Ok((name, scheme(&wish)?))).collect();
    let schemes = schemes?;
    let resume = match resume {
        None => Resume::IfPossible,
        Some(true) => Resume::Must,
        Some(false) => Resume::Never,
    };
    let raised = Mutex::new(None);
    let mut tell = |event: &Event| {
        let told = Python::attach(|py| {
            let facts = PyDict::new(py);
            facts.set_item("tensor", event.name.as_deref().unwrap_or_default())?;
            facts.set_item("tensors_done", event.index)?;
            facts.set_item("tensors_total", event.count)?;
            facts.set_item("bytes_done", event.bytes)?;
            facts.set_item("bytes_total", event.of)?;
            facts.set_item("seconds", event.seconds)?;
            facts.set_item("predicted_peak_bytes", event.memory)?;
            progress.call1(py, (facts,)).map(drop)
        });
        match told {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                *raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    let report = compute(py, threads.as_ref(), usize::MAX, |context| {
        let job = Job {
            source: &source,
            target: &target,
            scheme: &|tensor| schemes.get(&tensor.name).copied(),
            min_cosine,
            fail_fast,
            streaming,
            max_memory,
            overwrite,
            resume,
        };
        model::quantize_model(&job, &mut tell, context)
    });
    if let Some(error) = raised.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    told(py, &report?)
}

fn scheme((bits, group_size, zero_point, method): &Wish) -> PyResult<Scheme> {
    let refused = |what: &str| DomainError::new_err(format!("there is no {what}"));
    let bits = Bits::try_from(*bits).map_err(|_| refused(&format!("{bits} bits")))?;
    let group_size = match usize::try_from(*group_size) {
        Err(_) => None,
        Ok(size) => Some(NonZeroUsize::new(size).ok_or_else(|| refused("group of none"))?),
    };
    let zero_point = match zero_point.as_str() {
        "symmetric" => ZeroPoint::Symmetric,
        "float" => ZeroPoint::Float,
        "integer" => ZeroPoint::Integer,
        other => return Err(refused(&format!("zero point {other:?}"))),
    };
    let method = match method.as_str() {
        "minmax" => Method::MinMax,
        "mse" => Method::Mse,
        other => return Err(refused(&format!("method {other:?}"))),
    };
    Ok(Scheme { bits, group_size, zero_point, method })
}

fn told<'py>(py: Python<'py>, report: &Report) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let tensors: PyResult<Vec<_>> = report.tensors.iter().map(|one| tensor(py, one)).collect();
    dict.set_item("tensors", tensors?)?;
    dict.set_item("resumed", report.resumed)?;
    dict.set_item("threads", report.threads)?;
    let [predicted, measured] = report.memory;
    dict.set_item("predicted", predicted)?;
    dict.set_item("measured", measured)?;
    dict.set_item("format", report.format)?;
    dict.set_item("seconds", report.seconds)?;
    Ok(dict)
}

fn tensor<'py>(py: Python<'py>, report: &TensorReport) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("name", &report.tensor.name)?;
    dict.set_item("shape", PyTuple::new(py, &report.tensor.shape)?)?;
    dict.set_item("bytes_before", report.tensor.bytes())?;
    dict.set_item("bytes_after", report.bytes)?;
    dict.set_item("seconds", report.seconds)?;
    let bits = |scheme: Option<Scheme>| scheme.map(|scheme| scheme.bits.get());
    dict.set_item("asked_bits", bits(report.wanted))?;
    dict.set_item("bits", bits(report.scheme))?;
    if let Some(sums) = report.sums {
        dict.set_item("squared_weights", sums.weights)?;
        dict.set_item("squared_values", sums.values)?;
        dict.set_item("products", sums.products)?;
        dict.set_item("squared_errors", sums.errors)?;
        dict.set_item("max_error", sums.largest)?;
    }
    Ok(dict)
}
