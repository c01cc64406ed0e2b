"""Linear algebra and functions of numbers on whole batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from threadwise._arguments import function, thread_count
from threadwise._mapped import Mapped, mapped
from threadwise.errors import DTypeError, LayoutError, ShapeError
from threadwise.linalg import linear, matmul
from threadwise.plan import explain
from threadwise.workflows.columns import PIECE

__all__ = ["elementwise", "matvec_batch"]
_NUMBERS = (bool, int, float, complex)


def matvec_batch(
    matrices: Any,
    vectors: Any,
    *,
    threads: int | None = None,
) -> Mapped:
    """Multiply many vectors by a matrix, or each by one of its own.

    Parameters
    ----------
    matrices : ndarray, shape (m, k) or (b, m, k), or sequence of ndarrays
        One matrix for all vectors, one for each, or matrices of different sizes.
    vectors : ndarray, shape (b, k), or sequence of ndarrays
        The vectors; with a sequence of matrices, one for each.
    threads : int, optional
        How many threads, from 1 to 1024. By default what `threadwise.get_num_threads` says.

    Returns
    -------
    Mapped
        Its `values` are an array, shape (b, m), of the dtype of `threadwise.matmul`; with matrices
        of different sizes a list of arrays. The threads used are those of the product's plan.

    Raises
    ------
    ShapeError
        If extents disagree; of a sequence, with a note that tells which.
    DTypeError
        If a dtype has no product.
    DomainError
        If `threads` is out of range.

    See Also
    --------
    threadwise.matmul, threadwise.linear : what computes it, and how exactly.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> a = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> tw.workflows.matvec_batch(a, np.array([[1.0, 0.0], [1.0, 1.0]])).values
    array([[1., 3.],
           [3., 7.]])
    """
    if isinstance(matrices, list | tuple):
        return _one_by_one(matrices, vectors, threads)
    a, x = np.asarray(matrices), np.asarray(vectors)
    if a.ndim not in {2, 3}:
        raise ShapeError(f"matrices has shape {a.shape}, expected (m, k) or (b, m, k)")
    if x.ndim != 2:
        raise ShapeError(f"vectors has shape {x.shape}, expected (b, k)")
    if x.shape[1] != a.shape[-1]:
        raise ShapeError(
            f"vectors has {x.shape[1]} columns (shape {x.shape}), matrices has {a.shape[-1]} "
            f"(shape {a.shape}): they must be equal"
        )
    if a.ndim == 3 and len(a) != len(x):
        raise ShapeError(f"matrices has {len(a)}, vectors has {len(x)}: expected one for each")
    most = thread_count(threads)
    plan: int = (
        explain(linear, x, a, threads=most).threads
        if a.ndim == 2
        else explain(matmul, a, x[:, :, None], threads=most).threads
    )
    begin = time.perf_counter()
    if a.ndim == 2:
        values = linear(x, a, threads=most)
    else:
        values = matmul(a, x[:, :, None], threads=most)[:, :, 0]
    seconds = time.perf_counter() - begin
    return Mapped(values=values, threads=plan, cap=max(1, min(len(x), most)), seconds=seconds)


def _one_by_one(matrices: Sequence[Any], vectors: Any, threads: int | None) -> Mapped:
    if len(matrices) != len(vectors):
        count = f"matrices has {len(matrices)}, vectors has {len(vectors)}"
        raise ShapeError(f"{count}: expected one for each")
    pairs = list(zip(matrices, vectors, strict=True))
    return mapped(lambda pair: matmul(*pair), pairs, threads)


def elementwise(
    fn: Callable[..., Any],
    *arrays: Any,
    out: np.ndarray[Any, Any] | None = None,
    threads: int | None = None,
) -> Mapped:
    """Apply a function of numbers to whole arrays, piece by piece.

    Parameters
    ----------
    fn : callable
        Called with a piece of each array, all of one shape, and returns as many results: a ufunc of
        NumPy, or any function made of them. What it returns for a number must depend on that number
        alone.
    *arrays : array_like
        At least one. They are broadcast to one shape; `fn` gets numbers of Python as they are.
    out : ndarray, optional
        Where the results go, of that shape. By default a new array of the dtype of the first piece.
    threads : int, optional
        How many calls at a time, from 1 to 1024. By default what `threadwise.get_num_threads` says.

    Returns
    -------
    Mapped
        Its `values` are `out`; threads used.

    Raises
    ------
    ShapeError
        If arrays cannot be broadcast together, `out` has another shape, or `fn` returns another
        number of results.
    DTypeError
        If `fn` cannot be called or there is no array.
    LayoutError
        If `out` cannot be written to, or shares memory with an array, but for being it.
    DomainError
        If `threads` is out of range.

    Notes
    -----
    Pieces are cut by the shape alone. They fit into a core's cache, so that what a function made of
    several ufuncs computes in between does not go through memory.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> x = np.array([0.0, 3.0])
    >>> tw.workflows.elementwise(lambda x, y: np.sqrt(x * x + y * y), x, 4.0).values
    array([4., 5.])
    """
    function("fn", fn, "a function of arrays")
    if not arrays:
        raise DTypeError("arrays are missing, expected at least one")
    # Python's numbers stay what they are: they leave NumPy the choice of the dtype.
    parts = [x if type(x) in _NUMBERS else np.asarray(x) for x in arrays]
    try:
        shape = np.broadcast_shapes(*map(np.shape, parts))
    except ValueError:
        shapes = ", ".join(str(np.shape(part)) for part in parts)
        raise ShapeError(f"arrays have the shapes {shapes}, expected what broadcasts") from None
    given = [x if type(x) in _NUMBERS else np.broadcast_to(x, shape) for x in parts]
    cuts = _cuts(shape)
    if out is None:
        first = np.asarray(_piece(fn, given, cuts[0]))
        out = np.empty(shape, first.dtype)
        out[cuts[0]] = first
        left = cuts[1:]
    else:
        _fits(out, shape, given)
        left = cuts

    def compute(cut: tuple[slice, ...]) -> None:
        place = out[cut]
        place[...] = _piece(fn, given, cut)

    found = mapped(compute, left, threads)
    cap = max(1, min(len(cuts), thread_count(threads)))
    return Mapped(values=out, threads=found.threads, cap=cap, seconds=found.seconds)


def _cuts(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Cut the longest axis, so that pieces have about `PIECE` numbers."""
    size = int(np.prod(shape))
    if size <= PIECE:
        return [(slice(None),) * len(shape)]
    axis = int(np.argmax(shape))
    step = max(1, PIECE * shape[axis] // size)
    before = (slice(None),) * axis
    return [(*before, slice(i, i + step)) for i in range(0, shape[axis], step)]


def _piece(fn: Callable[..., Any], given: Sequence[Any], cut: tuple[slice, ...]) -> Any:
    pieces = [x if type(x) in _NUMBERS else x[(*cut, ...)] for x in given]
    found = fn(*pieces)
    shape = np.broadcast_shapes(*map(np.shape, pieces))
    if np.shape(found) != shape:
        raise ShapeError(
            f"fn returns shape {np.shape(found)} for pieces of shape {shape}: they must be equal"
        )
    return found


def _fits(out: Any, shape: tuple[int, ...], given: Sequence[Any]) -> None:
    if not isinstance(out, np.ndarray):
        raise DTypeError(f"out is a {type(out).__name__}, expected an ndarray")
    if out.shape != shape:
        raise ShapeError(f"out has shape {out.shape}, expected {shape}")
    if not out.flags.writeable:
        raise LayoutError("out is read-only, expected an array that can be written to")
    for index, array in enumerate(given):
        if type(array) in _NUMBERS:
            continue
        begins = [each.__array_interface__["data"][0] for each in (out, array)]
        is_same = begins[0] == begins[1] and out.strides == array.strides
        if not is_same and np.shares_memory(out, array):
            raise LayoutError(
                f"out shares memory with arrays[{index}], expected to be it or not to"
            )
