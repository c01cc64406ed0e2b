"""Batches are made while the loop is busy, within bounds, and nothing is left behind."""

import gc
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import threadwise as tw
from threadwise.data import DataLoader
from threadwise.errors import ShapeError

STEP = 0.005


def slow(item: Any) -> Any:
    time.sleep(STEP)
    return item


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def steps(loader: DataLoader) -> Callable[[], None]:
    def loop() -> None:
        for _ in loader:
            time.sleep(STEP)

    return loop


@pytest.mark.timing
def test_a_transform_disappears_behind_a_step_that_takes_as_long() -> None:
    ahead = DataLoader(range(60), 1, transform=slow)
    waiting = DataLoader(range(60), 1, transform=slow, prefetch=0)
    ratios = []
    for _ in range(5):  # a busy machine may be slow at either
        ratios.append(seconds(steps(ahead)) / seconds(steps(waiting)))
        if ratios[-1] < 0.6:
            break
    assert min(ratios) < 0.6  # half, and the first one


@pytest.mark.timing
def test_several_workers_make_batches_at_once() -> None:
    one = seconds(lambda: list(DataLoader(range(40), 1, transform=slow, prefetch=4, workers=1)))
    four = seconds(lambda: list(DataLoader(range(40), 1, transform=slow, prefetch=4, workers=4)))
    assert four < 0.5 * one


def names() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("threadwise-data")]


@pytest.mark.parametrize(("prefetch", "workers"), [(1, 1), (2, 1), (5, 3), (3, 8)])
def test_no_more_is_made_ahead_than_was_asked_for(prefetch: int, workers: int) -> None:
    begun = itertools.count()
    made = [0]

    def counted(item: int) -> int:
        made[0] = next(begun) + 1
        return item

    loader = DataLoader(range(50), 1, transform=counted, prefetch=prefetch, workers=workers)
    for number, _ in enumerate(loader, 1):
        time.sleep(0.002)
        assert made[0] <= number + prefetch
        assert len(names()) <= min(workers, prefetch)
    assert made[0] == 50
    assert names() == []


def test_bytes_ahead_are_bounded() -> None:
    begun = itertools.count()
    made = [0]

    def kilobyte(_: int) -> Any:
        made[0] = next(begun) + 1
        return np.zeros(1000, np.uint8)

    options: dict[str, Any] = {"transform": kilobyte, "prefetch": 20, "workers": 4}
    for number, _ in enumerate(DataLoader(range(60), 1, prefetch_bytes=3500, **options), 1):
        time.sleep(0.002)
        assert made[0] <= number + 3
    begun = itertools.count()
    for number, _ in enumerate(DataLoader(range(20), 1, prefetch_bytes=1, **options), 1):
        time.sleep(0.002)
        assert made[0] <= number + 1  # one is always allowed


def failing(item: int) -> int:
    if item in {13, 17}:
        raise KeyError("no")
    return item


@pytest.mark.parametrize(("prefetch", "workers"), [(0, 1), (1, 1), (6, 4)])
def test_an_error_comes_in_its_place_and_tells_the_item(prefetch: int, workers: int) -> None:
    loader = DataLoader(range(40), 4, transform=failing, prefetch=prefetch, workers=workers)
    found: list[list[int]] = []
    with pytest.raises(KeyError) as caught:
        found.extend(batch.tolist() for batch in loader)
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    note = "threadwise.data.DataLoader: this was raised for item 13, in batch 3 of epoch 0"
    assert caught.value.__notes__ == [note]
    assert names() == []


def test_errors_of_shuffled_items_tell_their_number_in_the_data_set() -> None:
    with pytest.raises(KeyError) as caught:
        list(DataLoader(range(14), 3, shuffle=True, seed=5, transform=failing))
    assert "item 13, in batch" in caught.value.__notes__[0]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_errors_of_batches_and_streams(prefetch: int) -> None:
    def refuse(_: Any) -> Any:
        raise KeyError("no")

    with pytest.raises(KeyError) as caught:
        list(DataLoader(range(4), 2, batch_transform=refuse, prefetch=prefetch))
    assert "batch 0 of epoch 0" in caught.value.__notes__[0]

    def broken() -> Iterator[int]:
        yield from range(5)
        raise OSError("gone")

    found: list[list[int]] = []
    with pytest.raises(OSError, match="gone") as error:
        found.extend(batch.tolist() for batch in DataLoader(broken(), 2, prefetch=prefetch))
    assert found == [[0, 1], [2, 3]]
    assert "the dataset raised this for item 5 of epoch 0" in error.value.__notes__[0]
    ragged = [np.ones(2), np.ones(2), np.ones(2), np.ones(3)]
    with pytest.raises(ShapeError, match=r"item 3 has shape \(3,\), item 2 has \(2,\)"):
        list(DataLoader(ragged, 2, prefetch=prefetch))
    with pytest.raises(ShapeError, match="item 1 has length 1, item 0 has 2"):
        list(DataLoader([(1, 2), (1,)], 2, prefetch=prefetch))
    with pytest.raises(ShapeError, match="item 1 has fields"):
        list(DataLoader([{"a": 1}, {"b": 1}], 2, prefetch=prefetch))


@pytest.mark.timing
def test_leaving_the_loop_with_a_full_queue_ends_the_threads() -> None:
    made = []

    def noted(item: int) -> int:
        made.append(item)
        return item

    loader = DataLoader(range(1000), 1, transform=noted, prefetch=8, workers=3)
    iterator = iter(loader)
    next(iterator)
    while len(made) < 9:
        time.sleep(0.001)
    begin = time.perf_counter()
    iterator.close()  # type: ignore[attr-defined] # as leaving a for does
    assert time.perf_counter() - begin < 0.2
    assert names() == []
    assert len(made) == 9


@pytest.mark.timing
def test_leaving_the_loop_waits_for_an_item_and_not_for_a_batch() -> None:
    loader = DataLoader(range(100_000), 1000, transform=slow, prefetch=4, workers=2)
    first = next(iter(DataLoader(range(4), 4, transform=slow)))
    assert first.tolist() == [0, 1, 2, 3]

    def give_up() -> None:
        iterator = iter(loader)
        stop = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGALRM))
        stop.start()
        with pytest.raises(KeyboardInterrupt):
            next(iterator)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        assert seconds(give_up) < 0.5
    finally:
        signal.signal(signal.SIGALRM, before)
    gc.collect()
    assert names() == []


def test_loops_in_loops_have_threads_of_their_own() -> None:
    outer = DataLoader(range(4), 2)
    inner = DataLoader(range(6), 2)
    found = [(a.tolist(), [b.tolist() for b in inner]) for a in outer]
    assert found == [(a, [[0, 1], [2, 3], [4, 5]]) for a in ([0, 1], [2, 3])]


def test_kernels_in_transforms_share_the_budget() -> None:
    def budget(_: int) -> int:
        return tw.get_num_threads()

    with tw.threads(4):
        batches = list(DataLoader(range(4), 1, transform=budget, prefetch=2, workers=2))
    assert {int(batch[0]) for batch in batches} == {2}
