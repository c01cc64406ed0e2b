"""Parallel deep learning on the CPU, from NumPy.

Rust kernels borrow NumPy arrays without copying, release Python's lock, and use threads only where
threads win. Results have the same bits for every number of threads.

Start with `matmul` and `linear`; `threads` limits what they use, `info` says what they run on.
"""

from threadwise import errors, linalg, nn, plan, work
from threadwise._budget import get_num_threads, set_num_threads, threads
from threadwise._info import Info, __version__, info
from threadwise._threadpoolctl import register as _register
from threadwise.linalg import PackedWeight, linear, matmul, pack
from threadwise.plan import Calibration, Measured, Plan, calibrate, explain
from threadwise.work import (
    NumaHint,
    WorkDistribution,
    WorkStats,
    reset_work_stats,
    work_stats,
)

__all__ = [
    "Calibration",
    "Info",
    "Measured",
    "NumaHint",
    "PackedWeight",
    "Plan",
    "WorkDistribution",
    "WorkStats",
    "__version__",
    "calibrate",
    "errors",
    "explain",
    "get_num_threads",
    "info",
    "linalg",
    "linear",
    "matmul",
    "nn",
    "pack",
    "plan",
    "reset_work_stats",
    "set_num_threads",
    "threads",
    "work",
    "work_stats",
]

_register()
