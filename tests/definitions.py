"""The operations as their formulas read, in float64 NumPy: what the fast ones answer to."""

import math
from collections.abc import Callable

import numpy as np

from strategies import Array

__all__ = ["ACTIVATIONS", "linear", "matmul"]


def matmul(a: Array, b: Array) -> Array:
    """``Σ_k a_ik b_kj``."""
    return np.asarray(np.matmul(a.astype(np.float64), b.astype(np.float64)))


def _normal_distribution(x: Array) -> Array:
    phi = np.vectorize(lambda x: (1 + math.erf(x / math.sqrt(2))) / 2, otypes=[np.float64])
    return np.asarray(phi(x))


def _gelu_tanh(x: Array) -> Array:
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return np.asarray(x / 2 * (1 + np.tanh(inner)))


ACTIVATIONS: dict[str | None, Callable[[Array], Array]] = {
    None: lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * _normal_distribution(x),
    "gelu_tanh": _gelu_tanh,
    "silu": lambda x: x * (0.5 + 0.5 * np.tanh(x / 2)),  # 1/(1 + exp(-x)), without overflow
}
"""By name, as `threadwise.linear` takes them."""


def linear(x: Array, weight: Array, bias: Array | None, activation: str | None) -> Array:
    """``f(Σ_i x_i w_oi + b_o)``."""
    shift = 0.0 if bias is None else bias.astype(np.float64)
    return ACTIVATIONS[activation](matmul(x, weight.T) + shift)
