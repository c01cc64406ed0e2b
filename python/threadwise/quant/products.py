"""Quantized tensors as factors of `threadwise.linear`, `threadwise.matmul` and ``@``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from threadwise._threadwise import linear_quantized
from threadwise.errors import ShapeError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from threadwise.linalg import Activation
    from threadwise.work import WorkDistribution

__all__ = ["Products"]


class _Parts(Protocol):
    """The arrays of a quantized tensor, and how they are read."""

    @property
    def codes(self) -> Any: ...
    @property
    def scales(self) -> Any: ...
    @property
    def zero_points(self) -> Any: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def bits(self) -> int: ...
    @property
    def group_size(self) -> int: ...


class Products:
    """The products of a quantized tensor, for the class that has its arrays.

    `threadwise.linear` and `threadwise.matmul` call `_linear` and `_matmul` where a factor is no
    array.
    """

    __slots__ = ()

    def __matmul__(self: _Parts, x: ArrayLike) -> Any:
        """Multiply: the values of this tensor, ``@ x``, for `x` of shape (in,) or (..., in, n)."""
        return Products._matmul(self, x, None, None, None)

    def _linear(  # noqa: PLR0917 - as the binding calls it
        self: _Parts,
        x: ArrayLike,
        bias: ArrayLike | None,
        activation: Activation | None,
        activations: str | None,
        out: Any,
        threads: int | None,
        distribution: WorkDistribution | None,
    ) -> Any:
        if len(self.shape) != 2:
            raise ShapeError(
                f"weight has shape {self.shape}, expected two axes, (out_features, in_features)"
            )
        return linear_quantized(
            x,
            self.codes,
            self.scales,
            self.zero_points,
            self.shape,
            self.bits,
            None if self.group_size == -1 else self.group_size,
            bias,
            activation,
            activations,
            out,
            threads,
            distribution,
        )

    def _matmul(
        self: _Parts,
        x: ArrayLike,
        out: Any,
        threads: int | None,
        distribution: WorkDistribution | None,
    ) -> Any:
        x = np.asarray(x)
        if x.ndim < 2:
            return Products._linear(self, x, None, None, None, out, threads, distribution)
        place = out.swapaxes(-1, -2) if isinstance(out, np.ndarray) and out.ndim > 1 else out
        turned = x.swapaxes(-1, -2)
        y = Products._linear(self, turned, None, None, None, place, threads, distribution)
        return y.swapaxes(-1, -2) if out is None else out
