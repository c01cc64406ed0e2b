"""How far rounding may take a result from its definition, derived and not tuned.

N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., SIAM 2002, section 3.1: an
inner product of k terms, summed in any order, is off by at most gamma_k Σ|a||b|, with gamma_n =
nu / (1 - nu) and u the unit roundoff.
"""

import numpy as np
from numpy.typing import DTypeLike

from strategies import Array

__all__ = ["assert_within", "linear_bound", "matmul_bound", "narrow_bound"]

PASS = 512  # terms after which a partial sum is rounded to memory, as matmul's notes say
ACTIVATION_ROUNDINGS = 10  # of its argument, as linear's notes say
STEEPEST = 1.13  # the largest slope of any activation: that of gelu at x = sqrt(2) is 1.1289
ROUNDED = {"bfloat16": (2.0**-8, 2.0**-133), "float16": (2.0**-11, 2.0**-24), "float32": (0.0, 0.0)}
"""By how much rounding to a type changes a sum: relatively, and at least."""
WIDE = np.float64  # what definitions compute in: they round, too


def _unit(dtype: DTypeLike) -> float:
    return float(np.finfo(np.dtype(dtype)).eps) / 2


def gamma(n: int, dtype: DTypeLike) -> float:
    """Bound the relative error of n roundings."""
    return n * _unit(dtype) / (1 - n * _unit(dtype))


def _of_sum(terms: int, magnitude: Array, dtype: DTypeLike) -> Array:
    ours = gamma(terms + terms // PASS + 2, dtype)
    # Each product may also fall below the smallest number there is (Higham, section 2.2).
    lost = terms * float(np.finfo(np.dtype(dtype)).smallest_subnormal)
    return np.asarray((ours + gamma(terms + 2, WIDE)) * magnitude + lost)


def matmul_bound(a: Array, b: Array) -> Array:
    """Bound the error of each element of ``a @ b``, against a definition in float64."""
    magnitude = np.matmul(np.abs(a.astype(WIDE)), np.abs(b.astype(WIDE)))
    return _of_sum(a.shape[-1], magnitude, np.result_type(a, b))


def linear_bound(x: Array, weight: Array, bias: Array | None, activation: str | None) -> Array:
    """Bound that of a layer: the sum's error, steepened, and that of the activation itself."""
    given = [x, weight] if bias is None else [x, weight, bias]
    dtype = np.result_type(*given)
    shift = 0.0 if bias is None else np.abs(bias.astype(WIDE))
    magnitude = np.matmul(np.abs(x.astype(WIDE)), np.abs(weight.T.astype(WIDE))) + shift
    of_sum = _of_sum(x.shape[-1], magnitude, dtype)
    if activation in (None, "relu"):
        return of_sum
    rounding = ACTIVATION_ROUNDINGS * (_unit(dtype) + _unit(WIDE))
    tiny = float(np.finfo(dtype).tiny)
    return np.asarray(STEEPEST * of_sum + rounding * (magnitude + of_sum) + tiny)


def narrow_bound(
    a: Array,
    b: Array,
    result: DTypeLike,
    bias: Array | None = None,
    activation: str | None = None,
) -> Array:
    """Bound the error of ``f(a @ b + bias)`` for narrow floats, summed in float32, rounded once.

    Some CPUs take subnormal numbers for zero, as operands and as sums: each term is then off by the
    smallest normal number times its factors, and itself.
    """
    terms, tiny = a.shape[-1], float(np.finfo(np.float32).tiny)
    left, right = np.abs(a.astype(WIDE)), np.abs(b.astype(WIDE))
    shift = 0.0 if bias is None else np.abs(bias.astype(WIDE))
    magnitude = np.matmul(left, right) + shift
    flushed = tiny * (np.matmul(left + 1, right + 1) - magnitude + 1)
    bound = _of_sum(terms + 1, magnitude, np.float32) + np.abs(flushed) + 2 * terms * tiny
    if activation not in (None, "relu"):
        bound = STEEPEST * bound + ACTIVATION_ROUNDINGS * _unit(np.float32) * (magnitude + bound)
        bound = bound + tiny
    unit, smallest = ROUNDED[np.dtype(result).name]
    return np.asarray(bound + unit * (magnitude + bound) + smallest)


def assert_within(actual: Array, expected: Array, bound: Array) -> None:
    """Hold each element to its bound, and say by how much the worst one fails."""
    assert np.shape(actual) == np.shape(expected)
    error = np.abs(np.asarray(actual, WIDE) - expected)
    if not (error <= bound).all():
        worst = np.unravel_index(np.argmax(np.where(error <= bound, 0, 1)), error.shape)
        found = (np.asarray(actual)[worst], np.asarray(expected)[worst])
        allowed = np.broadcast_to(bound, error.shape)[worst]
        message = f"element {tuple(map(int, worst))} is {found[0]}, not {found[1]}: "
        raise AssertionError(message + f"off by {error[worst]:e}, allowed {allowed:e}")
