//! `threadwise._threadwise`: private. The public functions and their documentation are in Python.
#![forbid(unsafe_code)]

mod dequantize;
mod dtype;
mod info;
mod linalg;
mod memory;
mod model;
mod nn;
mod packed;
mod plain;
mod plan;
mod quant;
mod quantized;
mod seam;
mod threads;
mod work;

use pyo3::pymodule;

#[pymodule]
mod _threadwise {
    #[pymodule_export]
    use crate::dequantize::dequantize;
    #[pymodule_export]
    use crate::info::system;
    #[pymodule_export]
    use crate::linalg::{linear, matmul};
    #[pymodule_export]
    use crate::model::{quantize_model, weights};
    #[pymodule_export]
    use crate::nn::rms_norm;
    #[pymodule_export]
    use crate::packed::{PackedWeight, pack};
    #[pymodule_export]
    use crate::plan::{calibrate, explain_linear, explain_matmul};
    #[pymodule_export]
    use crate::quant::quantize;
    #[pymodule_export]
    use crate::quantized::linear_quantized;
    #[pymodule_export]
    use crate::threads::{get_num_threads, set_num_threads, swap_context};
    #[pymodule_export]
    use crate::work::{
        distribution, distribution_chunk, distribution_for_attention, distribution_for_matmul,
        distribution_ranges, numa_hint, reset_work_stats, work_stats,
    };
    /// The version, as Cargo writes it.
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name")]
    const version: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn begin() {
        threadwise::expect_forks();
    }
}
