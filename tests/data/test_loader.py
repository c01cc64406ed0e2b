"""Batches of a data set: every item once, in order, the same for any number of threads."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from threadwise.data import DataLoader, Subset
from threadwise.errors import DomainError, DTypeError, ShapeError

counts = st.integers(0, 40)
sizes = st.integers(1, 12)
flags = st.fixed_dictionaries({"shuffle": st.booleans(), "drop_last": st.booleans()})


def flat(loader: DataLoader) -> list[int]:
    return [int(item) for batch in loader for item in batch]


@given(counts, sizes, st.integers(0, 4), st.integers(1, 3), flags)
def test_each_item_comes_once_an_epoch(
    count: int, size: int, prefetch: int, workers: int, options: dict[str, Any]
) -> None:
    loader = DataLoader(np.arange(count), size, prefetch=prefetch, workers=workers, **options)
    batches = list(loader)
    assert len(batches) == len(loader)
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    found = [int(item) for batch in batches for item in batch]
    if options["drop_last"]:
        assert len(found) == count // size * size
        assert len(set(found)) == len(found)
    else:
        assert sorted(found) == list(range(count))
    if not options["shuffle"]:
        assert found == list(range(len(found)))


def test_epochs_have_orders_of_their_own_that_follow_from_the_seed() -> None:
    loader, again = (DataLoader(np.arange(50), 8, shuffle=True, seed=3) for _ in range(2))
    first, second = flat(loader), flat(loader)
    assert first != second
    assert [flat(again), flat(again)] == [first, second]
    assert flat(DataLoader(np.arange(50), 8, shuffle=True, seed=4)) != first


def test_orders_are_the_same_for_ever() -> None:
    loader = DataLoader(np.arange(8), 8, shuffle=True, seed=0)
    assert [flat(loader), flat(loader)] == [
        [7, 6, 3, 2, 4, 1, 5, 0],
        [2, 5, 1, 6, 7, 0, 4, 3],
    ]


def scaled(item: Any, rng: np.random.Generator) -> Any:
    return item + rng.standard_normal(3)


def test_random_transforms_depend_on_seed_epoch_and_item_alone() -> None:
    x = np.zeros((20, 3))

    def epochs(**options: Any) -> list[Any]:
        loader = DataLoader(x, transform=scaled, **options)
        return [np.concatenate(list(loader)) for _ in range(2)]

    first, second = epochs(batch_size=4)
    assert (first != second).all()
    assert len(np.unique(first)) == first.size
    for options in ({"batch_size": 7, "workers": 3, "prefetch": 4}, {"prefetch": 0}):
        assert_array_equal(epochs(**options), [first, second])
    assert (epochs(seed=1)[0] != first).all()


class Pair(NamedTuple):
    """An item with names."""

    x: Any
    y: Any


@pytest.mark.parametrize("transform", [None, lambda item: item], ids=["at once", "one by one"])
def test_batches_have_the_container_of_the_items(transform: Any) -> None:
    x, y = np.arange(6.0).reshape(3, 2), np.arange(3)

    def batch(dataset: Any) -> Any:
        return next(iter(DataLoader(dataset, 2, transform=transform)))

    assert_array_equal(batch(x), x[:2])
    pair = batch((x, y))
    assert type(pair) is tuple
    assert_array_equal(pair[0], x[:2])
    assert_array_equal(pair[1], y[:2])
    named = batch({"x": x, "y": y})
    assert list(named) == ["x", "y"]
    assert_array_equal(named["x"], x[:2])
    listed = batch([Pair(row, n) for n, row in enumerate(x)])
    assert type(listed) is Pair
    assert_array_equal(listed.x, x[:2])
    assert_array_equal(listed.y, y[:2])
    assert batch(["a", "b", "c"]) == ["a", "b"]
    assert batch([{"n": 1}, {"n": 2}])["n"].tolist() == [1, 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_batches_are_new_arrays_of_the_same_dtype(dtype: Any) -> None:
    x = np.ones((5, 2), dtype)
    for batch in DataLoader(x, 2):
        assert batch.dtype == dtype
        batch[:] = 0
    assert (x == 1).all()


def test_transforms_cannot_write_into_the_data_set() -> None:
    def careless(row: Any) -> Any:
        row[:] = 0

    with pytest.raises(ValueError, match="read-only"):
        list(DataLoader(np.ones((5, 2)), transform=careless))


def test_a_file_that_is_mapped_into_memory(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "rows", np.float32, "w+", shape=(10, 4))
    mapped[:] = np.arange(40).reshape(10, 4)
    batches = list(DataLoader(mapped, 4, shuffle=True, seed=1))
    assert {type(batch) for batch in batches} == {np.ndarray}
    assert_array_equal(np.sort(np.concatenate(batches), axis=0), mapped)


class Squares:
    """A data set of one's own."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> int:
        return index * index


def test_anything_with_a_length_and_numbers() -> None:
    assert flat(DataLoader(Squares(), 3)) == [0, 1, 4, 9, 16, 25, 36]
    assert flat(DataLoader(range(5), 3)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("prefetch", [0, 3])
def test_streams(prefetch: int) -> None:
    def numbers() -> Iterator[int]:
        yield from range(7)

    batches = [batch.tolist() for batch in DataLoader(numbers(), 3, prefetch=prefetch, workers=3)]
    assert batches == [[0, 1, 2], [3, 4, 5], [6]]
    dropped = DataLoader(numbers(), 3, drop_last=True, prefetch=prefetch)
    assert [batch.tolist() for batch in dropped] == [[0, 1, 2], [3, 4, 5]]
    endless = DataLoader(itertools.count(), 4, prefetch=prefetch, transform=lambda x: x + 1)
    assert next(iter(endless)).tolist() == [1, 2, 3, 4]


def test_batches_may_be_made_and_changed_by_functions() -> None:
    loader = DataLoader(range(5), 2, collate=sum, batch_transform=lambda total: -total)
    assert list(loader) == [-1, -5, -4]
    rows = DataLoader(np.arange(4.0), 2, batch_transform=lambda batch: batch * 2)
    assert flat(rows) == [0, 2, 4, 6]


def test_subsets_are_data_sets() -> None:
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10)
    chosen = Subset((x, y), [7, 1, 1, 4])
    inputs, targets = next(iter(DataLoader(chosen, 10)))
    assert_array_equal(inputs, x[[7, 1, 1, 4]])
    assert targets.tolist() == [7, 1, 1, 4]
    assert flat(DataLoader(Subset(chosen, [2, 0]), 2, collate=lambda ps: [p[1] for p in ps])) == [
        1,
        7,
    ]
    assert sorted(flat(DataLoader(Subset(y, range(1, 9, 3)), 2, shuffle=True))) == [1, 4, 7]
    assert list(Subset(range(10), [3, 5])) == [3, 5]


def test_subsets_of_ranges_copy_nothing() -> None:
    x = np.arange(10.0)
    assert np.shares_memory(Subset(x, range(2, 5))._source.array, x)  # type: ignore[attr-defined] # noqa: SLF001
    assert Subset(x, range(2, 5)).indices.tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("dataset", "options", "error", "sentence"),
    [
        ([1], {"batch_size": 0}, DomainError, "batch_size is 0, expected a whole number, at least"),
        ([1], {"batch_size": 2.5}, DTypeError, r"batch_size is 2.5 \(a float\)"),
        ([1], {"prefetch": -1}, DomainError, "prefetch is -1"),
        ([1], {"prefetch_bytes": 0}, DomainError, "prefetch_bytes is 0"),
        ([1], {"workers": 0}, DomainError, "workers is 0"),
        ([1], {"seed": -1}, DomainError, "seed is -1"),
        ([1], {"transform": 3}, DTypeError, r"transform is 3 \(a int\), expected a function of an"),
        ([1], {"collate": 3}, DTypeError, "collate is 3"),
        ([1], {"batch_transform": 3}, DTypeError, "batch_transform is 3"),
        (iter([1]), {"shuffle": True}, DomainError, "without numbers, expected a sequence"),
        (3, {}, DTypeError, "dataset is a int, expected arrays, a sequence or an iterable"),
        (np.float32(3), {}, DTypeError, "dataset is a float32"),
        (np.array(3), {}, ShapeError, "dataset has no axes"),
        ({}, {}, DomainError, "dataset is an empty mapping"),
        (
            (np.ones(3), np.ones(4)),
            {},
            ShapeError,
            r"dataset\[0\] has 3 rows, dataset\[1\] has 4: they must be equal",
        ),
    ],
)
def test_arguments_that_make_no_sense(
    dataset: Any, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        DataLoader(dataset, **options)


@pytest.mark.parametrize(
    ("dataset", "indices", "error", "sentence"),
    [
        (np.ones(3), [0, 3], DomainError, "indices has 3, expected from 0 to 2"),
        (np.ones(3), [-1], DomainError, "indices has -1"),
        (np.ones(3), range(2, 5), DomainError, "indices has 4"),
        (np.ones(3), [0.5], DTypeError, "indices are float64"),
        (np.ones(3), [[0]], ShapeError, r"indices has shape \(1, 1\)"),
        (iter([1]), [0], DTypeError, "expected one with a length"),
    ],
)
def test_subsets_that_make_no_sense(
    dataset: Any, indices: Any, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        Subset(dataset, indices)


def test_frames_are_refused_because_their_numbers_are_names() -> None:
    class Frame:
        iloc = None

        def __len__(self) -> int:
            return 3

    with pytest.raises(DTypeError, match=r"dataset is a Frame, expected .* use to_numpy\(\)"):
        DataLoader(Frame())


def test_a_stream_has_no_length() -> None:
    with pytest.raises(DTypeError, match="without a length"):
        len(DataLoader(iter([1])))
