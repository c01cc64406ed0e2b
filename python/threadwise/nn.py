"""Parts of networks that are not products."""

from typing import Any

from threadwise import _threadwise
from threadwise._types import FloatArray, FloatArrayLike

__all__ = ["rms_norm"]


def rms_norm(
    x: FloatArrayLike,
    weight: FloatArrayLike,
    *,
    eps: float = 1e-6,
    out: FloatArray | None = None,
    threads: int | None = None,
) -> Any:
    r"""Scale each row of `x` to unit root mean square, then by `weight`.

    .. math:: y_{\dots j} = w_j \, x_{\dots j} \Big/
        \sqrt{\tfrac1d \textstyle\sum_k x_{\dots k}^2 + \epsilon}

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (..., d)
        Rows along the last axis. Any unit; it cancels. Any strides, also read-only. Other objects
        are converted by `numpy.asarray` first.
    weight : ndarray of float32 or float64, shape (d,)
        One factor per column. The result has its unit.
    eps : float, default 1e-6
        Added to the mean square, so in the unit of `x` squared. Positive and finite, also when
        rounded to the dtype of the result.
    out : ndarray, optional
        Where the result goes: of exactly its shape and dtype, writable, sharing no memory with `x`
        or `weight`.
    threads : int, optional
        How many threads may take part, from 1 to 1024, the calling one included. By default what
        `threadwise.get_num_threads` says. 1 is the plain loop.

    Returns
    -------
    ndarray, shape (..., d)
        `out`, or a new array that owns its memory. float64 if either array is, else float32. The
        bits do not depend on the number of threads.

    Raises
    ------
    ShapeError
        If `x` has no axes, `weight` has not one or is not as long as a row of `x`, or `out` has
        another shape than `x`.
    DTypeError
        If an array is not of float32 or float64 in the machine's byte order, or `eps` is not a
        number. Nothing is cast silently, but for float32 beside float64.
    LayoutError
        If an array is misaligned; if `out` is read-only, misaligned, overlaps another argument or
        is in use by another call.
    DomainError
        If `eps` is not positive and finite, or `threads` or an environment variable of threadwise
        makes no sense.
    MemoryError
        If there is no memory for the result, or for the copy of a row; `out` may then be
        incomplete.
    KeyboardInterrupt
        If Ctrl-C is pressed meanwhile; `out` is then incomplete. On other errors it is untouched.

    Notes
    -----
    Arrays are borrowed as they lie, whatever their strides; only float32 beside float64, and
    elements that do not lie in whole steps of their size, are copied. A row whose elements are not
    adjacent is copied when its turn comes, into memory that its thread keeps.

    A row is one thread's. Its squares are summed in the dtype of the result; if they overflow,
    again in double precision and a larger unit. The error is at most :math:`\gamma_{d/2+6} |y|`,
    barring underflow [2]_.

    Arrays of more than some sixty thousand elements are scaled without Python's lock; no other
    thread may write to them meanwhile.

    References
    ----------
    .. [1] B. Zhang, R. Sennrich, *Root Mean Square Layer Normalization*, NeurIPS 2019,
       arXiv:1910.07467; `eps` is added to its formula so that a row of zeros stays finite.
    .. [2] N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., 2002, section
       3.1: :math:`\gamma_n = nu/(1 - nu)`, u the unit roundoff.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> tw.nn.rms_norm(np.array([[3, 4]], np.float32), np.ones(2, np.float32)).round(3)
    array([[0.849, 1.131]], dtype=float32)
    """
    return _threadwise.rms_norm(x, weight, eps, out, threads)
