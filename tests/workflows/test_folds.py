"""Folds: each row tests once, groups stay together, no fold sees its future."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn import model_selection

from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.workflows import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit
from threadwise.workflows.folds import folds


def same(ours: Any, theirs: Any) -> None:
    ours, theirs = list(ours), list(theirs)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert_array_equal(mine[0], other[0])
        assert_array_equal(mine[1], other[1])


def is_partition(pairs: Any, length: int) -> None:
    tests = []
    for train, test in pairs:
        assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(length))
        tests.append(test)
    assert_array_equal(np.sort(np.concatenate(tests)), np.arange(length))


@given(st.integers(2, 8), st.integers(0, 40), st.booleans(), st.integers(0, 3))
def test_each_row_tests_once(n: int, more: int, shuffle: bool, seed: int) -> None:
    length = n + more
    split = KFold(n, shuffle=shuffle, seed=seed)
    pairs = list(split.split(range(length)))
    is_partition(pairs, length)
    assert split.get_n_splits() == len(pairs) == n
    assert max(len(test) for _, test in pairs) - min(len(test) for _, test in pairs) <= 1
    if not shuffle:
        same(pairs, model_selection.KFold(n).split(np.zeros(length)))


def test_shuffled_folds_follow_from_the_seed() -> None:
    def tests(seed: int) -> list[list[int]]:
        return [test.tolist() for _, test in KFold(3, shuffle=True, seed=seed).split(range(30))]

    assert tests(1) == tests(1)
    assert tests(1) != tests(2)
    assert tests(1) != [test.tolist() for _, test in KFold(3).split(range(30))]


@given(st.lists(st.sampled_from("abc"), min_size=8, max_size=60), st.integers(2, 4), st.booleans())
def test_each_class_is_as_frequent_in_every_part(labels: list[str], n: int, shuffle: bool) -> None:
    counts = {label: labels.count(label) for label in labels}
    if max(counts.values()) < n:
        with pytest.raises(DomainError, match=f"y has at most .* StratifiedKFold has {n} folds"):
            list(StratifiedKFold(n).split(labels, labels))
        return
    pairs = list(StratifiedKFold(n, shuffle=shuffle, seed=1).split(labels, labels))
    is_partition(pairs, len(labels))
    for label, count in counts.items():
        found = [np.sum(np.array(labels)[test] == label) for _, test in pairs]
        assert max(found) - min(found) <= 1
        assert sum(found) == count
    if not shuffle and min(counts.values()) >= n:  # it warns of less
        same(pairs, model_selection.StratifiedKFold(n).split(np.zeros(len(labels)), labels))


@given(st.lists(st.integers(0, 7), min_size=3, max_size=60), st.integers(2, 3))
def test_groups_stay_together(groups: list[int], n: int) -> None:
    if len(set(groups)) < n:
        with pytest.raises(DomainError, match=f"groups, GroupKFold has {n} folds"):
            list(GroupKFold(n).split(groups, groups=groups))
        return
    pairs = list(GroupKFold(n).split(groups, groups=groups))
    is_partition(pairs, len(groups))
    for train, test in pairs:
        assert not set(np.array(groups)[train]) & set(np.array(groups)[test])


def test_groups_are_dealt_as_scikit_learn_does() -> None:
    groups = np.repeat([3, 1, 4, 2, 5], [7, 5, 4, 2, 1])
    theirs = model_selection.GroupKFold(3).split(groups, groups=groups)
    same(GroupKFold(3).split(groups, groups=groups), theirs)


@pytest.mark.parametrize("gap", [0, 2])
@pytest.mark.parametrize("most", [None, 5])
@pytest.mark.parametrize("test_size", [None, 3])
def test_no_fold_sees_its_future(gap: int, most: int | None, test_size: int | None) -> None:
    options: dict[str, Any] = {"gap": gap, "max_train_size": most, "test_size": test_size}
    pairs = list(TimeSeriesSplit(4, **options).split(range(31)))
    same(pairs, model_selection.TimeSeriesSplit(4, **options).split(np.zeros(31)))
    for train, test in pairs:
        assert train.max() + gap < test.min()
        assert most is None or len(train) <= most


def test_runs_of_rows_are_ranges() -> None:
    x = np.zeros(12)
    assert [type(test) for _, test in folds(3, x, None, None)] == [range] * 3
    assert {type(i) for pair in folds(TimeSeriesSplit(3), x, None, None) for i in pair} == {range}
    mask = np.arange(12) < 4
    [(train, test)] = folds([(~mask, mask)], x, None, None)
    assert (list(train), list(test)) == ([*range(4, 12)], [*range(4)])


@pytest.mark.parametrize(
    ("splitter", "groups"),
    [
        (model_selection.KFold(3), None),
        (model_selection.StratifiedKFold(3, shuffle=True, random_state=0), None),
        (model_selection.GroupKFold(2), np.arange(12) // 4),
        (model_selection.ShuffleSplit(4, random_state=0), None),
        (model_selection.LeaveOneOut(), None),
        (KFold(3), None),
    ],
)
def test_either_library_takes_the_others(splitter: Any, groups: Any) -> None:
    x, y = np.zeros((12, 2)), np.arange(12) % 2
    found = folds(splitter, x, y, groups)
    same(found, splitter.split(x, y, groups))
    assert splitter.get_n_splits(x, y, groups) == len(found)


@pytest.mark.parametrize(
    ("cv", "error", "sentence"),
    [
        (1, DomainError, "cv is 1, expected a whole number, at least 2"),
        (True, DTypeError, "cv is True, expected a number of folds"),
        (2.5, DTypeError, "cv is 2.5"),
        ([], DomainError, "cv makes no folds"),
        ([([0], [])], DomainError, "fold 0 has no rows to test"),
        (7, DomainError, "there are 6 rows, KFold has 7 folds"),
        (StratifiedKFold(2), DomainError, "y is None, expected one for each row"),
        (GroupKFold(2), DomainError, "groups is None, expected one for each row"),
        (TimeSeriesSplit(6), DomainError, "x has 6 rows, expected more for 6 folds"),
        (TimeSeriesSplit(2, gap=2), DomainError, "and a gap of 2"),
    ],
)
def test_folds_that_make_no_sense(cv: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        folds(cv, np.zeros(6), None, None)


def test_labels_of_another_length_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"y has shape \(2,\), x has 6 rows: expected one each"):
        list(StratifiedKFold(2).split(np.zeros(6), [0, 1]))


def test_arguments_that_make_no_sense() -> None:
    with pytest.raises(DomainError, match="n_splits is 1"):
        KFold(1)
    with pytest.raises(DTypeError, match="seed is 'x'"):
        KFold(2, seed="x")  # type: ignore[arg-type]
    with pytest.raises(DomainError, match="test_size is 0"):
        TimeSeriesSplit(2, test_size=0)
