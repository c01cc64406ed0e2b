"""Whether a library's answer is a product, as closely as its dtype allows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from threadwise.bench._cases import Case, DType

__all__ = ["RESULTS", "error"]

RESULTS: dict[DType, str] = {
    "float32": "float32",
    "float64": "float64",
    "bfloat16": "bfloat16",
    "float16": "float16",
    "int8": "int32",
}
"""The dtype of a product, by that of its operands."""

_SHORT: dict[DType, tuple[float, float]] = {
    "bfloat16": (2.0**-8, 2.0**-133),
    "float16": (2.0**-11, 2.0**-24),
}
"""The unit roundoff of dtypes that are summed in float32, and their smallest number."""


def error(
    case: Case, left: NDArray[Any], right: NDArray[Any], result: NDArray[Any], dtype: str
) -> float:
    r"""Return the largest error of `result`, where 1 is the most that rounding explains.

    Parameters
    ----------
    case : Case
    left, right, result : ndarray of float64
        The operands as the library had them, and its answer, which float64 holds exactly.
    dtype : str
        Of the answer, before it became float64.

    Notes
    -----
    Rounding explains :math:`e = \gamma_{k + k/384 + 1} \sum_k |a_{ik} b_{kj}|`: k terms in any
    order, summed in passes, and one spare for the rounding of the result [1]_. The reference is
    NumPy's product in float64, so where `result` is float64, the reference may be as far off
    itself. The sums of bfloat16 and float16 are float32's, which are then rounded once:
    :math:`(1 + u) e + u |c_{ij}|`, and half the smallest number. Integers have no error, and
    float64 holds each of their partial sums.

    References
    ----------
    .. [1] N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., 2002, section
       3.1.
    """
    if result.shape != case.shape or dtype != RESULTS[case.dtype]:
        return float("inf")
    if case.operation == "linear":
        right = right.T
    exact = left @ right
    off = np.abs(result - exact)
    if not np.all(np.isfinite(off)):
        return float("inf")
    if case.dtype == "int8":
        return 0.0 if not np.any(off) else float("inf")
    unit = 2.0**-53 if case.dtype == "float64" else 2.0**-24
    units = (case.k + case.k // 384 + 1) * unit * (2 if case.dtype == "float64" else 1)
    bound = units / (1 - units) * (np.abs(left) @ np.abs(right))
    if case.dtype in _SHORT:
        last, smallest = _SHORT[case.dtype]
        bound = (1 + last) * bound + last * np.abs(exact) + smallest / 2
    return float(np.max(off / bound, initial=0.0))
