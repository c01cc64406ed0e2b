"""An executor whose tasks share one budget."""

import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import (
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    as_completed,
    wait,
)

import numpy as np
import pytest
import threadpoolctl

import threadwise as tw
from interpreters import run
from threadwise.errors import DomainError, DTypeError
from threadwise.parallel import ThreadExecutor


def fibonacci(executor: Executor, n: int) -> int:
    if n < 2:
        return n
    one, other = (executor.submit(fibonacci, executor, n - less) for less in (1, 2))
    return int(one.result() + other.result())


def test_it_does_what_the_standard_one_does() -> None:
    with ThreadExecutor(2) as ours, ThreadPoolExecutor(2) as standard:
        for executor in (ours, standard):
            assert executor.submit(divmod, 7, 2).result() == (3, 1)
            assert executor.submit(int, "12", base=8).result() == 10
            assert list(executor.map(pow, [2, 3], [3, 2], timeout=20)) == [8, 9]
            error = executor.submit(divmod, 1, 0).exception(20)
            assert isinstance(error, ZeroDivisionError)
        assert isinstance(ours.submit(int), Future)


def test_so_many_tasks_run_at_a_time() -> None:
    lock, gate = threading.Lock(), threading.Barrier(3, timeout=20)
    running: list[int] = [0, 0]

    def task() -> None:
        with lock:
            running[0] += 1
            running[1] = max(running)
        gate.wait()
        with lock:
            running[0] -= 1

    with ThreadExecutor(3) as executor:
        assert executor.threads == 3
        for each in [executor.submit(task) for _ in range(9)]:
            each.result(20)
    assert running == [0, 3]


def test_results_come_in_order_and_arguments_are_taken_as_they_are_needed() -> None:
    taken = []

    def numbers() -> Iterator[int]:
        for i in range(1000):
            taken.append(i)
            yield i

    def late_if_early(i: int) -> int:
        time.sleep(0.002 if i % 3 == 0 else 0)
        return i

    with ThreadExecutor(2) as executor:
        results = executor.map(late_if_early, numbers())
        assert [next(results) for _ in range(50)] == list(range(50))
        assert len(taken) < 100
        assert list(executor.map(abs, range(-1000, 0), chunksize=7)) == list(range(1000, 0, -1))


def test_waiting_for_others() -> None:
    with ThreadExecutor(2) as executor:
        tasks = [executor.submit(time.sleep, 0.001 * i) for i in range(20)]
        assert len(wait(tasks, timeout=20).done) == 20
        squares: list[Future[int]] = [executor.submit(pow, i, 2) for i in range(20)]
        assert sum(task.result() for task in as_completed(squares, timeout=20)) == 2470


def test_tasks_may_submit_tasks_and_wait_for_them() -> None:
    with ThreadExecutor(2) as executor:
        assert executor.submit(fibonacci, executor, 12).result(60) == 144

        def pieces(n: int) -> int:
            return int(sum(executor.map(pieces, range(n)))) + 1

        assert executor.submit(pieces, 5).result(60) == 32

        def both(n: int) -> int:
            tasks = [executor.submit(both, n - 1) for _ in range(2)] if n else []
            wait(tasks)
            return 1 + sum(int(task.result()) for task in tasks)

        assert executor.submit(both, 5).result(60) == 63


def test_a_full_backlog_makes_submitters_wait_but_not_tasks() -> None:
    gate = threading.Event()
    submitted = []
    with ThreadExecutor(1, backlog=2) as executor:
        executor.submit(gate.wait, 20)

        def submit() -> None:
            for i in range(6):
                submitted.append(executor.submit(int, i))  # noqa: PERF401 - one by one

        other = threading.Thread(target=submit)
        other.start()
        time.sleep(0.1)
        assert len(submitted) < 4
        gate.set()
        other.join(20)
        assert [task.result(20) for task in submitted] == list(range(6))
        assert executor.submit(fibonacci, executor, 10).result(60) == 55


def test_tasks_can_be_cancelled_until_they_begin() -> None:
    gate, begun = threading.Event(), threading.Event()
    with ThreadExecutor(1) as executor:

        def first() -> bool:
            begun.set()
            return gate.wait(20)

        running, waiting = executor.submit(first), executor.submit(int)
        told: list[Future[int]] = []
        waiting.add_done_callback(told.append)
        assert begun.wait(20)
        assert running.running()
        assert not running.cancel()
        assert waiting.cancel()
        assert waiting.cancelled()
        assert waiting.done()
        assert told == [waiting]
        with pytest.raises(CancelledError):
            waiting.result(0)
        gate.set()
        assert running.result(20)
    assert wait([running, waiting], timeout=20).not_done == set()


def test_shutdown() -> None:
    gate = threading.Event()
    executor = ThreadExecutor(1)
    running = executor.submit(gate.wait, 20)
    while not running.running():
        time.sleep(0.001)
    waiting = executor.submit(int)
    threading.Timer(0.05, gate.set).start()
    executor.shutdown(cancel_futures=True)
    assert running.result(0)
    assert waiting.cancelled()
    with pytest.raises(RuntimeError, match="the executor was shut down"):
        executor.submit(int)
    left = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith("threadwise-task") for name in left)


def test_callbacks_and_timeouts() -> None:
    gate = threading.Event()
    with ThreadExecutor(1) as executor:
        task = executor.submit(gate.wait, 20)
        told: list[bool] = []
        task.add_done_callback(lambda done: told.append(done.result()))
        with pytest.raises(TimeoutError):
            task.result(0.01)
        with pytest.raises(TimeoutError):
            list(executor.map(abs, [1], timeout=0.01))
        gate.set()
        assert task.result(20)
        task.add_done_callback(lambda done: told.append(done.result()))
        executor.submit(int).result(20)
    assert told == [True, True]


def test_kernels_share_the_budget() -> None:
    def budget() -> int:
        return tw.get_num_threads()

    def inner() -> tuple[int, int]:
        with ThreadExecutor() as executor:
            return executor.threads, executor.submit(budget).result()

    with tw.threads(4):
        with ThreadExecutor(2) as executor:
            assert executor.submit(budget).result() == 2
            assert executor.submit(inner).result() == (2, 1)
        with ThreadExecutor() as executor:
            assert executor.threads == 4
            assert executor.submit(budget).result() == 1
        with ThreadExecutor(16) as executor:
            assert executor.submit(budget).result() == 1
        assert tw.get_num_threads() == 4


def pools() -> list[int]:
    return [p["num_threads"] for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]


def test_other_libraries_pools_are_limited_meanwhile() -> None:
    before = pools()
    assert before
    with tw.threads(2), ThreadExecutor(2) as executor:
        for _ in range(2):
            assert executor.submit(pools).result() == [1] * len(before)
            ended = time.monotonic() + 20
            while pools() != before:  # the workers idle, and the executor still there
                assert time.monotonic() < ended
                time.sleep(0.01)
        task = executor.submit(time.sleep, 0.3)
        executor.submit(int).result()
        time.sleep(0.15)
        assert pools() == [1] * len(before) or task.done()
    assert pools() == before
    with ThreadExecutor(2, limit_blas=False) as executor:
        assert executor.submit(pools).result() == before


def test_errors_and_results_do_not_outlive_their_tasks() -> None:
    class Large:
        pass

    with ThreadExecutor(1) as executor:
        task = executor.submit(Large)
        held = weakref.ref(task.result())
        del task
        executor.submit(int).result()
        gc.collect()
        assert held() is None


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"threads": 0}, DomainError, "threads is 0, expected from 1 to 1024"),
        ({"threads": 2.0}, DTypeError, r"threads is 2.0 \(a float\), expected a whole number"),
        ({"threads": True}, DTypeError, r"threads is True \(a bool\)"),
        ({"backlog": -1}, DomainError, "backlog is -1"),
    ],
)
def test_arguments_that_make_no_sense(
    arguments: dict[str, int], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        ThreadExecutor(**arguments)  # type: ignore[arg-type]


@pytest.mark.timing
def test_a_program_ends_without_shutdown() -> None:
    program = """
import time
from threadwise.parallel import ThreadExecutor
executor = ThreadExecutor(2)
for _ in range(100):
    executor.submit(time.sleep, 0.2)
print("end")
"""
    begin = time.monotonic()
    assert run(program) == "end"
    assert time.monotonic() - begin < 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_of_fork_has_an_executor_without_tasks() -> None:
    program = """
import os, signal, time, warnings
from threadwise.parallel import ThreadExecutor
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
executor = ThreadExecutor(2)
tasks = [executor.submit(time.sleep, 0.3) for _ in range(6)]
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    os._exit(executor.submit(int, "7").result())
results = [task.result() for task in tasks]
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), results == [None] * 6)
"""
    assert run(program) == "7 True"


@pytest.mark.timing
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_control_c_reaches_who_waits() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with ThreadExecutor(1) as executor:
            task = executor.submit(time.sleep, 1)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            begin = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                task.result()
            assert time.monotonic() - begin < 0.5
    finally:
        signal.signal(signal.SIGALRM, before)


def test_threads_compute_at_the_same_time() -> None:
    a = np.random.default_rng(0).standard_normal((300, 300))
    expected = tw.matmul(a, a)
    with ThreadExecutor(4) as executor:
        for found in executor.map(lambda _: tw.matmul(a, a), range(40)):
            np.testing.assert_array_equal(found, expected)
