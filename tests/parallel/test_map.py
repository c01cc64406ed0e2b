"""A loop that uses threads where they pay."""

import operator
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

import threadwise as tw
from threadwise.errors import DomainError, DTypeError
from threadwise.parallel import Failure
from threadwise.parallel import map as parallel_map


def sleepy(x: int) -> int:
    time.sleep(0.002)
    return x * x


def failing(x: int) -> int:
    time.sleep(0.001)
    if x in {70, 71, 140}:
        raise ValueError(f"no {x}")
    return x


@given(st.lists(st.integers(), max_size=300), st.integers(1, 5), st.integers(1, 50))
def test_it_is_the_loop(items: list[int], threads: int, chunk: int) -> None:
    expected = [operator.neg(x) for x in items]
    assert parallel_map(operator.neg, items, threads=threads, chunk=chunk) == expected
    assert parallel_map(operator.neg, iter(items), threads=threads) == expected


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_results_of_slow_calls_are_in_order(count: int) -> None:
    assert parallel_map(sleepy, range(count), threads=4) == [x * x for x in range(count)]
    assert parallel_map(sleepy, (x for x in range(count)), threads=4, chunk=3) == [
        x * x for x in range(count)
    ]


@pytest.mark.timing
def test_slow_calls_overlap_and_the_caller_takes_part() -> None:
    names = set()

    def named(_: int) -> None:
        names.add(threading.current_thread().name)
        time.sleep(0.002)

    begin = time.perf_counter()
    parallel_map(named, range(400), threads=8)
    assert time.perf_counter() - begin < 0.4  # a loop takes 0.8 s, eight threads 0.1
    assert threading.current_thread().name in names
    assert 1 < len(names) <= 8


def test_small_work_stays_on_the_calling_thread() -> None:
    names = set()

    def named(_: int) -> None:
        names.add(threading.current_thread().name)

    parallel_map(named, range(100), threads=8)
    assert names == {threading.current_thread().name}


def test_one_thread_is_the_loop() -> None:
    names = set()

    def named(_: int) -> None:
        names.add(threading.current_thread().name)
        time.sleep(0.001)

    parallel_map(named, range(30), threads=1)
    assert names == {threading.current_thread().name}


def test_generators_are_advanced_by_one_thread_at_a_time() -> None:
    inside = threading.Lock()

    def numbers() -> Iterator[int]:
        for i in range(300):
            assert inside.acquire(blocking=False)
            time.sleep(0.0001)
            inside.release()
            yield i

    assert parallel_map(sleepy, numbers(), threads=6) == [x * x for x in range(300)]


@pytest.mark.parametrize("threads", [1, 2, 6])
def test_the_first_error_is_raised_with_its_item(threads: int) -> None:
    with pytest.raises(ValueError, match="no 70") as caught:
        parallel_map(failing, range(200), threads=threads)
    assert caught.value.__notes__ == ["threadwise.parallel.map: this was raised for item 70"]


@pytest.mark.parametrize("threads", [1, 6])
def test_errors_can_be_collected(threads: int) -> None:
    found = parallel_map(failing, range(150), threads=threads, on_error="collect")
    failures = [x for x in found if isinstance(x, Failure)]
    assert [failure.index for failure in failures] == [70, 71, 140]
    assert all(found[failure.index] is failure for failure in failures)
    assert str(failures[0].error) == "no 70"
    assert [x for x in found if not isinstance(x, Failure)] == [
        x for x in range(150) if x not in {70, 71, 140}
    ]


@pytest.mark.timing
@pytest.mark.parametrize("threads", [1, 4])
def test_timeouts(threads: int) -> None:
    sentence = r"map has the results of \d+ of 1000 items after 0.05 s, expected all"
    begin = time.perf_counter()
    with pytest.raises(TimeoutError, match=sentence):
        parallel_map(sleepy, range(1000), threads=threads, timeout=0.05)
    assert time.perf_counter() - begin < 0.5
    assert parallel_map(sleepy, range(5), threads=threads, timeout=20) == [0, 1, 4, 9, 16]


def test_progress() -> None:
    told: list[tuple[int, int | None]] = []
    parallel_map(sleepy, range(300), threads=2, progress=lambda *event: told.append(event))
    assert len(told) >= 3
    assert told[-1] == (300, 300)
    assert told == sorted(told)
    told.clear()
    parallel_map(abs, iter([1, 2]), progress=lambda *event: told.append(event))
    assert told == [(2, None)]


def test_what_progress_raises_ends_the_map() -> None:
    def refuse(*_: object) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        parallel_map(sleepy, range(1000), threads=2, progress=refuse)


def test_kernels_share_the_budget_and_it_is_put_back() -> None:
    seen = set()

    def budget(_: int) -> None:
        seen.add(tw.get_num_threads())
        time.sleep(0.001)

    with tw.threads(4):
        parallel_map(budget, range(200), threads=2)
        assert tw.get_num_threads() == 4
    assert seen == {4, 2}  # alone at first


@pytest.mark.timing
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_control_c_ends_it() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        begin = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            parallel_map(sleepy, range(10_000), threads=3)
        assert time.monotonic() - begin < 1
    finally:
        signal.signal(signal.SIGALRM, before)


def pid(_: int) -> int:
    time.sleep(0.005)
    return os.getpid()


def test_another_executor() -> None:
    with ProcessPoolExecutor(2) as processes:
        assert parallel_map(sleepy, range(200), executor=processes) == [x * x for x in range(200)]
        assert len(set(parallel_map(pid, range(200), executor=processes))) > 1
        found = parallel_map(failing, range(200), executor=processes, on_error="collect")
        assert [x.index for x in found if isinstance(x, Failure)] == [70, 71, 140]
        with pytest.raises(ValueError, match="no 70") as caught:
            parallel_map(failing, range(200), executor=processes)
        assert "item 70" in caught.value.__notes__[0]
    with ThreadPoolExecutor(2) as threads:
        assert parallel_map(sleepy, iter(range(100)), executor=threads, chunk=7, threads=3) == [
            x * x for x in range(100)
        ]
        with pytest.raises(TimeoutError, match="expected all"):
            parallel_map(sleepy, range(1000), executor=threads, timeout=0.05)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"on_error": "ignore"}, DomainError, "on_error is 'ignore'"),
        ({"timeout": -1}, DomainError, "timeout is -1"),
        ({"chunk": 0}, DomainError, "chunk is 0"),
        ({"chunk": "large"}, DTypeError, "chunk is 'large'"),
        ({"threads": 0}, DomainError, "threads is 0"),
        ({"executor": 3}, DTypeError, "executor is a int, expected a concurrent.futures.Executor"),
    ],
)
def test_arguments_that_make_no_sense(
    options: dict[str, object], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        parallel_map(abs, [1], **options)  # type: ignore[arg-type]
