"""Attention, and the positions that it sees."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from threadwise import _threadwise, errors
from threadwise._types import FloatArrayLike

__all__ = ["SCALINGS", "attention", "rope"]

SCALINGS = {
    "linear": ("factor",),
    "llama3": (
        "factor",
        "low_freq_factor",
        "high_freq_factor",
        "original_max_position_embeddings",
    ),
}
"""How frequencies can be changed, and by which numbers."""


def attention(
    q: FloatArrayLike,
    k: FloatArrayLike,
    v: FloatArrayLike,
    *,
    causal: bool = True,
    window: int | None = None,
    scale: float | None = None,
    out: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> Any:
    r"""Average the values `v` by how well their keys `k` match each query `q`.

    .. math:: o_i = \sum_j w_{ij} v_j \Big/ \sum_j w_{ij},
        \qquad w_{ij} = \exp(s \, q_i \cdot k_j)

    over the keys j that query i sees.

    Parameters
    ----------
    q : ndarray of float32, shape (..., h, t, e)
        Queries: of h heads, at t positions, of e numbers, any e. Without the axis of heads there
        is one. Any strides, also read-only.
    k, v : ndarray of float32, shape (..., h_kv, s, e)
        Keys and values, with the axes of `q` before the heads. h is a multiple of h_kv: each h/h_kv
        heads of queries that follow one another share one head of keys (grouped-query attention;
        multi-query attention, if h_kv is 1).
    causal : bool, default True
        Query i is at position s - t + i, so that the last query's own key is the last one, and sees
        no key behind its position. Otherwise each query sees all keys.
    window : int, optional
        Query i sees only the last `window` keys up to its own: those at positions j with
        i - window < j <= i. At least 1, and only with `causal`.
    scale : float, optional
        s, finite. By default :math:`1/\sqrt e`.
    out : ndarray of float32, optional
        Where the result goes: of exactly its shape, writable, sharing no memory with the others.
    threads : int, optional
        How many threads may take part, from 1 to 1024, the calling one included. By default what
        `threadwise.get_num_threads` says.

    Returns
    -------
    ndarray of float32, shape (..., h, t, e)
        `out`, or a new array. Zeros for queries that see no key. The bits do not depend on the
        number of threads.

    Raises
    ------
    ShapeError
        If an array has fewer than two axes, `v` has not the shape of `k`, or these differ from `q`
        in an axis before the heads or in e; if `out` has another shape than `q`.
    DTypeError
        If an array is not of float32 in the machine's byte order, or an argument is no number.
        Nothing is cast silently.
    LayoutError
        If an array is misaligned; if `out` is read-only, misaligned, overlaps another argument or
        is in use by another call.
    DomainError
        If h_kv does not divide h, `window` is less than 1 or given without `causal`, `scale` is not
        finite, or `threads` or an environment variable of threadwise makes no sense.
    MemoryError
        If there is no memory for the result, or for keys and values in the order in which they are
        read; `out` may then be incomplete.
    KeyboardInterrupt
        If Ctrl-C is pressed meanwhile; `out` is then incomplete. On other errors it is untouched.

    Notes
    -----
    Keys and values are copied once for the call. Scores are never stored: weights are summed while
    their maximum is still being found [2]_ [3]_, tile by tile [4]_, and tiles that no query of a
    block sees are skipped. All queries that share a head of keys are computed together. With few
    queries the keys are cut into chunks of 256, whose sums are added in their order.

    Let :math:`\sigma` bound :math:`|s| \sum_d |q_d k_d|` over the n keys that a query sees, and u
    be the unit roundoff. The error is at most
    :math:`2 ((e + 6) \sigma + 1.2 n + 16) \, u \max_j |v_j|` to first order: each weight is off by
    what its exponent is, and sums of n of them by n roundings.

    Runs without Python's lock, but for the smallest arrays; no other thread may write to them
    meanwhile.

    References
    ----------
    .. [1] A. Vaswani and others, *Attention Is All You Need*, 2017, arXiv:1706.03762; groups:
       J. Ainslie and others, *GQA*, 2023, arXiv:2305.13245; windows: A. Jiang and others,
       *Mistral 7B*, 2023, arXiv:2310.06825.
    .. [2] M. Milakov, N. Gimelshein, *Online normalizer calculation for softmax*, 2018,
       arXiv:1805.02867.
    .. [3] M. Rabe, C. Staats, *Self-attention Does Not Need O(n^2) Memory*, 2021, arXiv:2112.05682.
    .. [4] T. Dao and others, *FlashAttention*, 2022, arXiv:2205.14135.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> q = k = np.zeros((3, 2), np.float32)
    >>> v = np.array([[3, 0], [0, 6], [0, 3]], np.float32)
    >>> tw.nn.attention(q, k, v)
    array([[3. , 0. ],
           [1.5, 3. ],
           [1. , 3. ]], dtype=float32)
    """
    return _threadwise.attention(q, k, v, causal, window, scale, out, threads)


def rope(
    x: FloatArrayLike,
    positions: ArrayLike,
    *,
    theta: float = 10000.0,
    scaling: Mapping[str, Any] | None = None,
    out: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> Any:
    r"""Turn each row of `x` by the angles of its position: rotary position embedding.

    .. math:: (y_i, y_{i+e/2}) = (x_i \cos\varphi_i - x_{i+e/2} \sin\varphi_i, \;
        x_{i+e/2} \cos\varphi_i + x_i \sin\varphi_i), \qquad \varphi_i = t \, \theta^{-2i/e}

    Parameters
    ----------
    x : ndarray of float32, shape (..., e)
        Rows along the last axis, of an even number of elements: those of queries or keys of one
        head. Numbers e/2 apart are a pair, as in the weights of Llama and Mistral. Any strides.
    positions : ndarray of integers
        t of each row, not negative. Any shape that broadcasts to the axes of `x` before its last:
        (t,) for x of shape (b, h, t, e).
    theta : float, default 10000.0
        The base of the frequencies, positive and finite.
    scaling : mapping, optional
        How frequencies are changed for longer contexts, as `rope_scaling` or `rope_parameters` in
        a `config.json` says: {"rope_type": "linear", "factor": f}, or "llama3" with "factor",
        "low_freq_factor", "high_freq_factor" and "original_max_position_embeddings". "default", as
        None, changes nothing. Other keys are ignored.
    out : ndarray of float32, optional
        Where the result goes: of exactly its shape, writable, sharing no memory with `x`.
    threads : int, optional
        How many threads may take part, from 1 to 1024, the calling one included. By default what
        `threadwise.get_num_threads` says.

    Returns
    -------
    ndarray of float32, shape (..., e)
        `out`, or a new array. The bits do not depend on the number of threads.

    Raises
    ------
    ShapeError
        If `x` has no axes, `positions` do not broadcast to its rows, or `out` has another shape
        than `x`.
    DTypeError
        If `x` is not of float32, `positions` are no integers, or an argument is no number.
    LayoutError
        If an array is misaligned; if `out` is read-only, misaligned, overlaps `x` or is in use by
        another call.
    DomainError
        If rows have an odd number of elements, a position is negative, `theta` or a number of the
        scaling is not positive and finite, the scaling is of an unknown type or lacks a number, or
        `threads` or an environment variable of threadwise makes no sense.
    MemoryError
        If there is no memory for the result.
    KeyboardInterrupt
        If Ctrl-C is pressed meanwhile; `out` is then incomplete. On other errors it is untouched.

    Notes
    -----
    Angles, cosines and sines are computed in double precision; the latter are rounded once. With
    that the error is at most :math:`3u (|x_i \cos\varphi_i| + |x_{i+e/2} \sin\varphi_i|)` to first
    order, and the same for the other one of a pair; u is the unit roundoff.

    References
    ----------
    .. [1] J. Su and others, *RoFormer*, 2021, arXiv:2104.09864, which pairs neighbors.
    .. [2] S. Chen and others, *Extending Context Window of Large Language Models via Positional
       Interpolation*, 2023, arXiv:2306.15595: "linear".

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> tw.nn.rope(np.array([[1, 0], [1, 0]], np.float32), [0, 1]).round(3)
    array([[1.   , 0.   ],
           [0.54 , 0.841]], dtype=float32)
    """
    return _threadwise.rope(x, positions, theta, _scaling(scaling), out, threads)


def _scaling(scaling: Mapping[str, Any] | None) -> tuple[str, list[Any]] | None:
    """Take the type of a scaling and its numbers, if it changes anything."""
    if scaling is None:
        return None
    if not isinstance(scaling, Mapping):
        kind = type(scaling).__name__
        raise errors.DTypeError(f"scaling is {scaling!r} (a {kind}), expected a mapping or None")
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind == "default":
        return None
    if not isinstance(kind, str) or kind not in SCALINGS:
        known = "', '".join(["default", *SCALINGS])
        raise errors.DomainError(f"scaling has rope_type {kind!r}, expected one of '{known}'")
    missing = [name for name in SCALINGS[kind] if name not in scaling]
    if missing:
        raise errors.DomainError(
            f"scaling of rope_type {kind!r} has no {missing[0]}, expected a number"
        )
    return kind, [scaling[name] for name in SCALINGS[kind]]
