# The binary. Private: the public functions, with their documentation, are in Python.

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict, final, type_check_only

import numpy as np
from numpy.typing import NDArray

from threadwise._types import ProductArray

__all__ = [
    "CausalModel",
    "KvCache",
    "Line",
    "PackedWeight",
    "PipelineState",
    "Rank",
    "aggregate",
    "attention",
    "calibrate",
    "column_extremes",
    "column_moments",
    "column_scaled",
    "count",
    "dequantize",
    "distribution",
    "distribution_chunk",
    "distribution_for_attention",
    "distribution_for_matmul",
    "distribution_ranges",
    "explain_linear",
    "explain_matmul",
    "forward_spread",
    "get_num_threads",
    "global_norm",
    "head_plan",
    "linear",
    "linear_quantized",
    "local_part",
    "matmul",
    "network_each_gradient",
    "network_forward",
    "network_gradients",
    "network_monte_carlo",
    "network_train",
    "numa_hint",
    "optimizer_step",
    "pack",
    "pipeline_config",
    "pipeline_micro_batches",
    "projection_strategy",
    "quantize",
    "quantize_model",
    "ranks",
    "reset_work_stats",
    "rms_norm",
    "rolling",
    "rope",
    "set_num_threads",
    "softmax",
    "swap_context",
    "swiglu",
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

@final
class CausalModel:
    def __new__(
        cls,
        path: str | PathLike[str],
        shape: dict[str, Any],
        quantization: dict[str, tuple[int, int, str]],
        layers: tuple[int, int] | None,
        shard: tuple[int, int],
        activations: str,
        threads: object,
        /,
    ) -> CausalModel: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def is_first(self) -> bool: ...
    @property
    def is_last(self) -> bool: ...
    def cache(self, sequences: int, max_context: int, dtype: str, /) -> KvCache: ...
    def forward(
        self,
        inputs: list[NDArray[np.int64]] | NDArray[np.float32],
        counts: list[int] | None,
        slots: list[int],
        cache: KvCache,
        rows: str,
        reduce: Callable[[NDArray[np.float32]], object] | None,
        threads: object,
        /,
    ) -> NDArray[np.float32]: ...

def forward_spread(
    parts: list[list[list[tuple[CausalModel, KvCache]]]],
    ids: list[NDArray[np.int64]],
    slots: list[int],
    rows: str,
    config: tuple[int, bool, int],
    threads: object,
    /,
) -> tuple[NDArray[np.float32], tuple[int, float, list[float], int, float, float]]: ...

@final
class KvCache:
    @property
    def nbytes(self) -> int: ...
    @property
    def sequences(self) -> int: ...
    @property
    def max_context(self) -> int: ...
    @property
    def dtype(self) -> str: ...
    def length(self, slot: int, /) -> int: ...
    def truncate(self, slot: int, length: int, /) -> None: ...
    def free(self, slot: int, /) -> None: ...

@final
class Rank:
    def rank(self) -> int: ...
    def size(self) -> int: ...
    def stop(self) -> None: ...
    def leave(self) -> None: ...
    def is_stopped(self) -> bool: ...
    def barrier(self) -> None: ...
    def broadcast(self, buf: Any, root: object, /) -> None: ...
    def send(self, buf: Any, dest: object, tag: object, /) -> None: ...
    def receive(self, buf: Any, source: object, tag: object, /) -> None: ...
    def all_gather(self, sendbuf: Any, recvbuf: Any, /) -> None: ...
    def all_reduce(self, sendbuf: object, recvbuf: object, /) -> None: ...
    def split(self, color: object, key: object, /) -> Rank: ...

@final
class PipelineState:
    def __new__(cls, stages: object, depth: object, /) -> PipelineState: ...
    def in_flight(self) -> int: ...
    def can_accept(self) -> bool: ...
    def push(self, number: object, item: object, /) -> None: ...
    def at(self, stage: object, /) -> tuple[int, Any] | None: ...
    def replace(self, stage: object, item: object, /) -> bool: ...
    def advance(self) -> int: ...
    def has_output(self) -> bool: ...
    def pop(self) -> tuple[int, Any] | None: ...

@final
class Line:
    def __new__(cls, stages: int, depth: int, memory_budget: int, /) -> Line: ...
    def feed(self, number: int, item: object, size: int, /) -> None: ...
    def take(self, stage: int, /) -> tuple[int, Any] | None: ...
    def give(self, stage: int, number: int, item: object, size: int, /) -> None: ...
    def has_room(self, size: int, /) -> bool: ...
    def is_ready(self, stage: int, /) -> bool: ...
    def end(self, queue: int, /) -> None: ...
    def stop(self) -> None: ...
    def results(self) -> list[tuple[int, Any]]: ...
    def report(self) -> tuple[int, float, list[float], int, float, float]: ...

def ranks(size: object, /) -> list[Rank]: ...
def count(name: str, given: object, /) -> int: ...
def local_part(world_size: object, rank: object, n: object, /) -> tuple[int, int]: ...
def projection_strategy(name: str, /) -> str: ...
def head_plan(
    heads: object, kv_heads: object, world_size: object, rank: object, /
) -> tuple[tuple[int, int], tuple[int, int], list[tuple[int, int, int]]]: ...
def pipeline_config(num_micro_batches: object, memory_budget: object, /) -> tuple[int, int]: ...
def pipeline_micro_batches(layers: object, hidden: object, memory_budget: object, /) -> int: ...
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
def attention(
    q: object,
    k: object,
    v: object,
    causal: object,
    window: object,
    scale: object,
    out: object,
    threads: object,
    /,
) -> Any: ...
def rope(
    x: object,
    positions: object,
    theta: object,
    scaling: tuple[str, list[Any]] | None,
    out: object,
    threads: object,
    /,
) -> Any: ...
def swiglu(gate: object, up: object, out: object, threads: object, /) -> Any: ...
def softmax(x: object, out: object, threads: object, /) -> Any: ...
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
def work_stats() -> list[tuple[str, int, int, int, int, float, float]]: ...
def reset_work_stats() -> None: ...
def aggregate(
    sources: list[NDArray[Any]],
    weights: list[float],
    factor: float,
    out: object,
    threads: object,
    /,
) -> Any: ...
def global_norm(gradients: list[NDArray[Any]], threads: object, /) -> float: ...
def optimizer_step(
    parameters: list[NDArray[Any]],
    states: list[list[NDArray[Any]]],
    gradients: list[list[NDArray[Any]]],
    weights: list[float],
    factor: float,
    clip: float | None,
    settings: tuple[str, list[float], bool, int],
    threads: object,
    /,
) -> float | None: ...
def network_forward(
    description: tuple[list[int], str, list[float], int],
    parameters: list[NDArray[Any]],
    x: object,
    sample: tuple[int, int, int] | None,
    out: object,
    threads: object,
    /,
) -> Any: ...
def network_gradients(
    description: tuple[list[int], str, list[float], int],
    parameters: list[NDArray[Any]],
    x: object,
    wanted: tuple[Any, bool, str, float],
    threads: object,
    /,
) -> tuple[float, list[NDArray[Any]]]: ...
def network_each_gradient(
    description: tuple[list[int], str, list[float], int],
    parameters: list[NDArray[Any]],
    x: object,
    wanted: tuple[Any, bool, str, float],
    threads: object,
    /,
) -> list[NDArray[Any]]: ...
def network_train(
    description: tuple[list[int], str, list[float], int],
    parameters: list[NDArray[Any]],
    states: list[list[NDArray[Any]]],
    x: object,
    wanted: tuple[Any, bool, str, float],
    steps: tuple[
        NDArray[Any] | None,
        int,
        tuple[str, list[float], bool, int],
        list[float],
        float | None,
        int,
    ],
    threads: object,
    /,
) -> list[float]: ...
def network_monte_carlo(
    description: tuple[list[int], str, list[float], int],
    parameters: list[NDArray[Any]],
    x: object,
    samples: int,
    seed: int,
    first_row: int,
    threads: object,
    /,
) -> Any: ...
def column_moments(
    x: object, threads: object, /
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[bool], int]: ...
def column_extremes(
    x: object, threads: object, /
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]: ...
def column_scaled(
    x: object, shift: list[float], scale: list[float], threads: object, /
) -> tuple[NDArray[Any], int]: ...
def rolling(
    x: object, size: int, statistic: str, ddof: int, threads: object, /
) -> tuple[NDArray[Any], int, int]: ...
