"""Networks spread over ranks, which share layers, and over stages, one behind the other.

`TensorParallelConfig` says which part of a weight a rank has, `HeadPlan` which heads of attention.
A `Communicator` is what ranks speak through: `ThreadComm`, whose ranks are threads of this process,
`SelfComm`, or mpi4py's. `column_parallel_linear` and the functions after it are layers that ranks
compute together. `Pipeline` has stages that work at the same time. `ParallelConfig` unites it all.
"""

from threadwise.shard._attention import attention_parallel
from threadwise.shard._communicator import Communicator, SelfComm, ThreadComm
from threadwise.shard._layers import (
    all_reduce_sum,
    all_reduce_sum_inplace,
    column_parallel_linear,
    mlp_tensor_parallel,
    row_parallel_linear,
)
from threadwise.shard._parallel import ParallelConfig
from threadwise.shard._pipeline import Pipeline, PipelineConfig, PipelineReport, PipelineState
from threadwise.shard._split import HeadPlan, TensorParallelConfig, TensorParallelStrategy

__all__ = [
    "Communicator",
    "HeadPlan",
    "ParallelConfig",
    "Pipeline",
    "PipelineConfig",
    "PipelineReport",
    "PipelineState",
    "SelfComm",
    "TensorParallelConfig",
    "TensorParallelStrategy",
    "ThreadComm",
    "all_reduce_sum",
    "all_reduce_sum_inplace",
    "attention_parallel",
    "column_parallel_linear",
    "mlp_tensor_parallel",
    "row_parallel_linear",
]
