"""Gradients of several shards: computed side by side, made one, clipped."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from threadwise import _threadwise, parallel
from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.train.optimizers import _shares

__all__ = [
    "GradientAccumulator",
    "aggregate_gradients",
    "clip_by_global_norm",
    "parallel_gradients",
]

Method = Literal["mean", "sum"]


def aggregate_gradients(
    gradients: Sequence[Any],
    *,
    weights: Sequence[float] | None = None,
    method: Method = "mean",
    out: Any = None,
    threads: int | None = None,
) -> Any:
    r"""Return the mean or the sum of the gradients of several shards.

    .. math:: \bar g = \sum_i w_i g_i \Big/ \sum_i w_i

    Arrays are read where they lie, strip by strip, each strip of all shards by one thread, in the
    order of the shards: the bits depend on no number of threads.

    Parameters
    ----------
    gradients : sequence of ndarray, of sequences or of mappings of ndarrays
        One entry a shard, all with the same names, shapes and dtypes: float64, float32, float16 or
        `ml_dtypes.bfloat16`.
    weights : sequence of float, optional
        How much each shard counts: with ragged batches, its rows. By default 1 each.
    method : {"mean", "sum"}, default "mean"
        "sum" leaves out the division: :math:`\sum_i w_i g_i`.
    out : like an entry of `gradients`, optional
        Where the result goes: arrays that share no memory with the gradients.
    threads : int, optional
        How many threads may take part. By default what `threadwise.get_num_threads` says.

    Returns
    -------
    ndarray, list or dict of ndarrays
        Like an entry of `gradients`, of its dtypes; `out` if it was passed.

    Raises
    ------
    ShapeError
        If there are no shards, shards differ in names, lengths or shapes, there are not as many
        weights as shards, or `out` does not fit.
    DTypeError
        If an array is of another dtype, or shards differ in dtypes.
    DomainError
        If a weight is negative or not finite, all are 0, or there is no such method.
    LayoutError
        If `out` is read-only, misaligned or overlaps a gradient.

    Notes
    -----
    float16 and bfloat16 are summed in float32 and rounded once. An element of n shards is off by at
    most :math:`\gamma_{n+1} \sum_i |w_i g_i|`, divided like the sum, and that rounding (N. Higham,
    *Accuracy and Stability of Numerical Algorithms*, 2002, section 3.1). Python's lock is released
    while long arrays are summed. What is not contiguous is copied.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> shards = [{"w": np.array([1.0, 2.0])}, {"w": np.array([5.0, 6.0])}]
    >>> tw.train.aggregate_gradients(shards, weights=[3, 1])
    {'w': array([2., 3.])}
    """
    shards = list(gradients)
    shares, factor = _shares(weights, len(shards))
    if method not in ("mean", "sum"):
        raise DomainError(f"method is {method!r}, expected 'mean' or 'sum'")
    each = _Sum(shares, factor if method == "mean" else 1.0, threads)
    return each.of(shards, out, "")


@dataclass
class _Sum:
    """The sum of what is below one name, or one number, of all shards."""

    shares: list[float]
    factor: float
    threads: int | None

    def of(self, shards: list[Any], out: Any, name: str) -> Any:
        first = shards[0]
        kind: Any
        if isinstance(first, Mapping):
            keys, kind = list[Any](first), Mapping
        elif isinstance(first, list | tuple):
            keys, kind = list(range(len(first))), (list, tuple)
        else:
            return self._of_arrays(shards, out, name)
        for i, shard in enumerate(shards):
            if not isinstance(shard, kind) or _keys(shard) != _keys(first):
                raise ShapeError(
                    f"shard {i} of gradients{name} has {_entries(shard)}, expected "
                    f"{_entries(first)} as in shard 0"
                )
        if out is not None and (not isinstance(out, kind) or _keys(out) != _keys(first)):
            raise ShapeError(f"out{name} has {_entries(out)}, expected {_entries(first)}")
        made = {
            key: self.of(
                [shard[key] for shard in shards],
                None if out is None else out[key],
                f"{name}[{key!r}]",
            )
            for key in keys
        }
        if out is not None:
            return out
        return made if kind is Mapping else list(made.values())

    def _of_arrays(self, shards: list[Any], out: Any, name: str) -> Any:
        arrays = [np.asarray(shard) for shard in shards]
        first = arrays[0]
        for i, array in enumerate(arrays):
            if array.shape != first.shape:
                raise ShapeError(
                    f"shard {i} of gradients{name} has shape {array.shape}, shard 0 has "
                    f"{first.shape}: they must be equal"
                )
            if array.dtype != first.dtype:
                raise DTypeError(
                    f"shard {i} of gradients{name} has dtype {array.dtype}, shard 0 has "
                    f"{first.dtype}: they must be equal, nothing is cast silently"
                )
        if isinstance(out, np.ndarray) and out.shape != first.shape:
            raise ShapeError(f"out{name} has shape {out.shape}, expected {first.shape}")
        return _threadwise.aggregate(arrays, self.shares, self.factor, out, self.threads)


def _keys(entries: Any) -> set[Any]:
    return set(entries) if isinstance(entries, Mapping) else set(range(len(entries)))


def _entries(shard: Any) -> str:
    if isinstance(shard, Mapping):
        return f"the names {sorted(shard)}"
    return f"{len(shard)} arrays" if isinstance(shard, list | tuple) else type(shard).__name__


def clip_by_global_norm(
    gradients: Any, max_norm: float, *, threads: int | None = None
) -> tuple[Any, float]:
    """Scale gradients so that the norm of all together is at most `max_norm`.

    Parameters
    ----------
    gradients : ndarray, sequence or mapping of ndarrays of float32 or float64
        The gradients. They are not changed.
    max_norm : float
        Positive.
    threads : int, optional
        How many threads may take part; bits do not depend on it.

    Returns
    -------
    tuple of (like `gradients`, float)
        The gradients, new arrays if they were scaled, and the norm they had: the root of the sum of
        all squares, which is added up in float64 in a fixed order.

    Raises
    ------
    DomainError
        If `max_norm` is not positive.
    DTypeError
        If an array is of another dtype.

    References
    ----------
    R. Pascanu, T. Mikolov, Y. Bengio, *On the difficulty of training recurrent neural networks*,
    ICML 2013.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> tw.train.clip_by_global_norm([np.array([3.0]), np.array([4.0])], 1.0)
    ([array([0.6]), array([0.8])], 5.0)
    """
    if not max_norm > 0:
        raise DomainError(f"max_norm is {max_norm}, expected a positive number")
    norm = _threadwise.global_norm(_leaves(gradients), threads)
    if not norm > max_norm:
        return gradients, norm
    if not math.isfinite(norm):
        raise DomainError(f"the norm of the gradients is {norm}, expected finite gradients")
    return _Sum([1.0], max_norm / norm, threads).of([gradients], None, ""), norm


def _leaves(gradients: Any) -> list[NDArray[Any]]:
    if isinstance(gradients, Mapping):
        return [leaf for value in gradients.values() for leaf in _leaves(value)]
    if isinstance(gradients, list | tuple):
        return [leaf for value in gradients for leaf in _leaves(value)]
    return [np.asarray(gradients)]


def parallel_gradients(
    grad_fn: Callable[[Any], Any],
    shards: Sequence[Any],
    *,
    weights: Sequence[float] | None = None,
    method: Method = "mean",
    threads: int | None = None,
) -> Any:
    """Compute the gradient of each shard, side by side, and return their mean or sum.

    Parameters
    ----------
    grad_fn : callable
        Called with each shard, returns its gradients: an array, or a list or dict of arrays. The
        gradients of an `MLP` do so without Python's lock; a function in Python holds it while it
        computes, so only what it calls outside of the interpreter runs side by side.
    shards : sequence
        What `grad_fn` is called with.
    weights : sequence of float, optional
        How much each shard counts. By default its rows, if the gradients are those of an `MLP`,
        else 1 each.
    method : {"mean", "sum"}, default "mean"
        As for `aggregate_gradients`.
    threads : int, optional
        How many threads may take part. The result does not depend on it: what is computed for a
        shard is kept by its place, and added up in order.

    Returns
    -------
    ndarray, list or dict of ndarrays
        Like what `grad_fn` returns.

    Raises
    ------
    ShapeError
        If there are no shards, or what `grad_fn` returns differs in names or shapes.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> w = np.array([1.0, 2.0])
    >>> shards = [np.array([0.0, 0.0]), np.array([2.0, 2.0])]
    >>> tw.train.parallel_gradients(lambda x: w - x, shards)
    array([0., 1.])
    """
    shards = list(shards)
    if not shards:
        raise ShapeError("shards has no entries, expected at least one")
    gradients = parallel.map(grad_fn, shards, threads=threads)
    rows = [getattr(gradient, "rows", None) for gradient in gradients]
    if weights is None and all(isinstance(n, int) for n in rows):
        weights = [float(n) for n in rows if n is not None]
    return aggregate_gradients(gradients, weights=weights, method=method, threads=threads)


class GradientAccumulator:
    """Gradients that any number of Python threads hand in, and that are added up in order of slots.

    Whoever comes first, the result is the same: it depends on what is in each slot, not on when it
    came.

    Parameters
    ----------
    slots : int
        How many gradients there will be; at least 1.
    method : {"mean", "sum"}, default "mean"
        As for `aggregate_gradients`.

    Raises
    ------
    DomainError
        If there are no slots, or there is no such method.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> sums = tw.train.GradientAccumulator(2)
    >>> sums.add(1, np.array([4.0]), weight=3)
    >>> sums.add(0, np.array([0.0]))
    >>> sums.result()
    array([3.])
    """

    def __init__(self, slots: int, method: Method = "mean") -> None:
        if slots < 1:
            raise DomainError(f"slots is {slots}, expected 1 or more")
        if method not in ("mean", "sum"):
            raise DomainError(f"method is {method!r}, expected 'mean' or 'sum'")
        self._method: Method = method
        self._slots: list[tuple[Any, float] | None] = [None] * slots
        self._lock = Lock()

    def add(self, slot: int, gradients: Any, *, weight: float = 1.0) -> None:
        """Put `gradients` into `slot`, which is empty, with `weight`, what they count.

        They are not copied: do not change them before `result` was called.

        Raises
        ------
        DomainError
            If there is no such slot, or it is taken.
        """
        if not 0 <= slot < len(self._slots):
            raise DomainError(f"slot is {slot}, expected 0 to {len(self._slots) - 1}")
        with self._lock:
            if self._slots[slot] is not None:
                raise DomainError(f"slot {slot} is taken, expected an empty one: call reset first")
            self._slots[slot] = (gradients, weight)

    @property
    def missing(self) -> tuple[int, ...]:
        """The slots that are empty."""
        with self._lock:
            return tuple(i for i, entry in enumerate(self._slots) if entry is None)

    def result(self, *, out: Any = None, threads: int | None = None) -> Any:
        """Return the mean or sum of all slots, as `aggregate_gradients` does.

        `out` and `threads` are its, too.

        Raises
        ------
        DomainError
            If a slot is empty.
        """
        with self._lock:
            entries = [entry for entry in self._slots if entry is not None]
        if missing := self.missing:
            raise DomainError(f"slot {missing[0]} is empty, expected gradients in all slots")
        return aggregate_gradients(
            [gradients for gradients, _ in entries],
            weights=[weight for _, weight in entries],
            method=self._method,
            out=out,
            threads=threads,
        )

    def reset(self) -> None:
        """Empty all slots."""
        with self._lock:
            self._slots = [None] * len(self._slots)
