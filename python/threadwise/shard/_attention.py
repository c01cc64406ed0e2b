"""Attention whose heads are split among ranks."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from threadwise._attention import attention
from threadwise.errors import DomainError, ShapeError
from threadwise.linalg import linear, matmul
from threadwise.shard._communicator import Communicator
from threadwise.shard._layers import row_parallel_linear
from threadwise.shard._split import HeadPlan

__all__ = ["attention_parallel"]


def attention_parallel(
    x: ArrayLike,
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    output: ArrayLike,
    *,
    plan: HeadPlan,
    comm: Communicator,
    is_causal: bool = True,
    window: int | None = None,
    rotate: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    r"""Apply an attention block: each rank computes its heads, and all get the sum.

    .. math:: y = \sum_h \operatorname{softmax}(q_h k_{g(h)}^T / \sqrt e) \, v_{g(h)} \, o_h^T

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (..., t, d)
        A sequence, or a batch of them, the same on all ranks.
    query : ndarray or PackedWeight, shape (h * e, d)
        The rank's part, ``q_proj[plan.query_slice(e)]``; `e` is the width of a head.
    key, value : ndarray or PackedWeight, shape (h_kv * e, d)
        The rank's parts, ``k_proj[plan.kv_slice(e)]``.
    output : ndarray or PackedWeight, shape (d, h * e)
        The rank's part, ``o_proj[:, plan.query_slice(e)]``.
    plan : HeadPlan
        The rank's heads.
    comm : Communicator
        The ranks. All must call this.
    is_causal : bool, default True
        Whether a position looks at none after it.
    window : int, optional
        How many positions one looks at, itself the last, as in Mistral's sliding window; only with
        `is_causal`.
    rotate : callable, optional
        Called with the queries, shape (..., h, t, e), and then with the keys of the rank, before
        they meet; what it returns takes their place. For rotary embeddings.
    threads : int, optional
        How many threads this rank may use; by default what `threadwise.get_num_threads` says.

    Returns
    -------
    ndarray, shape (..., t, d)
        The whole output, the same bits on every rank and on every run.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes, or the rows of a weight are not those of the plan's heads.
    DomainError
        If `window` is less than 1, or given without `is_causal`.
    ThreadwiseError
        As `threadwise.linear` and `all_reduce_sum`.

    Notes
    -----
    One sum over the ranks, at the end. Ranks without heads take part in it with zeros. Heads of
    float32 are computed by `threadwise.nn.attention`, whose memory does not grow with pairs of
    positions; those of float64 as the formula says, with a table of all pairs.

    References
    ----------
    .. [1] M. Shoeybi et al., *Megatron-LM*, 2019, arXiv:1909.08053, section 3.
    .. [2] J. Ainslie et al., *GQA: Training Generalized Multi-Query Transformer Models from
       Multi-Head Checkpoints*, 2023, arXiv:2305.13245: heads that share keys and values.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> one = np.eye(4, dtype=np.float32)  # two heads of two numbers
    >>> def work(comm):
    ...     config = tw.shard.TensorParallelConfig(comm.size, comm.rank)
    ...     plan = tw.shard.HeadPlan(2, 2, config)
    ...     rows, keys = plan.query_slice(2), plan.kv_slice(2)
    ...     y = tw.shard.attention_parallel(
    ...         np.eye(1, 4, dtype=np.float32), one[rows], one[keys], one[keys], one[:, rows],
    ...         plan=plan, comm=comm,
    ...     )
    ...     return y.tolist()
    >>> tw.shard.ThreadComm.run(2, work)  # a single position sees itself alone
    [[[1.0, 0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0, 0.0]]]
    """
    if window is not None and (window < 1 or not is_causal):
        expected = "at least 1 or None" if is_causal else "None without is_causal=True"
        raise DomainError(f"window is {window}, expected {expected}")
    if np.ndim(x) < 2:
        expected = "expected at least two axes, positions and features"
        raise ShapeError(f"x has shape {np.shape(x)}, {expected}")
    heads = {"query": (query, plan.query), "key": (key, plan.kv), "value": (value, plan.kv)}
    q, k, v = (
        _heads(name, linear(x, weight, threads=threads), len(held))
        for name, (weight, held) in heads.items()
    )
    if rotate is not None:
        q, k = rotate(q), rotate(k)
    mixed = _attend(q, k, v, plan, is_causal=is_causal, window=window, threads=threads)
    # (..., h, t, e) to (..., t, h e)
    joined = np.moveaxis(mixed, -3, -2)
    features = joined.shape[-2] * joined.shape[-1]
    joined = joined.reshape(*joined.shape[:-2], features)
    return row_parallel_linear(joined, output, comm=comm, threads=threads)


def _heads(name: str, y: NDArray[Any], heads: int) -> NDArray[Any]:
    """Cut features into heads: (..., t, h e) to (..., h, t, e)."""
    rows = y.shape[-1]
    if (rows == 0 or rows % heads) if heads else rows:
        expected = f"expected a multiple of the rank's heads, {heads}"
        raise ShapeError(f"{name} has {rows} rows, {expected}")
    split = y.reshape(*y.shape[:-1], heads, rows // heads if heads else 0)
    return np.moveaxis(split, -2, -3)


def _attend(
    q: NDArray[Any],
    k: NDArray[Any],
    v: NDArray[Any],
    plan: HeadPlan,
    *,
    is_causal: bool,
    window: int | None,
    threads: int | None,
) -> NDArray[Any]:
    """Mix values, for the query heads that share each head of keys: (..., h, t, e)."""
    kernel = q.dtype == k.dtype == v.dtype == np.float32
    mixed = np.empty((*q.shape[:-1], v.shape[-1]), np.result_type(q, v))
    for queries, keys in _calls(plan):
        heads = q[..., queries, :, :], k[..., keys, :, :], v[..., keys, :, :]
        if kernel:
            part = attention(*heads, causal=is_causal, window=window, threads=threads)
        else:
            seen = _seen(q.shape[-2], is_causal, window)
            part = _definition(*heads, seen, threads)
        mixed[..., queries, :, :] = part
    return mixed


def _calls(plan: HeadPlan) -> list[tuple[slice, slice]]:
    """Say which heads attend in one call: all, if as many queries share each head of keys."""
    cuts = [(slice(held.start, held.stop), slice(kv, kv + 1)) for held, kv in plan.segments]
    if len({len(held) for held, _ in plan.segments}) == 1:
        return [(slice(None), slice(None))]
    return cuts


def _seen(positions: int, is_causal: bool, window: int | None) -> NDArray[np.bool_]:
    """Say which position looks at which: (t, t)."""
    later = np.arange(positions)[:, None] - np.arange(positions)
    seen = np.ones(later.shape, bool)
    if is_causal:
        seen &= later >= 0
    if window is not None:
        seen &= later < window
    return seen


def _definition(
    q: NDArray[Any],
    k: NDArray[Any],
    v: NDArray[Any],
    seen: NDArray[np.bool_],
    threads: int | None,
) -> NDArray[Any]:
    """Mix values as the formula says."""
    # (..., h_kv, g, t, e): the g query heads that share each head of keys
    kv_heads = k.shape[-3]
    grouped = q.reshape(*q.shape[:-3], kv_heads, q.shape[-3] // kv_heads, *q.shape[-2:])
    k, v = k[..., None, :, :], v[..., None, :, :]
    scores = matmul(grouped, k.swapaxes(-1, -2), threads=threads)
    scores *= np.asarray(1 / np.sqrt(q.shape[-1]), scores.dtype)
    scores[..., ~seen] = -np.inf
    scores -= scores.max(axis=-1, keepdims=True, initial=-np.inf)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return np.asarray(matmul(scores, v, threads=threads)).reshape(*q.shape[:-1], v.shape[-1])
