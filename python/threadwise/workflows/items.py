"""Something done to each of many items: changed, varied, measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np

from threadwise._arguments import function, whole
from threadwise._mapped import Mapped, mapped
from threadwise._progress import Progress
from threadwise._random import Purpose, generator
from threadwise.errors import DTypeError, ShapeError

__all__ = ["augment", "extract_features", "preprocess"]


def preprocess(
    fn: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    threads: int | None = None,
    progress: Progress = None,
    on_error: Literal["raise", "collect"] = "raise",
) -> Mapped:
    """Return what a function makes of each item.

    Parameters
    ----------
    fn : callable
        Called with each item once.
    items : iterable
        Also a generator, and any number.
    threads : int, optional
        How many calls at a time, from 1 to 1024. By default what `threadwise.get_num_threads` says.
    progress : bool or callable, optional
        True for a bar, or a function called as ``progress(done, total)`` on the calling thread.
    on_error : {"raise", "collect"}, default "raise"
        Whether the first error is raised, with a note that tells the item, or a
        `threadwise.parallel.Failure` stands in the place of the result.

    Returns
    -------
    Mapped
        The results in the order of the items, threads used.

    Raises
    ------
    DTypeError
        If `fn` cannot be called, or an argument is of another type.
    DomainError
        If an argument is out of range.

    See Also
    --------
    threadwise.parallel.map : what decides whether threads take part.

    Examples
    --------
    >>> import threadwise as tw
    >>> tw.workflows.preprocess(str.lower, ["One", "Two"]).values
    ['one', 'two']
    """
    function("fn", fn, "a function of an item")
    return mapped(fn, items, threads, progress, on_error)


def augment(
    fn: Callable[[Any, np.random.Generator], Any],
    items: Sequence[Any] | np.ndarray[Any, Any],
    variants: int = 1,
    *,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = None,
    on_error: Literal["raise", "collect"] = "raise",
) -> Mapped:
    """Return random variants of each item.

    Parameters
    ----------
    fn : callable
        Called as ``fn(item, rng)`` with a generator of numpy.random, which depends on the seed, the
        number of the item and that of the variant alone.
    items : sequence or ndarray
        The items, or an array whose rows they are.
    variants : int, default 1
        How many of each, at least 1.
    seed : int, default 0
        At least 0.
    threads : int, optional
        How many calls at a time, from 1 to 1024. By default what `threadwise.get_num_threads` says.
    progress : bool or callable, optional
        True for a bar, or a function called as ``progress(done, total)`` on the calling thread.
    on_error : {"raise", "collect"}, default "raise"
        Whether the first error is raised, with a note that tells the variant, or a
        `threadwise.parallel.Failure` stands in the place of the result.

    Returns
    -------
    Mapped
        All variants of the first item, then all of the second, and so on; threads used. The same
        for any number of threads.

    Raises
    ------
    DTypeError
        If `fn` cannot be called, `items` has no length, or an argument is of another type.
    DomainError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> def noisy(x, rng):
    ...     return x + rng.normal(0, 0.1)
    >>> np.round(tw.workflows.augment(noisy, [1.0, 2.0], variants=2, seed=1), 2)
    array([...])
    """
    function("fn", fn, "a function of an item and a generator")
    if not hasattr(items, "__len__") or not hasattr(items, "__getitem__"):
        raise DTypeError(f"items is a {type(items).__name__}, expected a sequence: list(items)")
    each, seed = whole("variants", variants, 1), whole("seed", seed)

    def vary(number: int) -> Any:
        item, variant = divmod(number, each)
        return fn(items[item], generator(seed, Purpose.VARIANT, item, variant))

    return mapped(vary, range(len(items) * each), threads, progress, on_error)


def extract_features(
    fn: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    threads: int | None = None,
    progress: Progress = None,
) -> Mapped:
    """Return a row of features for each item, as an array.

    Parameters
    ----------
    fn : callable
        Called with each item once; returns a number or an array, of the same shape for all.
    items : iterable
        Also a generator, and any number but 0.
    threads : int, optional
        How many calls at a time, from 1 to 1024. By default what `threadwise.get_num_threads` says.
    progress : bool or callable, optional
        True for a bar, or a function called as ``progress(done, total)`` on the calling thread.

    Returns
    -------
    Mapped
        Its `values` are an array, shape (items, ...); threads used.

    Raises
    ------
    ShapeError
        If features differ in shape, or there are no items.
    DTypeError
        If `fn` cannot be called, or an argument is of another type.
    DomainError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> words = ["to", "be", "or", "not"]
    >>> tw.workflows.extract_features(lambda w: (len(w), ord(w[0])), words).values
    array([[  2, 116],
           [  2,  98],
           [  2, 111],
           [  3, 110]])
    """
    function("fn", fn, "a function of an item")
    found = mapped(lambda item: np.asarray(fn(item)), items, threads, progress)
    if not found.values:
        raise ShapeError("items is empty, expected at least one: features would have no shape")
    shape = found.values[0].shape
    for index, row in enumerate(found.values):
        if row.shape != shape:
            raise ShapeError(
                f"the features of item {index} have shape {row.shape}, those of item 0 {shape}: "
                "they must be equal"
            )
    values = np.stack(found.values)
    return Mapped(values=values, threads=found.threads, cap=found.cap, seconds=found.seconds)
