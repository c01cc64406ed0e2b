//! Documented in `threadwise._budget`.

use std::num::NonZeroUsize;

use pyo3::prelude::*;
use threadwise::budget;

use crate::seam::{self, threads_argument};

/// The number of threads that a call from this thread may use.
#[pyfunction]
pub(crate) fn get_num_threads() -> PyResult<usize> {
    let (threads, _) = budget::threads().map_err(seam::raise)?;
    Ok(threads)
}

/// Sets the number for the process; `None` returns to the default.
#[pyfunction]
#[pyo3(signature = (threads, /))]
pub(crate) fn set_num_threads(threads: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    budget::set_process(threads_argument(threads)?);
    Ok(())
}

/// Sets the number for this thread and returns what it was, `None` for unset.
#[pyfunction]
#[pyo3(signature = (threads, /))]
pub(crate) fn swap_context(threads: Option<&Bound<'_, PyAny>>) -> PyResult<Option<usize>> {
    Ok(budget::swap_context(threads_argument(threads)?).map(NonZeroUsize::get))
}
