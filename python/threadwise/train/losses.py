"""Losses by name, and their values of outputs that are there."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from threadwise.errors import DomainError, DTypeError, ShapeError

__all__ = ["NAMES", "Huber", "LossLike", "Wanted", "value", "wanted"]

NAMES = ("cross_entropy", "mse", "huber", "bce")
"""The losses that have names."""


@dataclass(frozen=True)
class Huber:
    """The Huber loss: half the square of an error up to `delta`, linear beyond.

    It is the mean over rows and outputs; ``"huber"`` is the same with 1. P. J. Huber, Ann. Math.
    Statist. 35, 1964.
    """

    delta: float = 1.0
    """Where the square ends; positive, in the unit of the outputs."""

    def __post_init__(self) -> None:
        if not (self.delta > 0 and np.isfinite(self.delta)):
            raise DomainError(f"delta is {self.delta}, expected a positive and finite number")


LossLike = str | Huber | None


class Wanted(NamedTuple):
    """A target, whether it is labels, and the loss by its name and number."""

    y: NDArray[Any]
    labeled: bool
    loss: str
    delta: float


def wanted(y: ArrayLike, loss: LossLike, outputs: int, dtype: np.dtype[Any]) -> Wanted:
    """Return what `y` and `loss` say that outputs should be.

    Whole numbers are labels for cross entropy, and numbers of `dtype` for the other losses.
    """
    y = np.asarray(y)
    whole = y.dtype.kind in "iub"
    if loss is None:
        loss = "cross_entropy" if whole and y.ndim == 1 else "mse"
    name, delta = ("huber", loss.delta) if isinstance(loss, Huber) else (loss, 1.0)
    if name not in NAMES:
        known = ", ".join(repr(name) for name in NAMES)
        raise DomainError(f"loss is {name!r}, expected one of {known}, a Huber(delta) or None")
    if name == "cross_entropy" and whole and y.ndim == 1:
        return Wanted(y.astype(np.int64, copy=False), True, name, delta)
    if not whole and (y.dtype.kind != "f" or y.dtype.itemsize > dtype.itemsize):
        raise DTypeError(
            f"y has dtype {y.dtype}, expected {dtype} like the model, or whole numbers: nothing is "
            f"cast silently, pass y.astype({dtype.name!r})"
        )
    values = y.astype(dtype, copy=False)
    if outputs == 1 and values.ndim == 1:
        values = values[:, np.newaxis]
    if values.ndim != 2 or values.shape[1] != outputs:
        raise ShapeError(
            f"y has shape {y.shape}, expected (rows, {outputs}), a number for each output"
            + (", or (rows,), labels of an integer dtype" if name == "cross_entropy" else "")
        )
    return Wanted(np.ascontiguousarray(values), False, name, delta)


def value(outputs: NDArray[Any], target: Wanted) -> float:
    """Return the mean loss of outputs, in float64: what `MLP.gradients` says of them, too."""
    z = outputs.astype(np.float64)
    if target.loss == "cross_entropy":
        shifted = z - z.max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        if target.labeled:
            return float(-np.mean(np.take_along_axis(logs, target.y[:, np.newaxis], axis=1)))
        return float(-np.mean(np.sum(target.y * logs, axis=1)))
    d = z - target.y
    if target.loss == "mse":
        return float(np.mean(d * d))
    if target.loss == "huber":
        size = np.abs(d)
        far = target.delta * (size - target.delta / 2)
        return float(np.mean(np.where(size <= target.delta, d * d / 2, far)))
    return float(np.mean(np.maximum(z, 0) - z * target.y + np.log1p(np.exp(-np.abs(z)))))
