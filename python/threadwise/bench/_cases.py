"""What is timed: products of given shapes, in each library, and how a result is checked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

import threadwise as tw

__all__ = ["LIBRARIES", "Case", "Library", "call", "error", "operands"]

Library: TypeAlias = Literal["threadwise", "numpy"]
LIBRARIES: tuple[Library, ...] = ("threadwise", "numpy")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A product: (m, k) by (k, n), or for ``"linear"`` (m, k) by a weight (n, k)."""

    operation: Literal["matmul", "linear"] = "matmul"
    dtype: Literal["float32", "float64"] = "float32"
    m: int
    k: int
    n: int

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.m * self.k * self.n

    def __str__(self) -> str:
        return f"{self.m} x {self.k} x {self.n}"


def operands(case: Case) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return normally distributed operands of `case`, the same each time."""
    draw = np.random.default_rng([case.m, case.k, case.n]).standard_normal
    right = (case.n, case.k) if case.operation == "linear" else (case.k, case.n)
    return draw((case.m, case.k), np.dtype(case.dtype)), draw(right, np.dtype(case.dtype))


def call(library: Library, case: Case) -> Callable[..., NDArray[Any]]:
    """Return what a user of `library` would call with the operands of `case`."""
    calls: dict[tuple[str, str], Callable[..., NDArray[Any]]] = {
        ("threadwise", "matmul"): tw.matmul,
        ("threadwise", "linear"): tw.linear,
        ("numpy", "matmul"): np.matmul,
        ("numpy", "linear"): lambda x, weight: x @ weight.T,
    }
    return calls[library, case.operation]


def error(case: Case, left: NDArray[Any], right: NDArray[Any], result: NDArray[Any]) -> float:
    r"""Return the largest error of `result`, where 1 is the most that rounding explains.

    Notes
    -----
    Rounding explains :math:`\gamma_{k + k/384 + 1} \sum_k |a_{ik} b_{kj}|`: k terms in any order,
    summed in passes, and one spare for the rounding of the result [1]_. The reference is NumPy's
    product in float64, so where `result` is float64, the reference may be as far off itself.

    References
    ----------
    .. [1] N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., 2002, section
       3.1.
    """
    if result.shape != (case.m, case.n) or result.dtype != case.dtype:
        return float("inf")
    a = left.astype(np.float64)
    b = (right.T if case.operation == "linear" else right).astype(np.float64)
    units = (case.k + case.k // 384 + 1) * float(np.finfo(case.dtype).eps) / 2
    if case.dtype == "float64":
        units *= 2
    bound = units / (1 - units) * (np.abs(a) @ np.abs(b))
    off = np.abs(result - a @ b)
    if not np.all(np.isfinite(off)):
        return float("inf")
    return float(np.max(off / bound, initial=0.0))
