//! Documented in `threadwise.plan`.

use std::cell::RefCell;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use threadwise::linalg::{Explanation, WORTH_DETACHING};
use threadwise::work::calibration::{self, Origin};
use threadwise::work::{Choice, Machine, measure};
use threadwise::{Context, Error, Isa, budget};

use crate::linalg::{Shares, layer, product};
use crate::quantized::refuse_activations;
use crate::seam::{compute, raise, threads_argument};
use crate::work::distribution_argument;

type Object<'py> = Bound<'py, PyAny>;

/// A plan as Python takes it: kernel, threads, chunks, seconds on one thread and on the best number of
/// more, seconds that sharing costs, the reason, and whether the machine was measured.
type Found = (String, usize, usize, f64, f64, f64, String, bool);

/// Asked of an operation in place of its result.
#[derive(Default)]
pub(crate) struct Question(RefCell<Option<Found>>);

impl Question {
    /// Notes what the operation, which does so many multiply-adds, would do.
    pub(crate) fn answer(
        &self,
        shares: Shares<'_, '_>,
        multiply_adds: usize,
        explain: impl FnOnce(&Context<'_>) -> Result<Explanation, Error>,
    ) -> PyResult<()> {
        let allowed = match threads_argument(shares.threads)? {
            Some(threads) => threads.get(),
            None => budget::threads().map_err(raise)?.0,
        };
        // As `compute` has it.
        let is_short = multiply_adds < WORTH_DETACHING;
        let threads = if is_short { 1 } else { allowed };
        let alone = Context::alone(Isa::current().map_err(raise)?);
        let distribution = shares.distribution;
        let found = explain(&Context { threads, distribution, ..alone }).map_err(raise)?;
        let reason = if is_short && allowed > 1 {
            let serial = found.choice.serial * 1e6;
            format!("1 thread: {serial:.1} us of work, which is too little to be shared")
        } else {
            found.reason()
        };
        let (threads, is_measured) = (found.threads(), found.origin == Origin::Measured);
        let Explanation { kernel, chunks, choice, .. } = found;
        let Choice { serial, parallel, dispatch, .. } = choice;
        let found = (kernel, threads, chunks, serial, parallel, dispatch, reason, is_measured);
        self.0.replace(Some(found));
        Ok(())
    }

    fn found(self) -> PyResult<Found> {
        // Every operation that is asked answers.
        self.0.into_inner().ok_or_else(|| PyRuntimeError::new_err("there is no plan"))
    }
}

/// What `matmul` would do.
#[pyfunction]
#[pyo3(signature = (a, b, out, threads, distribution, /))]
pub(crate) fn explain_matmul<'py>(
    py: Python<'py>,
    a: &Object<'py>,
    b: &Object<'py>,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
    distribution: Option<&Object<'py>>,
) -> PyResult<Found> {
    let (question, distribution) = (Question::default(), distribution_argument(distribution)?);
    product(py, a, b, out, Shares { threads, distribution, question: Some(&question) })?;
    question.found()
}

/// What `linear` would do.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "an operation has as many arguments as it has")]
#[pyo3(signature = (x, weight, bias, activation, activations, out, threads, distribution, /))]
pub(crate) fn explain_linear<'py>(
    py: Python<'py>,
    x: &Object<'py>,
    weight: &Object<'py>,
    bias: Option<&Object<'py>>,
    activation: Option<&Object<'py>>,
    activations: Option<&Object<'py>>,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
    distribution: Option<&Object<'py>>,
) -> PyResult<Found> {
    let (question, distribution) = (Question::default(), distribution_argument(distribution)?);
    let shares = Shares { threads, distribution, question: Some(&question) };
    layer(py, x, weight, bias, activation, out, shares)?;
    refuse_activations(activations)?;
    question.found()
}

/// Constants of a machine by name, whether they were measured, the file in which they are kept, and what
/// went wrong when it was written.
type Constants = (Vec<(&'static str, f64)>, bool, Option<String>, Option<String>);

/// Measures the machine, unless that is switched off, and keeps the result.
#[pyfunction]
#[pyo3(signature = (threads, /))]
pub(crate) fn calibrate(py: Python<'_>, threads: Option<&Object<'_>>) -> PyResult<Constants> {
    let isa = Isa::current().map_err(raise)?;
    if calibration::is_off() {
        threads_argument(threads)?;
        return Ok((constants(calibration::current(isa).0), false, None, None));
    }
    let machine = compute(py, threads, usize::MAX, measure)?;
    let (file, problem) = match calibration::keep(isa, machine) {
        Ok(path) => (Some(path.display().to_string()), None),
        Err(error) => (None, Some(error.to_string())),
    };
    Ok((constants(machine), true, file, problem))
}

fn constants(machine: Machine) -> Vec<(&'static str, f64)> {
    let Machine {
        float32,
        float64,
        bfloat16,
        float16,
        int8,
        near_bytes,
        shared_bytes,
        near,
        shared,
        memory,
        compute_gain,
        memory_gain,
        hot,
        parked,
    } = machine;
    vec![
        ("float32", float32),
        ("float64", float64),
        ("bfloat16", bfloat16),
        ("float16", float16),
        ("int8", int8),
        ("near_bytes", near_bytes),
        ("shared_bytes", shared_bytes),
        ("near", near),
        ("shared", shared),
        ("memory", memory),
        ("compute_gain", compute_gain),
        ("memory_gain", memory_gain),
        ("hot", hot),
        ("parked", parked),
    ]
}
