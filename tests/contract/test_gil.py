"""Python's lock: given up for long work, so that other threads go on, and kept for tiny work."""

import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import threadwise as tw
from strategies import normal

ENOUGH = 100_000


@pytest.fixture
def _no_switches_unless_offered() -> Iterator[None]:
    """Lets a Python thread keep the lock until it gives it up by itself."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(30)
    yield
    sys.setswitchinterval(before)


def _progress_elsewhere(work: Callable[[], object], seconds: float = 0) -> int:
    """How far another thread, which wants the lock all the time, counts during the work.

    The work is done once, and again for some seconds while the other thread has not counted to the
    end: on a busy machine it may have to wait for a processor too.
    """
    gate = threading.Lock()
    count, stop = 0, False

    def counting() -> None:
        nonlocal count
        with gate:
            while count < ENOUGH and not stop:  # ends, or the lock would never come back
                count += 1

    gate.acquire()
    thread = threading.Thread(target=counting)
    thread.start()
    time.sleep(0.05)  # it waits at the gate
    gate.release()
    patience = time.perf_counter() + 0.05
    while time.perf_counter() < patience:
        pass  # it waits for the lock
    assert count == 0
    end = time.perf_counter() + seconds
    work()
    while count < ENOUGH and time.perf_counter() < end:
        work()
    progress = count
    stop = True
    thread.join()
    return progress


def _repeat(work: Callable[[], object], times: int) -> Callable[[], object]:
    def all_of_it() -> None:
        for _ in range(times):
            work()

    return all_of_it


pytestmark = [pytest.mark.timing, pytest.mark.usefixtures("_no_switches_unless_offered")]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_other_threads_go_on_during_long_work(threads: int, dtype: type) -> None:
    a = normal((700, 700), dtype)
    assert _progress_elsewhere(lambda: tw.matmul(a, a, threads=threads), 10) == ENOUGH
    assert _progress_elsewhere(lambda: tw.linear(a, a, threads=threads), 10) == ENOUGH
    model, labels = tw.train.MLP([700, 700, 7], dtype=dtype), np.zeros(700, int)
    optimizer = tw.train.AdamW()
    step = _repeat(lambda: model.train_step(a, labels, optimizer, threads=threads), 1)
    assert _progress_elsewhere(step, 10) == ENOUGH


@pytest.mark.parametrize(
    ("shape", "times"), [((4, 4), 20_000), ((8,), 20_000), ((16, 16), 20_000), ((70, 70), 2000)]
)
def test_the_lock_is_kept_for_tiny_work(shape: tuple[int, ...], times: int) -> None:
    a = normal(shape)
    out = np.empty(np.shape(tw.matmul(a, a)), np.float32)
    assert _progress_elsewhere(_repeat(lambda: tw.matmul(a, a), times)) == 0
    assert _progress_elsewhere(_repeat(lambda: tw.matmul(a, a, out, threads=2), times)) == 0
    if len(shape) == 2:
        assert _progress_elsewhere(_repeat(lambda: tw.linear(a, a), times)) == 0


def test_these_tests_notice_a_lock_that_is_given_up_for_microseconds() -> None:
    text = bytes(6000)  # just above what the standard library gives up the lock for
    work = _repeat(lambda: zlib.crc32(text), 2000)
    assert any(_progress_elsewhere(work) > 0 for _ in range(20))
