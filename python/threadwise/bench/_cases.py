"""What is timed: products of given shapes, and their operands."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["DTYPES", "Case", "DType", "Which", "draw"]

DType: TypeAlias = Literal["float32", "float64", "bfloat16", "float16", "int8"]
DTYPES: tuple[DType, ...] = ("float32", "float64", "bfloat16", "float16", "int8")

Which: TypeAlias = Literal["", "a", "b", "ab"]
"""None, one, or both of the operands."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A product: (m, k) by (k, n), or for ``"linear"`` (m, k) by a weight (n, k)."""

    operation: Literal["matmul", "linear"] = "matmul"
    dtype: DType = "float32"
    m: int
    k: int
    n: int
    left: tuple[int, ...] = ()
    """The axes of a before its last two."""
    right: tuple[int, ...] = ()
    """The axes of b before its last two."""
    transposed: Which = ""
    """Operands that lie in memory as their transposes."""
    vector: Which = ""
    """Operands of one axis: a, where m is 1, and b, where n is 1."""

    def __post_init__(self) -> None:
        # As JSON brings them, they are lists.
        object.__setattr__(self, "left", tuple(self.left))
        object.__setattr__(self, "right", tuple(self.right))

    @property
    def products(self) -> int:
        """How many products of matrices it is."""
        return int(np.prod(np.broadcast_shapes(self.left, self.right), dtype=np.int64))

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.products * self.m * self.k * self.n

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the result."""
        rows = () if "a" in self.vector else (self.m,)
        columns = () if "b" in self.vector else (self.n,)
        return (*np.broadcast_shapes(self.left, self.right), *rows, *columns)

    def __str__(self) -> str:
        if self.left or self.right or self.vector:
            a = _shape((*self.left, self.m, self.k) if "a" not in self.vector else (self.k,))
            b = _shape((*self.right, self.k, self.n) if "b" not in self.vector else (self.k,))
            text = f"{a} @ {b}"
        else:
            text = f"{self.m} x {self.k} x {self.n}"
        layout = {"": "", "a": ", A.T", "b": ", B.T", "ab": ", A.T and B.T"}[self.transposed]
        return text + layout


def _shape(axes: tuple[int, ...]) -> str:
    return f"({','.join(map(str, axes))}{',' if len(axes) == 1 else ''})"


def draw(case: Case) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the operands of `case`, the same each time.

    Normally distributed; where NumPy itself has not the dtype, in float32, for a library to round.
    Integers are uniform over all that int8 holds.
    """
    random = np.random.default_rng([case.m, case.k, case.n])
    a = (*case.left, case.m, case.k)
    b = (*case.right, case.k, case.n)
    if case.operation == "linear":
        return _numbers(random, case.dtype, a), _numbers(random, case.dtype, (case.n, case.k))
    left = _laid_out(random, case.dtype, a, transposed="a" in case.transposed)
    right = _laid_out(random, case.dtype, b, transposed="b" in case.transposed)
    return (
        left.reshape(-1) if "a" in case.vector else left,
        right.reshape(-1) if "b" in case.vector else right,
    )


def _laid_out(
    random: np.random.Generator, dtype: DType, shape: tuple[int, ...], *, transposed: bool
) -> NDArray[Any]:
    if not transposed:
        return _numbers(random, dtype, shape)
    *leading, rows, columns = shape
    return _numbers(random, dtype, (*leading, columns, rows)).swapaxes(-1, -2)


def _numbers(random: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> NDArray[Any]:
    if dtype == "int8":
        return random.integers(-128, 128, shape, np.int8)
    return random.standard_normal(shape, np.float64 if dtype == "float64" else np.float32)
