//! Documented in `threadwise.info`.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use threadwise::work::calibration::{self, Origin};
use threadwise::{Isa, budget, linalg, topology};

/// What this build is, what the machine has, and what calls will use. Settings that make no sense are
/// listed as problems; what is up to them is `None`.
#[pyfunction]
pub(crate) fn system(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let mut problems = Vec::new();
    let isa = Isa::current().map_err(|error| problems.push(error.to_string())).ok();
    let threads = budget::threads().map_err(|error| problems.push(error.to_string())).ok();
    let detected: Vec<&str> = Isa::detected().into_iter().map(Isa::name).collect();
    let system = PyDict::new(py);
    system.set_item("profile", if cfg!(debug_assertions) { "debug" } else { "release" })?;
    system.set_item("isa_detected", detected)?;
    system.set_item("isa_used", isa.map(Isa::name))?;
    system.set_item("kernels", isa.map(linalg::kernel_names).unwrap_or_default())?;
    let is_measured = isa.is_some_and(|isa| calibration::current(isa).1 == Origin::Measured);
    system.set_item("is_calibrated", is_measured)?;
    let file = isa.and_then(calibration::file).map(|path| path.display().to_string());
    system.set_item("calibration_file", file)?;
    system.set_item("cpus", topology::cpus())?;
    system.set_item("affinity", topology::affinity())?;
    system.set_item("quota", topology::quota())?;
    system.set_item("numa_nodes", topology::numa_nodes())?;
    system.set_item("threads", threads.map(|(threads, _)| threads))?;
    system.set_item("threads_source", threads.map(|(_, source)| source.to_string()))?;
    system.set_item("problems", problems)?;
    Ok(system)
}
