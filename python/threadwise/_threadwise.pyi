# The binary. Private: the public functions, with their documentation, are in Python.

from typing import Any, TypedDict, final, type_check_only

import numpy as np

from threadwise._types import FloatArray

__all__ = [
    "PackedWeight",
    "get_num_threads",
    "linear",
    "matmul",
    "pack",
    "rms_norm",
    "set_num_threads",
    "swap_context",
    "system",
    "version",
]

version: str

@type_check_only
class System(TypedDict):
    profile: str
    isa_detected: list[str]
    isa_used: str | None
    kernels: list[str]
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
    def unpack(self) -> FloatArray: ...
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> FloatArray: ...
    def __reduce__(self) -> tuple[Any, tuple[FloatArray]]: ...
    def __eq__(self, other: object, /) -> bool: ...

def pack(weight: object, threads: object, /) -> PackedWeight: ...
def matmul(a: object, b: object, out: object, threads: object, /) -> Any: ...
def linear(
    x: object,
    weight: object,
    bias: object,
    activation: object,
    out: object,
    threads: object,
    /,
) -> Any: ...
def rms_norm(x: object, weight: object, eps: object, out: object, threads: object, /) -> Any: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: object, /) -> None: ...
def swap_context(threads: object, /) -> int | None: ...
def system() -> System: ...
