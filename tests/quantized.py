"""Quantized weights from their definition, code by code, for the tests of their products."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from strategies import Array
from threadwise.quant.products import Products

__all__ = ["Weight", "quantized"]


@dataclass(frozen=True)
class Weight(Products):
    """The arrays of a quantized weight, and what they stand for."""

    codes: Array
    scales: Array
    zero_points: Any
    shape: tuple[int, ...]
    bits: int
    group_size: int
    scaled: Array
    """Code times scale of each element, in float64."""
    zero: Array
    """What code 0 stands for in its group."""

    @property
    def values(self) -> Array:
        """The weight, in float64."""
        return np.asarray(self.scaled + self.zero)


def _packed(codes: Array, bits: int) -> Array:
    """Each row as one stream of bits, the least first, in words."""
    rows, columns = codes.shape
    words = -(-columns * bits // 32)
    stream = np.zeros((rows, words * 32), np.uint32)
    stream[:, : columns * bits] = (codes[:, :, None] >> np.arange(bits) & 1).reshape(
        rows, columns * bits
    )
    places = np.uint32(1) << np.arange(32, dtype=np.uint32)
    return np.asarray((stream.reshape(rows, words, 32) * places).sum(2, dtype=np.uint32))


def quantized(
    shape: tuple[int, int],
    bits: int,
    group_size: int = 32,
    *,
    zero_point: str = "symmetric",
    dtype: DTypeLike = np.float16,
    seed: int = 0,
) -> Weight:
    """Draw codes, scales and zero points: the same for the same arguments."""
    rng = np.random.default_rng([seed, *shape, bits])
    rows, columns = shape
    length = columns if group_size == -1 else group_size
    groups = -(-columns // length) if columns else 0
    codes = rng.integers(0, 2**bits, shape, dtype=np.uint32)
    scales = rng.standard_normal((rows, groups)).astype(dtype)
    zeros = rng.integers(0, 2**bits, (rows, groups), dtype=np.uint32)
    minima = rng.standard_normal((rows, groups)).astype(dtype)
    group = np.arange(columns) // max(length, 1)
    wide = scales.astype(np.float64)
    held: Any = None
    start = -(2.0 ** (bits - 1)) * wide
    if zero_point == "float":
        held, start = minima, minima.astype(np.float64)
    elif zero_point == "integer":
        held, start = np.ascontiguousarray(_packed(zeros.T, bits).T), -(zeros * wide)
    scaled = codes * wide[:, group]
    packed = _packed(codes, bits)
    return Weight(packed, scales, held, shape, bits, group_size, scaled, start[:, group])
