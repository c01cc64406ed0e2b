"""Many items: varied reproducibly, measured, changed, in order."""

import itertools
import threading
import time
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from strategies import normal
from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.parallel import Failure
from threadwise.workflows import augment, extract_features, preprocess


def noisy(x: Any, rng: np.random.Generator) -> Any:
    return x + rng.standard_normal(np.shape(x))


def test_variants_follow_from_seed_item_and_variant() -> None:
    x = np.zeros((10, 4))
    all_of_them = np.asarray(augment(noisy, x, 3, seed=5))
    assert all_of_them.shape == (30, 4)
    assert len(np.unique(all_of_them)) == 120
    for threads in (1, 2, 4):
        found = augment(noisy, x, 3, seed=5, threads=threads)
        assert_array_equal(np.asarray(found), all_of_them)
    fewer = np.asarray(augment(noisy, x[:6], 2, seed=5)).reshape(6, 2, 4)
    assert_array_equal(fewer, all_of_them.reshape(10, 3, 4)[:6, :2])
    assert (np.asarray(augment(noisy, x, 3, seed=6)) != all_of_them).all()


def test_variants_of_an_item_stand_together() -> None:
    found = augment(lambda item, _: item, ["a", "b"], 2)
    assert list(found) == ["a", "a", "b", "b"]
    assert (len(found), found[2]) == (4, "b")
    assert list(augment(noisy, [], 2)) == []


def test_items_are_changed_in_order() -> None:
    found = preprocess(lambda x: x * 2, (x for x in range(1000)))
    assert found.values == [x * 2 for x in range(1000)]
    told: list[tuple[int, int | None]] = []
    preprocess(abs, [1, 2], progress=lambda *t: told.append(t))
    assert told[-1] == (2, 2)


def test_the_result_says_who_took_part() -> None:
    names = set()

    def slow(_: int) -> None:
        names.add(threading.get_ident())
        time.sleep(0.002)

    found = preprocess(slow, range(60), threads=3)
    assert found.threads == len(names) > 1
    assert found.cap == 3
    assert preprocess(slow, range(2), threads=3).cap == 2
    assert "60 items, " in repr(found)
    assert "threads of at most 3" in repr(found)


def failing(x: int) -> float:
    return 1 / (x - 3)


def test_errors_tell_their_item() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        preprocess(failing, range(9))
    assert "item 3" in caught.value.__notes__[0]
    assert isinstance(preprocess(failing, range(9), on_error="collect")[3], Failure)
    with pytest.raises(ZeroDivisionError) as caught:
        augment(lambda x, _: failing(x), range(9), 2)
    assert "item 6" in caught.value.__notes__[0]
    varied = augment(lambda x, _: failing(x), range(9), 2, on_error="collect")
    assert [each.index for each in varied if isinstance(each, Failure)] == [6, 7]


def test_features_are_rows() -> None:
    x = normal((20, 6))
    found = extract_features(lambda row: (row.min(), row.max()), x)
    assert_array_equal(found.values, np.stack([x.min(axis=1), x.max(axis=1)], axis=1))
    assert extract_features(len, ["a", "bc"]).values.tolist() == [1, 2]
    assert "shape (20, 2)" in repr(found)
    with pytest.raises(ShapeError, match=r"features of item 2 have shape \(3,\), those of item 0"):
        extract_features(list, ["ab", "cd", "efg"])
    with pytest.raises(ShapeError, match="items is empty"):
        extract_features(len, [])


@pytest.mark.parametrize("work", [preprocess, augment, extract_features])
def test_arguments_that_make_no_sense(work: Any) -> None:
    with pytest.raises(DTypeError, match="fn is 3"):
        work(3, [1])
    with pytest.raises(DomainError, match="threads is 0"):
        work(lambda *_: 1, [1], threads=0)


def test_variants_that_make_no_sense() -> None:
    with pytest.raises(DomainError, match="variants is 0"):
        augment(noisy, [1], 0)
    with pytest.raises(DomainError, match="seed is -1"):
        augment(noisy, [1], seed=-1)
    with pytest.raises(DTypeError, match="items is a count, expected a sequence"):
        augment(noisy, itertools.count())  # type: ignore[arg-type]
