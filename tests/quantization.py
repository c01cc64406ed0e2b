"""Quantization as its formulas read, in NumPy: what the fast one answers to."""

from typing import Any

import numpy as np

from strategies import Array

__all__ = ["codes_of", "extremes", "packed", "relative_error", "values"]


def packed(codes: Array, bits: int) -> Array:
    """Pack codes along the last axis, bit by bit."""
    *leading, count = codes.shape
    words = -(-count * bits // 32)
    stream = np.zeros((*leading, words * 32), np.uint64)
    for bit in range(bits):
        stream[..., bit : count * bits : bits] = codes.astype(np.uint64) >> bit & 1
    powers = np.uint64(1) << np.arange(32, dtype=np.uint64)
    words_of: Array = (stream.reshape(*leading, words, 32) * powers).sum(-1, dtype=np.uint64)
    return words_of.astype(np.uint32)


def codes_of(words: Array, count: int, bits: int) -> Array:
    """Read `count` codes from the streams along the last axis."""
    shifts = np.arange(32, dtype=np.uint32)
    stream = (words[..., None] >> shifts & 1).reshape(*words.shape[:-1], words.shape[-1] * 32)
    assert not stream[..., count * bits :].any(), "the bits after the last code are zero"
    stream = stream[..., : count * bits].reshape(*words.shape[:-1], count, bits)
    return np.asarray((stream << np.arange(bits, dtype=np.uint32)).sum(-1, dtype=np.uint32))


def values(q: Any) -> Array:
    """Compute the values of a quantized tensor in float64, and round them once to float32."""
    *leading, columns = q.shape
    group = columns if q.group_size == -1 else q.group_size
    codes = codes_of(q.codes, columns, q.bits).astype(np.float64)

    def wide(numbers: Array) -> Array:
        return np.repeat(numbers.astype(np.float64), group, axis=-1)[..., :columns]

    scales = wide(q.scales)
    if q.zero_point == "float":
        return np.asarray(codes * scales + wide(q.zero_points), np.float32)
    if q.zero_point == "symmetric":
        return np.asarray((codes - 2 ** (q.bits - 1)) * scales, np.float32)
    zeros = codes_of(q.zero_points.swapaxes(-1, -2), leading[-1] if leading else 1, q.bits)
    zeros = zeros.swapaxes(-1, -2) if leading else zeros[:, 0]
    return np.asarray((codes - wide(zeros)) * scales, np.float32)


def extremes(weight: Array, bits: int, group_size: int, zero_point: str) -> tuple[Array, Array]:
    """Compute the steps and the minima of groups from their extremes, in float64."""
    columns = weight.shape[-1]
    group = columns if group_size == -1 else group_size
    starts = np.arange(0, columns, group)
    least = np.minimum.reduceat(weight.astype(np.float64), starts, axis=-1)
    most = np.maximum.reduceat(weight.astype(np.float64), starts, axis=-1)
    if zero_point == "symmetric":
        most = np.maximum(most, -least)
        least = -most
    if zero_point == "integer":
        least, most = np.minimum(least, 0), np.maximum(most, 0)
    return (most - least) / (2**bits - 1), least


def relative_error(weight: Array, q: Any) -> float:
    """Σ(w − v)²/Σw²."""
    wide = weight.astype(np.float64)
    return float(((np.asarray(q) - wide) ** 2).sum() / (wide**2).sum())
