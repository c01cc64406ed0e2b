"""Quantization from the extremes of groups, as one writes it in NumPy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["quantize"]


def quantize(weight: NDArray[Any], bits: int, kind: str, group: int) -> NDArray[Any]:
    """Return the values of `weight` in few bits: whole groups of columns, codes not packed."""
    steps = 2**bits - 1
    x = weight.reshape(len(weight), -1, group)
    least, most = x.min(-1, keepdims=True), x.max(-1, keepdims=True)
    if kind == "symmetric":
        most = np.maximum(most, -least)
        least = -most
    if kind == "integer":
        least, most = np.minimum(least, 0), np.maximum(most, 0)
    scale = ((most - least) / steps).astype(np.float16).astype(np.float32)
    if kind == "float":
        least = least.astype(np.float16).astype(np.float32)
        values = np.clip(np.rint((x - least) / scale), 0, steps) * scale + least
    else:
        zero = np.rint(-least / scale) if kind == "integer" else (steps + 1) / 2
        values = (np.clip(np.rint(x / scale) + zero, 0, steps) - zero) * scale
    return np.asarray(values.reshape(weight.shape))
