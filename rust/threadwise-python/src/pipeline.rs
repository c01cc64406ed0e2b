//! Documented in `threadwise.shard`: pipelines.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use threadwise::shard::pipeline::{self, PipelineConfig, PipelineReport};

use crate::seam::{DomainError, raise};
use crate::work::whole;

type Object<'py> = Bound<'py, PyAny>;

/// Micro-batches, elapsed seconds, seconds of work of each stage, most bytes at once, the bubble, the ideal one.
pub(crate) type Report = (usize, f64, Vec<f64>, usize, f64, f64);

/// Checks the numbers of a configuration.
#[pyfunction]
#[pyo3(signature = (num_micro_batches, memory_budget, /))]
pub(crate) fn pipeline_config(
    num_micro_batches: &Object<'_>,
    memory_budget: &Object<'_>,
) -> PyResult<(usize, usize)> {
    let number = whole("num_micro_batches", num_micro_batches, 1)?;
    Ok((number, whole("memory_budget", memory_budget, 1)?))
}

/// The number of micro-batches for a model.
#[pyfunction]
#[pyo3(signature = (layers, hidden, memory_budget, /))]
pub(crate) fn pipeline_micro_batches(
    layers: &Object<'_>,
    hidden: &Object<'_>,
    memory_budget: &Object<'_>,
) -> PyResult<usize> {
    let (layers, hidden) = (whole("layers", layers, 0)?, whole("hidden", hidden, 0)?);
    let budget = whole("memory_budget", memory_budget, 1)?;
    let config = PipelineConfig::for_model(layers, hidden, budget).map_err(raise)?;
    Ok(config.num_micro_batches())
}

/// Where each micro-batch is.
#[pyclass(frozen, module = "threadwise._threadwise")]
pub(crate) struct PipelineState(Mutex<pipeline::PipelineState<Py<PyAny>>>);

impl PipelineState {
    fn state(&self) -> MutexGuard<'_, pipeline::PipelineState<Py<PyAny>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PipelineState {
    #[new]
    #[pyo3(signature = (stages, depth, /))]
    fn new(stages: &Object<'_>, depth: &Object<'_>) -> PyResult<Self> {
        let (stages, depth) = (whole("stages", stages, 1)?, whole("depth", depth, 1)?);
        let state = pipeline::PipelineState::new(stages, depth).map_err(raise)?;
        Ok(Self(Mutex::new(state)))
    }

    fn in_flight(&self) -> usize {
        self.state().in_flight()
    }

    fn can_accept(&self) -> bool {
        self.state().can_accept()
    }

    #[pyo3(signature = (number, item, /))]
    fn push(&self, number: &Object<'_>, item: Py<PyAny>) -> PyResult<()> {
        let number = whole("micro_batch", number, 0)? as u64;
        let mut state = self.state();
        let depth = state.depth();
        let refused = state.push(number, item);
        drop(state);
        refused.map_err(|_| {
            DomainError::new_err(format!(
                "the first stage has {depth} micro-batches, expected fewer than depth, {depth}: call \
                 advance before push"
            ))
        })
    }

    /// What a stage works on, with its number.
    #[pyo3(signature = (stage, /))]
    fn at(&self, py: Python<'_>, stage: &Object<'_>) -> PyResult<Option<(u64, Py<PyAny>)>> {
        let stage = whole("stage", stage, 0)?;
        let mut state = self.state();
        Ok(state.at(stage).map(|(id, item)| (*id, item.clone_ref(py))))
    }

    /// Puts something else in the place of what a stage works on, and says whether there was anything.
    #[pyo3(signature = (stage, item, /))]
    fn replace(&self, stage: &Object<'_>, item: Py<PyAny>) -> PyResult<bool> {
        let stage = whole("stage", stage, 0)?;
        let mut state = self.state();
        let before = state.at(stage).map(|(_, place)| std::mem::replace(place, item));
        // What was there may run code of its own when it goes.
        drop(state);
        Ok(before.is_some())
    }

    fn advance(&self) -> usize {
        self.state().advance()
    }

    fn has_output(&self) -> bool {
        self.state().has_output()
    }

    fn pop(&self) -> Option<(u64, Py<PyAny>)> {
        self.state().pop()
    }
}

/// The queues between stages that are threads.
#[pyclass(frozen, module = "threadwise._threadwise")]
pub(crate) struct Line(pipeline::Line<Py<PyAny>>);

#[pymethods]
impl Line {
    #[new]
    #[pyo3(signature = (stages, depth, memory_budget, /))]
    fn new(stages: usize, depth: usize, memory_budget: usize) -> PyResult<Self> {
        pipeline::Line::new(stages, depth, memory_budget).map(Self).map_err(raise)
    }

    #[pyo3(signature = (number, item, size, /))]
    fn feed(&self, py: Python<'_>, number: u64, item: Py<PyAny>, size: usize) -> PyResult<()> {
        py.detach(|| self.0.feed(number, item, size, || false)).map_err(raise)
    }

    #[pyo3(signature = (stage, /))]
    fn take(&self, py: Python<'_>, stage: usize) -> PyResult<Option<(u64, Py<PyAny>)>> {
        py.detach(|| self.0.take(stage)).map_err(raise)
    }

    #[pyo3(signature = (stage, number, item, size, /))]
    fn give(
        &self,
        py: Python<'_>,
        stage: usize,
        number: u64,
        item: Py<PyAny>,
        size: usize,
    ) -> PyResult<()> {
        py.detach(|| self.0.give(stage, number, item, size)).map_err(raise)
    }

    #[pyo3(signature = (size, /))]
    fn has_room(&self, size: usize) -> bool {
        self.0.has_room(size)
    }

    #[pyo3(signature = (stage, /))]
    fn is_ready(&self, stage: usize) -> bool {
        self.0.is_ready(stage)
    }

    #[pyo3(signature = (queue, /))]
    fn end(&self, queue: usize) {
        self.0.end(queue);
    }

    fn stop(&self) {
        self.0.stop();
    }

    fn results(&self, py: Python<'_>) -> PyResult<Vec<(u64, Py<PyAny>)>> {
        py.detach(|| self.0.results()).map_err(raise)
    }

    fn report(&self) -> Report {
        report(&self.0.report())
    }
}

pub(crate) fn report(took: &PipelineReport) -> Report {
    let busy = took.busy.iter().map(Duration::as_secs_f64).collect();
    let (bubble, ideal) = (took.bubble(), took.ideal_bubble());
    let elapsed = took.elapsed.as_secs_f64();
    (took.micro_batches, elapsed, busy, took.peak_bytes, bubble, ideal)
}
