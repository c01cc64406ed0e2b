//! `threadwise._threadwise`: private. The public functions and their documentation are in Python.
#![forbid(unsafe_code)]

mod causal;
mod columns;
mod dequantize;
mod dtype;
mod info;
mod linalg;
mod memory;
mod model;
mod nn;
mod operand;
mod packed;
mod pipeline;
mod plain;
mod plan;
mod quant;
mod quantized;
mod ranks;
mod seam;
mod spread;
mod threads;
mod train;
mod work;

use pyo3::pymodule;

#[pymodule]
mod _threadwise {
    #[pymodule_export]
    use crate::causal::{CausalModel, KvCache};
    #[pymodule_export]
    use crate::columns::{column_extremes, column_moments, column_scaled, rolling};
    #[pymodule_export]
    use crate::dequantize::dequantize;
    #[pymodule_export]
    use crate::info::system;
    #[pymodule_export]
    use crate::linalg::{linear, matmul};
    #[pymodule_export]
    use crate::model::{quantize_model, weights};
    #[pymodule_export]
    use crate::nn::{attention, rms_norm, rope, softmax, swiglu};
    #[pymodule_export]
    use crate::packed::{PackedWeight, pack};
    #[pymodule_export]
    use crate::pipeline::{Line, PipelineState, pipeline_config, pipeline_micro_batches};
    #[pymodule_export]
    use crate::plan::{calibrate, explain_linear, explain_matmul};
    #[pymodule_export]
    use crate::quant::quantize;
    #[pymodule_export]
    use crate::quantized::linear_quantized;
    #[pymodule_export]
    use crate::ranks::{Rank, count, head_plan, local_part, projection_strategy, ranks};
    #[pymodule_export]
    use crate::spread::forward_spread;
    #[pymodule_export]
    use crate::threads::{get_num_threads, set_num_threads, swap_context};
    #[pymodule_export]
    use crate::train::{
        aggregate, global_norm, network_each_gradient, network_forward, network_gradients,
        network_monte_carlo, network_train, optimizer_step,
    };
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
