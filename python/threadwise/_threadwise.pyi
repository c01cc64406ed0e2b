# The binary. Private: the public functions, with their documentation, are in Python.

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict, final, type_check_only

import numpy as np

from threadwise._types import ProductArray

__all__ = [
    "PackedWeight",
    "calibrate",
    "dequantize",
    "distribution",
    "distribution_chunk",
    "distribution_for_attention",
    "distribution_for_matmul",
    "distribution_ranges",
    "explain_linear",
    "explain_matmul",
    "get_num_threads",
    "linear",
    "linear_quantized",
    "matmul",
    "numa_hint",
    "pack",
    "quantize",
    "quantize_model",
    "reset_work_stats",
    "rms_norm",
    "set_num_threads",
    "swap_context",
    "system",
    "version",
    "weights",
    "work_stats",
]

version: str

@type_check_only
class System(TypedDict):
    profile: str
    isa_detected: list[str]
    isa_used: str | None
    kernels: list[str]
    is_calibrated: bool
    calibration_file: str | None
    cpus: int
    affinity: int
    quota: float | None
    numa_nodes: int
    threads: int | None
    threads_source: str | None
    problems: list[str]

@final
class PackedWeight:
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def nbytes(self) -> int: ...
    def unpack(self) -> ProductArray: ...
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> ProductArray: ...
    def __reduce__(self) -> tuple[Any, tuple[ProductArray]]: ...
    def __eq__(self, other: object, /) -> bool: ...

def explain_matmul(
    a: object, b: object, out: object, threads: object, distribution: object, /
) -> tuple[str, int, int, float, float, float, str, bool]: ...
def explain_linear(
    x: object,
    weight: object,
    bias: object,
    activation: object,
    activations: object,
    out: object,
    threads: object,
    distribution: object,
    /,
) -> tuple[str, int, int, float, float, float, str, bool]: ...
def calibrate(
    threads: object, /
) -> tuple[list[tuple[str, float]], bool, str | None, str | None]: ...
def pack(weight: object, threads: object, /) -> PackedWeight: ...
def matmul(a: object, b: object, out: object, threads: object, cut: object, /) -> Any: ...
def linear(
    x: object,
    weight: object,
    bias: object,
    activation: object,
    activations: object,
    out: object,
    threads: object,
    distribution: object,
    /,
) -> Any: ...
def linear_quantized(
    x: object,
    codes: object,
    scales: object,
    zeros: object,
    shape: object,
    bits: object,
    group_size: object,
    bias: object,
    activation: object,
    activations: object,
    out: object,
    threads: object,
    distribution: object,
    /,
) -> Any: ...
def quantize(
    weight: object,
    bits: int,
    group_size: int | None,
    zero_point: str,
    method: str,
    importance: object,
    threads: object,
    /,
) -> tuple[Any, Any, Any]: ...
def dequantize(
    codes: object,
    scales: object,
    zeros: object,
    shape: tuple[int, ...],
    bits: int,
    group_size: int | None,
    dtype: str,
    out: object,
    threads: object,
    /,
) -> Any: ...
def rms_norm(x: object, weight: object, eps: object, out: object, threads: object, /) -> Any: ...
def weights(
    path: str | PathLike[str], /
) -> list[tuple[Path, int, dict[str, str], list[tuple[str, str, tuple[int, ...], int, int]]]]: ...
def quantize_model(
    source: str | PathLike[str],
    target: str | PathLike[str],
    wishes: dict[str, tuple[int, int, str, str]],
    min_cosine: float,
    fail_fast: bool,
    threads: object,
    streaming: bool,
    max_memory: int | None,
    overwrite: bool,
    resume: bool | None,
    progress: Callable[[dict[str, Any]], object],
    /,
) -> dict[str, Any]: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: object, /) -> None: ...
def swap_context(threads: object, /) -> int | None: ...
def system() -> System: ...
def distribution(
    min_chunk: object,
    max_chunk: object,
    tasks_per_thread: object,
    numa: object,
    cache_line: object,
    /,
) -> tuple[int, int, int, int]: ...
def distribution_for_matmul(
    rows: object, cols: object, threads: object, /
) -> tuple[int, int, int, int]: ...
def distribution_for_attention(
    heads: object, seq: object, threads: object, /
) -> tuple[int, int, int, int]: ...
def distribution_chunk(distribution: object, total: object, threads: object, /) -> int: ...
def distribution_ranges(
    distribution: object, total: object, threads: object, itemsize: object, /
) -> list[tuple[int, int]]: ...
def numa_hint(policy: object, node: object, pin: object, /) -> tuple[str, int | None, bool]: ...
def work_stats() -> list[tuple[str, int, int, int, float, float]]: ...
def reset_work_stats() -> None: ...
