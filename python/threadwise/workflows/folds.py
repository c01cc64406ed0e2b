"""Which rows train and which test: folds as indices, never as copies.

Each class has scikit-learn's ``split`` and ``get_n_splits``, so that either library takes the
other's. Without shuffling the folds are those of scikit-learn's class of the same name (groups of
equal size may be dealt in another order).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np

from threadwise._arguments import whole
from threadwise._random import Purpose, generator
from threadwise.data.sources import Indices
from threadwise.errors import DomainError, DTypeError, ShapeError

__all__ = ["GroupKFold", "KFold", "StratifiedKFold", "TimeSeriesSplit", "folds"]

Fold: TypeAlias = tuple[Any, Any]
"""The indices of the rows that train, and of those that test."""


class KFold:
    """Cut rows into parts of the same size, each of which tests once.

    Parameters
    ----------
    n_splits : int, default 5
        How many parts, at least 2. The first ones have a row more if it does not divide.
    shuffle : bool, default False
        Whether rows are mixed before. Else each part is a run of rows, which takes no copy.
    seed : int, default 0
        What the mixing depends on.

    Examples
    --------
    >>> from threadwise.workflows import KFold
    >>> [test.tolist() for train, test in KFold(3).split(range(7))]
    [[0, 1, 2], [3, 4], [5, 6]]
    """

    def __init__(self, n_splits: int = 5, *, shuffle: bool = False, seed: int = 0) -> None:
        self._n = whole("n_splits", n_splits, 2)
        self._shuffle = bool(shuffle)
        self._seed = whole("seed", seed)

    def split(self, x: Any, y: Any = None, groups: Any = None) -> Iterator[Fold]:
        """Yield the indices of training and of test rows of `x`, a fold at a time.

        `y` are labels, for folds that look at them, `groups` what belongs together.
        """
        fold_of = self._fold_of(_length(x), y, groups)
        for fold in range(self._n):
            yield np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)

    def get_n_splits(self, x: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: ARG002
        """Return how many folds there are, whatever `x`, `y` and `groups` are."""
        return self._n

    def _fold_of(self, length: int, y: Any, groups: Any) -> Any:  # noqa: ARG002 - of subclasses
        """Return in which fold each row tests."""
        _enough(length, self._n, "rows", type(self).__name__)
        fold_of = np.repeat(np.arange(self._n), self._sizes(length))
        return self._rng().permutation(fold_of) if self._shuffle else fold_of

    def _sizes(self, length: int) -> Any:
        return length // self._n + (np.arange(self._n) < length % self._n)

    def _rng(self) -> np.random.Generator:
        return generator(self._seed, Purpose.FOLDS)


class StratifiedKFold(KFold):
    """Cut rows into parts in which each class is as frequent as in the whole.

    Parameters
    ----------
    n_splits : int, default 5
        How many parts, at least 2. The largest class must have as many rows; a smaller one is
        missing in some parts.
    shuffle : bool, default False
        Whether the rows of each class are mixed before.
    seed : int, default 0
        What the mixing depends on.

    Examples
    --------
    >>> from threadwise.workflows import StratifiedKFold
    >>> y = ["a", "a", "a", "a", "b", "b"]
    >>> [test.tolist() for train, test in StratifiedKFold(2).split(y, y)]
    [[0, 1, 4], [2, 3, 5]]
    """

    def _fold_of(self, length: int, y: Any, groups: Any) -> Any:  # noqa: ARG002 - as KFold
        labels = _per_row("y", y, length, "StratifiedKFold")
        _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
        # Classes are numbered as they come, so that their names do not matter.
        codes = np.argsort(np.argsort(first))[codes.reshape(-1)]
        counts = np.bincount(codes)
        if counts.max() < self._n:
            most = f"y has at most {counts.max()} rows of a class"
            raise DomainError(f"{most}, StratifiedKFold has {self._n} folds: it needs as many")
        ordered = np.sort(codes)
        fold_of = np.empty(length, np.int64)
        for code in range(len(counts)):
            share = [np.count_nonzero(ordered[fold :: self._n] == code) for fold in range(self._n)]
            mine = np.repeat(np.arange(self._n), share)
            if self._shuffle:
                mine = generator(self._seed, Purpose.FOLDS, code).permutation(mine)
            fold_of[codes == code] = mine
        return fold_of


class GroupKFold(KFold):
    """Cut rows into parts of about the same size that share no group.

    Parameters
    ----------
    n_splits : int, default 5
        How many parts, at least 2, and no more than groups.

    Notes
    -----
    The largest groups are dealt first, each to the part that is the smallest by then.

    Examples
    --------
    >>> from threadwise.workflows import GroupKFold
    >>> groups = [1, 1, 1, 2, 2, 3]
    >>> [test.tolist() for train, test in GroupKFold(2).split(groups, groups=groups)]
    [[0, 1, 2], [3, 4, 5]]
    """

    def __init__(self, n_splits: int = 5) -> None:
        super().__init__(n_splits)

    def _fold_of(self, length: int, y: Any, groups: Any) -> Any:  # noqa: ARG002 - as KFold
        labels = _per_row("groups", groups, length, "GroupKFold")
        _, codes = np.unique(labels, return_inverse=True)
        codes = codes.reshape(-1)
        sizes = np.bincount(codes)
        _enough(len(sizes), self._n, "groups", "GroupKFold")
        filled = np.zeros(self._n, np.int64)
        fold_of_group = np.empty(len(sizes), np.int64)
        for group in np.argsort(-sizes, kind="stable"):
            fold_of_group[group] = np.argmin(filled)
            filled[fold_of_group[group]] += sizes[group]
        return fold_of_group[codes]


class TimeSeriesSplit:
    """Test on runs of rows, and train on rows before them: no fold sees its future.

    Parameters
    ----------
    n_splits : int, default 5
        How many folds, at least 2.
    test_size : int, optional
        Rows that test in each fold. By default the rows divided by ``n_splits + 1``.
    gap : int, default 0
        Rows between training and test that are in neither.
    max_train_size : int, optional
        The most rows that train: the window then slides. By default it expands.

    Examples
    --------
    >>> from threadwise.workflows import TimeSeriesSplit
    >>> for train, test in TimeSeriesSplit(2, gap=1).split(range(6)):
    ...     print(train, test)
    [0] [2 3]
    [0 1 2] [4 5]
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        test_size: int | None = None,
        gap: int = 0,
        max_train_size: int | None = None,
    ) -> None:
        self._n = whole("n_splits", n_splits, 2)
        self._test = None if test_size is None else whole("test_size", test_size, 1)
        self._gap = whole("gap", gap)
        self._most = None if max_train_size is None else whole("max_train_size", max_train_size, 1)

    def split(self, x: Any, y: Any = None, groups: Any = None) -> Iterator[Fold]:  # noqa: ARG002
        """Yield the indices of training and of test rows of `x`, a fold at a time.

        `y` and `groups` are taken for scikit-learn's sake, and not looked at.
        """
        length = _length(x)
        test = length // (self._n + 1) if self._test is None else self._test
        first = length - self._n * test
        if test < 1 or first - self._gap < 1:
            raise DomainError(
                f"x has {length} rows, expected more for {self._n} folds that test {max(test, 1)} "
                f"rows each and a gap of {self._gap}"
            )
        rows = np.arange(length)
        for begin in range(first, length, test):
            end = begin - self._gap
            start = 0 if self._most is None else max(0, end - self._most)
            yield rows[start:end], rows[begin : begin + test]

    def get_n_splits(self, x: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: ARG002
        """Return how many folds there are, whatever `x`, `y` and `groups` are."""
        return self._n


def folds(cv: Any, x: Any, y: Any, groups: Any) -> list[tuple[Indices, Indices]]:
    """Return the folds that an argument ``cv`` means; runs of rows are ranges.

    Raises
    ------
    DTypeError
        If it means none.
    DomainError
        If it makes none.
    """
    if isinstance(cv, bool) or (
        not hasattr(cv, "__index__") and not hasattr(cv, "split") and not isinstance(cv, Iterable)
    ):
        expected = "expected a number of folds, an object with split, or pairs of indices"
        raise DTypeError(f"cv is {cv!r}, {expected}")
    if hasattr(cv, "__index__"):
        cv = KFold(whole("cv", cv, 2))
    pairs = cv.split(x, y, groups) if hasattr(cv, "split") else cv
    found = [(_run(train), _run(test)) for train, test in pairs]
    if not found:
        raise DomainError("cv makes no folds, expected at least one")
    for number, (train, test) in enumerate(found):
        for name, indices in (("train", train), ("test", test)):
            if len(indices) == 0:
                raise DomainError(f"fold {number} has no rows to {name}, expected at least one")
    return found


def _run(indices: Any) -> Indices:
    """Return a range, if that is what indices are."""
    array = np.asarray(indices)
    if array.dtype == bool:
        array = np.flatnonzero(array)
    if array.size and np.array_equal(array, np.arange(array[0], array[0] + array.size)):
        return range(int(array[0]), int(array[0]) + array.size)
    return array


def _length(x: Any) -> int:
    if not hasattr(x, "__len__"):
        raise DTypeError(f"x is a {type(x).__name__}, expected an array")
    return len(x)


def _per_row(name: str, values: Any, length: int, who: str) -> Any:
    if values is None:
        raise DomainError(f"{name} is None, expected one for each row: {who} needs them")
    array = np.asarray(values)
    if array.shape != (length,):
        raise ShapeError(f"{name} has shape {array.shape}, x has {length} rows: expected one each")
    return array


def _enough(found: int, needed: int, what: str, who: str) -> None:
    if found < needed:
        raise DomainError(f"there are {found} {what}, {who} has {needed} folds: it needs as many")
