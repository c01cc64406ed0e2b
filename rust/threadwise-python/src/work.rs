//! Documented in `threadwise.work`.

use pyo3::exceptions::PyRuntimeWarning;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyList, PyType};
use std::ffi::CString;
use threadwise::budget;
use threadwise::work::{self, Hint, Policy, WorkDistribution, pin, stats};

use crate::seam::{DTypeError, DomainError, raise, threads_argument};

type Object<'py> = Bound<'py, PyAny>;

/// The numbers of a distribution as Python keeps them: its least and most, tasks a thread, the cache line.
type Numbers = (usize, usize, usize, usize);

/// Checks the options of a distribution.
#[pyfunction]
#[pyo3(signature = (min_chunk, max_chunk, tasks_per_thread, numa, cache_line, /))]
pub(crate) fn distribution(
    min_chunk: &Object<'_>,
    max_chunk: &Object<'_>,
    tasks_per_thread: &Object<'_>,
    numa: &Object<'_>,
    cache_line: &Object<'_>,
) -> PyResult<Numbers> {
    let made = WorkDistribution::new(
        whole("min_chunk", min_chunk, 1)?,
        whole("max_chunk", max_chunk, 1)?,
        whole("tasks_per_thread", tasks_per_thread, 1)?,
        hint("numa", numa)?,
        whole("cache_line", cache_line, 1)?,
    );
    Ok(numbers(made.map_err(raise)?))
}

/// Checks the options of a hint.
#[pyfunction]
#[pyo3(signature = (policy, node, pin, /))]
pub(crate) fn numa_hint(
    policy: &Object<'_>,
    node: Option<&Object<'_>>,
    pin: &Object<'_>,
) -> PyResult<(&'static str, Option<usize>, bool)> {
    let hint = hint_of(policy, node, pin)?;
    let name = if hint.policy == Policy::Interleaved { "interleaved" } else { "local" };
    Ok((name, hint.policy.node(), hint.pin))
}

/// The numbers for the rows of a matrix.
#[pyfunction]
#[pyo3(signature = (rows, cols, threads, /))]
pub(crate) fn distribution_for_matmul(
    rows: &Object<'_>,
    cols: &Object<'_>,
    threads: Option<&Object<'_>>,
) -> PyResult<Numbers> {
    let (rows, cols) = (whole("rows", rows, 0)?, whole("cols", cols, 0)?);
    Ok(numbers(WorkDistribution::for_matmul(rows, cols, threads_of(threads)?)))
}

/// The numbers for the heads of attention.
#[pyfunction]
#[pyo3(signature = (heads, seq, threads, /))]
pub(crate) fn distribution_for_attention(
    heads: &Object<'_>,
    seq: &Object<'_>,
    threads: Option<&Object<'_>>,
) -> PyResult<Numbers> {
    let (heads, seq) = (whole("heads", heads, 0)?, whole("seq", seq, 0)?);
    Ok(numbers(WorkDistribution::for_attention(heads, seq, threads_of(threads)?)))
}

/// How long a piece should be.
#[pyfunction]
#[pyo3(signature = (distribution, total, threads, /))]
pub(crate) fn distribution_chunk(
    distribution: &Object<'_>,
    total: &Object<'_>,
    threads: Option<&Object<'_>>,
) -> PyResult<usize> {
    let total = whole("total", total, 0)?;
    Ok(distribution_of(distribution)?.chunk(total, threads_of(threads)?))
}

/// The pieces.
#[pyfunction]
#[pyo3(signature = (distribution, total, threads, itemsize, /))]
pub(crate) fn distribution_ranges<'py>(
    py: Python<'py>,
    distribution: &Object<'py>,
    total: &Object<'py>,
    threads: Option<&Object<'py>>,
    itemsize: Option<&Object<'py>>,
) -> PyResult<Bound<'py, PyList>> {
    let total = whole("total", total, 0)?;
    let distribution = distribution_of(distribution)?;
    let itemsize = itemsize.map(|itemsize| whole("itemsize", itemsize, 1)).transpose()?;
    let unit = itemsize.map_or(1, |itemsize| distribution.line(itemsize));
    let pieces = distribution.ranges(total, threads_of(threads)?, unit);
    PyList::new(py, pieces.map(|piece| (piece.start, piece.end)))
}

/// For the caller, then for each worker: name, pieces made, done at home and stolen, parts taken, seconds busy and idle.
#[pyfunction]
pub(crate) fn work_stats() -> Vec<(String, u64, u64, u64, u64, f64, f64)> {
    let row = |of: stats::WorkerStats| {
        let (busy, idle) = (of.busy.as_secs_f64(), of.idle.as_secs_f64());
        (of.name, of.created, of.home, of.stolen, of.taken, busy, idle)
    };
    stats::snapshot().into_iter().map(row).collect()
}

/// Counts from now on.
#[pyfunction]
pub(crate) fn reset_work_stats() {
    stats::reset();
}

/// The argument `distribution` of an operation, whose hint must make sense for the calling thread.
pub(crate) fn distribution_argument(
    given: Option<&Object<'_>>,
) -> PyResult<Option<WorkDistribution>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let Some(given) = given else { return Ok(None) };
    if !given.is_instance(CLASS.import(given.py(), "threadwise.work", "WorkDistribution")?)? {
        return Err(unexpected("distribution", given, "a WorkDistribution or None"));
    }
    let distribution = distribution_of(given)?;
    if let Some(hint) = distribution.numa() {
        work::places(hint, 1).map_err(raise)?;
    }
    Ok(Some(distribution))
}

/// Says once if a worker could not be kept where the hint wants it.
pub(crate) fn warn_if_unpinned(
    py: Python<'_>,
    distribution: Option<WorkDistribution>,
) -> PyResult<()> {
    let pins = distribution.and_then(|distribution| distribution.numa()).is_some_and(|h| h.pin);
    let Some(failure) = pins.then(pin::failure).flatten() else { return Ok(()) };
    let sentence = format!("pin=True of a NumaHint has no effect: {failure}");
    let sentence = CString::new(sentence).unwrap_or_default();
    PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &sentence, 2)
}

fn numbers(of: WorkDistribution) -> Numbers {
    (of.min_chunk(), of.max_chunk(), of.tasks_per_thread(), of.cache_line())
}

fn distribution_of(given: &Object<'_>) -> PyResult<WorkDistribution> {
    let py = given.py();
    let made = WorkDistribution::new(
        whole("min_chunk", &given.getattr(intern!(py, "min_chunk"))?, 1)?,
        whole("max_chunk", &given.getattr(intern!(py, "max_chunk"))?, 1)?,
        whole("tasks_per_thread", &given.getattr(intern!(py, "tasks_per_thread"))?, 1)?,
        hint("numa", &given.getattr(intern!(py, "numa"))?)?,
        whole("cache_line", &given.getattr(intern!(py, "cache_line"))?, 1)?,
    );
    made.map_err(raise)
}

fn hint(name: &str, given: &Object<'_>) -> PyResult<Option<Hint>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = given.py();
    if given.is_none() {
        return Ok(None);
    }
    if !given.is_instance(CLASS.import(py, "threadwise.work", "NumaHint")?)? {
        return Err(unexpected(name, given, "a NumaHint or None"));
    }
    let node = given.getattr(intern!(py, "node"))?;
    let node = (!node.is_none()).then_some(&node);
    let (policy, pin) = (given.getattr(intern!(py, "policy"))?, given.getattr(intern!(py, "pin"))?);
    hint_of(&policy, node, &pin).map(Some)
}

fn hint_of(policy: &Object<'_>, node: Option<&Object<'_>>, pin: &Object<'_>) -> PyResult<Hint> {
    const POLICIES: &str = "'local' or 'interleaved'";
    let Ok(name) = policy.extract::<String>() else {
        return Err(unexpected("policy", policy, POLICIES));
    };
    let node = node.map(|node| whole("node", node, 0)).transpose()?;
    let policy = match (name.as_str(), node) {
        ("local", node) => Policy::Local(node),
        ("interleaved", None) => Policy::Interleaved,
        ("interleaved", Some(node)) => {
            let sentence = format!("node is {node}, expected None: interleaved means all nodes");
            return Err(DomainError::new_err(sentence));
        }
        _ => {
            let sentence = format!("policy is {}, expected {POLICIES}", policy.repr()?);
            return Err(DomainError::new_err(sentence));
        }
    };
    let Ok(flag) = pin.cast::<PyBool>() else {
        return Err(unexpected("pin", pin, "True or False"));
    };
    Ok(Hint { policy, pin: flag.is_true() })
}

/// A number of threads, by default the calling thread's budget.
fn threads_of(given: Option<&Object<'_>>) -> PyResult<usize> {
    match threads_argument(given)? {
        Some(threads) => Ok(threads.get()),
        None => Ok(budget::threads().map_err(raise)?.0),
    }
}

/// A whole number, at least `least`, that a length can be.
pub(crate) fn whole(name: &str, given: &Object<'_>, least: usize) -> PyResult<usize> {
    let most = isize::MAX.unsigned_abs();
    let expected = || format!("a whole number from {least} to {most}");
    if !given.hasattr(intern!(given.py(), "__index__"))? || given.is_instance_of::<PyBool>() {
        return Err(unexpected(name, given, &expected()));
    }
    match given.extract::<usize>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => {
            let sentence = format!("{name} is {}, expected {}", given.repr()?, expected());
            Err(DomainError::new_err(sentence))
        }
    }
}

/// The exception for an argument of another type than the expected one.
pub(crate) fn unexpected(name: &str, given: &Object<'_>, expected: &str) -> PyErr {
    let sentence = || -> PyResult<String> {
        let kind = given.get_type();
        Ok(format!("{name} is {} (a {}), expected {expected}", given.repr()?, kind.name()?))
    };
    sentence().map_or_else(|error| error, DTypeError::new_err)
}
