"""A loop that was left goes on where it was, bit for bit."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from threadwise.data import Cursor, DataLoader
from threadwise.errors import DomainError, DTypeError


def noisy(row: Any, rng: np.random.Generator) -> Any:
    return row + rng.standard_normal(row.shape)


def loader(**options: Any) -> DataLoader:
    given: dict[str, Any] = {"batch_size": 4, "shuffle": True, "seed": 7, "transform": noisy}
    return DataLoader(np.arange(22.0).reshape(11, 2), **given | options)


@pytest.mark.parametrize("stop", range(6))
@pytest.mark.parametrize("prefetch", [0, 3])
def test_another_loader_goes_on_at_a_cursor(stop: int, prefetch: int) -> None:
    whole = loader()
    expected = [batch for _ in range(3) for batch in whole]
    first = loader(prefetch=prefetch, workers=2)
    found: list[Any] = []
    epoch = 0
    while len(found) < stop:
        for batch in first:
            found.append(batch)
            if len(found) == stop:
                break
        epoch += 1
    kept = json.loads(json.dumps(asdict(first.cursor)))
    second = loader(prefetch=prefetch)
    second.seek(kept)
    assert second.cursor == first.cursor
    while second.cursor.epoch < 3:
        found.extend(second)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert_array_equal(ours, theirs)


def test_the_end_of_an_epoch_is_the_beginning_of_the_next() -> None:
    one = loader()
    assert (one.cursor.epoch, one.cursor.batch) == (0, 0)
    places = [(one.cursor.epoch, one.cursor.batch) for _ in one]
    assert places == [(0, 1), (0, 2), (1, 0)]
    assert (one.cursor.epoch, one.cursor.batch) == (1, 0)


def test_a_loop_that_was_left_goes_on_if_it_is_asked_to() -> None:
    one = DataLoader(range(6), 2)
    next(iter(one))
    one.seek(one.cursor)
    assert [batch.tolist() for batch in one] == [[2, 3], [4, 5]]
    assert [batch.tolist() for batch in one] == [[0, 1], [2, 3], [4, 5]]


class Numbers:
    """A stream that can be begun again."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(7))


def test_streams_pass_over_what_was_read() -> None:
    first = DataLoader(Numbers(), 2)
    iterator = iter(first)
    next(iterator)
    next(iterator)
    second = DataLoader(Numbers(), 2)
    second.seek(first.cursor)
    assert [batch.tolist() for batch in second] == [[4, 5], [6]]
    assert (second.cursor.epoch, second.cursor.batch) == (1, 0)
    assert [batch.tolist() for batch in second] == [[0, 1], [2, 3], [4, 5], [6]]


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"seed": 8}, DomainError, "cursor has seed 8, this loader has 7: a cursor is good for"),
        ({"batch_size": 5}, DomainError, "cursor has batch_size 5, this loader has 4"),
        ({"length": 12}, DomainError, "cursor has length 12, this loader has 11"),
        ({"shuffle": False}, DomainError, "cursor has shuffle False"),
        ({"drop_last": True}, DomainError, "cursor has drop_last True"),
        ({"batch": 4}, DomainError, "cursor.batch is 4, expected from 0 to 3"),
        ({"batch": -1}, DomainError, "cursor.batch is -1"),
        ({"epoch": 0.5}, DTypeError, "cursor.epoch is 0.5"),
    ],
)
def test_a_cursor_of_something_else_is_refused(
    change: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    one = loader()
    with pytest.raises(error, match=sentence):
        one.seek(replace(one.cursor, **change))
    assert one.cursor == loader().cursor


@pytest.mark.parametrize("cursor", [3, {"epoch": 1}, None])
def test_what_is_no_cursor_is_refused(cursor: Any) -> None:
    with pytest.raises(DTypeError, match=r"^cursor "):
        loader().seek(cursor)


def test_a_cursor_prints_what_it_is() -> None:
    assert "Cursor(epoch=0, batch=0, seed=7" in repr(loader().cursor)
    assert isinstance(loader().cursor, Cursor)
