"""Parallel deep learning on the CPU, from NumPy.

Rust kernels borrow NumPy arrays without copying, release Python's lock, and use threads only where
threads win. Results have the same bits for every number of threads.

Start with `matmul` and `linear`; `threads` limits what they use, `info` says what they run on.
"""

from threadwise import errors, linalg, nn
from threadwise._budget import get_num_threads, set_num_threads, threads
from threadwise._info import Info, __version__, info
from threadwise._threadpoolctl import register as _register
from threadwise.linalg import PackedWeight, linear, matmul, pack

__all__ = [
    "Info",
    "PackedWeight",
    "__version__",
    "errors",
    "get_num_threads",
    "info",
    "linalg",
    "linear",
    "matmul",
    "nn",
    "pack",
    "set_num_threads",
    "threads",
]

_register()
