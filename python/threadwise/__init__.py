"""Parallel deep learning on the CPU, from NumPy.

Rust kernels borrow NumPy arrays without copying, release Python's lock, and use threads only where
threads win. Results have the same bits for every number of threads.

Start with `matmul` and `linear`; `threads` limits what they use, `info` says what they run on.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from threadwise import _threadwise, errors, linalg, nn
from threadwise._budget import get_num_threads, set_num_threads, threads
from threadwise._threadpoolctl import register as _register
from threadwise.linalg import PackedWeight, linear, matmul, pack

if _TYPE_CHECKING:
    from threadwise import (
        data,
        inference,
        models,
        parallel,
        plan,
        quant,
        samples,
        scaling,
        shard,
        train,
        work,
        workflows,
    )
    from threadwise._info import Info, info
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
    "data",
    "errors",
    "explain",
    "get_num_threads",
    "inference",
    "info",
    "linalg",
    "linear",
    "matmul",
    "models",
    "nn",
    "pack",
    "parallel",
    "plan",
    "quant",
    "reset_work_stats",
    "samples",
    "scaling",
    "set_num_threads",
    "shard",
    "threads",
    "train",
    "work",
    "work_stats",
    "workflows",
]

# Cargo writes 0.1.0-dev0 where Python packages write 0.1.0.dev0.
__version__: str = _threadwise.version.replace("-", ".")

_LATE: dict[str, tuple[str, ...]] = {
    "_info": ("Info", "info"),
    "data": (),
    "inference": (),
    "models": (),
    "parallel": (),
    "plan": ("Calibration", "Measured", "Plan", "calibrate", "explain"),
    "quant": (),
    "samples": (),
    "scaling": (),
    "shard": (),
    "train": (),
    "work": ("NumaHint", "WorkDistribution", "WorkStats", "reset_work_stats", "work_stats"),
    "workflows": (),
}
"""What is imported when it is first asked for, so that most programs need not wait for it."""


def __getattr__(name: str) -> _Any:
    for module, names in _LATE.items():
        if name == module or name in names:
            found = _import_module(f"threadwise.{module}")
            globals().update({each: getattr(found, each) for each in names})
            return found if name == module else getattr(found, name)
    raise AttributeError(f"module 'threadwise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_register()
