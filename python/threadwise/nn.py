"""Parts of networks that are not products."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from threadwise import _threadwise
from threadwise._attention import attention, rope
from threadwise._types import FloatArray, FloatArrayLike

__all__ = ["attention", "rms_norm", "rope", "softmax", "swiglu"]


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


def softmax(
    x: FloatArrayLike,
    *,
    out: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> Any:
    r"""Make shares of each row of `x`: positive numbers with the sum 1.

    .. math:: y_j = e^{x_j - m} \Big/ \sum_k e^{x_k - m}, \qquad m = \max_k x_k

    Parameters
    ----------
    x : ndarray of float32, shape (..., d)
        Rows along the last axis. Any strides, also read-only.
    out : ndarray of float32, optional
        Where the result goes: of exactly its shape, writable, sharing no memory with `x`.
    threads : int, optional
        How many threads may take part, from 1 to 1024, the calling one included. By default what
        `threadwise.get_num_threads` says.

    Returns
    -------
    ndarray of float32, shape (..., d)
        `out`, or a new array. The bits do not depend on the number of threads.

    Raises
    ------
    ShapeError
        If `x` has no axes, or `out` another shape than `x`.
    DTypeError
        If an array is not of float32 in the machine's byte order. Nothing is cast silently.
    LayoutError
        If an array is misaligned; if `out` is read-only, misaligned, overlaps `x` or is in use by
        another call.
    DomainError
        If `threads` or an environment variable of threadwise makes no sense.
    MemoryError
        If there is no memory for the result.
    KeyboardInterrupt
        If Ctrl-C is pressed meanwhile; `out` is then incomplete. On other errors it is untouched.

    Notes
    -----
    The error is at most :math:`(d + 12 + 2 (m - \min_k x_k)) \, u \, y_j` to first order, and the
    smallest normal number; u is the unit roundoff. A NaN makes its row NaN.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> tw.nn.softmax(np.log(np.array([1, 2, 5], np.float32))).round(3)
    array([0.125, 0.25 , 0.625], dtype=float32)
    """
    return _threadwise.softmax(x, out, threads)


def swiglu(
    gate: FloatArrayLike,
    up: FloatArrayLike,
    *,
    out: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> Any:
    r"""Pass `up` through its `gate`, as the feed-forward layers of Llama and Mistral do.

    .. math:: y = \operatorname{silu}(g) \, u, \qquad \operatorname{silu}(g) = g / (1 + e^{-g})

    Parameters
    ----------
    gate, up : ndarray of float32
        g and u, of the same shape. Any strides, also read-only.
    out : ndarray of float32, optional
        Where the result goes: of exactly its shape, writable, sharing no memory with the others.
    threads : int, optional
        How many threads may take part, from 1 to 1024, the calling one included. By default what
        `threadwise.get_num_threads` says.

    Returns
    -------
    ndarray of float32
        `out`, or a new array, of the shape of both. The bits do not depend on the number of
        threads.

    Raises
    ------
    ShapeError
        If `gate`, `up` and `out` have not the same shape.
    DTypeError
        If an array is not of float32 in the machine's byte order. Nothing is cast silently.
    LayoutError
        If an array is misaligned; if `out` is read-only, misaligned, overlaps another argument or
        is in use by another call.
    DomainError
        If `threads` or an environment variable of threadwise makes no sense.
    MemoryError
        If there is no memory for the result.
    KeyboardInterrupt
        If Ctrl-C is pressed meanwhile; `out` is then incomplete. On other errors it is untouched.

    Notes
    -----
    The error is at most :math:`11 u |g u|`, u the unit roundoff, and the smallest normal number
    times :math:`1 + |u|`: ten roundings of the activation, as `threadwise.linear` has it, and one
    of the product.

    References
    ----------
    .. [1] N. Shazeer, *GLU Variants Improve Transformer*, 2020, arXiv:2002.05202.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> tw.nn.swiglu(np.array([0, 1], np.float32), np.array([5, 2], np.float32)).round(3)
    array([0.   , 1.462], dtype=float32)
    """
    return _threadwise.swiglu(gate, up, out, threads)
