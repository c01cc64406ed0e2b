"""Several Python threads may call at once, with as many workers as needed, and idle ones rest."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import threadwise as tw
from interpreters import run
from strategies import Array, normal
from threadwise.errors import LayoutError

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/self/task of Linux")


def test_eight_threads_at_once_agree_with_one() -> None:
    shapes = [(3, 4, 5), (64, 64, 64), (200, 210, 220), (400, 100, 300)]
    pairs = [(normal((m, k)), normal((k, n), seed=1)) for m, k, n in shapes]
    expected = [tw.matmul(a, b, threads=1) for a, b in pairs]
    barrier = threading.Barrier(8)

    def products(number: int) -> list[Array]:
        barrier.wait()
        with tw.threads(1 + number % 4):
            return [tw.matmul(*pairs[i % 4]) for i in range(40)]

    with ThreadPoolExecutor(8) as executor:
        for found in executor.map(products, range(8)):
            for i, product in enumerate(found):
                assert_array_equal(product, expected[i % 4])


def test_two_calls_cannot_write_to_one_array_at_once() -> None:
    a, out = normal((600, 600)), np.empty((600, 600), np.float32)
    barrier = threading.Barrier(2)

    def product(_: int) -> int:
        barrier.wait()
        refused = 0
        for _ in range(20):
            try:
                tw.matmul(a, a, out)
            except LayoutError as error:
                assert str(error).startswith("out is in use by another call, expected")  # noqa: PT017
                refused += 1
        return refused

    with ThreadPoolExecutor(2) as executor:
        refused = sum(executor.map(product, range(2)))
    assert 0 < refused < 40
    assert_array_equal(out, tw.matmul(a, a))


@pytest.mark.parametrize("how", ["halves", "interleaved columns"])
def test_calls_may_write_to_separate_parts_of_one_array_at_once(how: str) -> None:
    a, whole = normal((600, 600)), np.full((1200, 1200), np.nan, np.float32)
    parts = {
        "halves": [whole[:600, :600], whole[600:, :600]],
        "interleaved columns": [whole[:600, ::2], whole[:600, 1::2]],
    }[how]
    barrier = threading.Barrier(2)

    def product(out: Array) -> None:
        barrier.wait()
        for _ in range(10):
            tw.matmul(a, a, out)

    with ThreadPoolExecutor(2) as executor:
        list(executor.map(product, parts))
    expected = tw.matmul(a, a)
    for part in parts:
        assert_array_equal(part, expected)


TASKS = """
import os
import time
from pathlib import Path
import numpy as np
import threadwise as tw

def names():
    found = []
    for task in os.listdir("/proc/self/task"):
        try:
            found.append(Path(f"/proc/self/task/{task}/comm").read_text().strip())
        except OSError:  # it has ended meanwhile
            continue
    return sorted(found)
before = names()
a = np.ones((500, 500))

def workers(count):
    # A worker that the calls did not need may still be on its way to its name.
    end = time.monotonic() + 10
    while time.monotonic() < end:
        ours = [name for name in names() if name.startswith("threadwise-")]
        if len(ours) >= count and len(names()) == len(before) + len(ours):
            break
        time.sleep(0.01)
    return ours
"""


@linux
@pytest.mark.parametrize("limit", ["tw.set_num_threads(1)", "tw.threads(1).__enter__()"])
def test_one_thread_is_the_callers(limit: str) -> None:
    program = (
        f"{TASKS}\n{limit}\ntw.matmul(a, a); tw.linear(a, a)\nassert names() == before, names()"
    )
    run(program)


@linux
def test_one_thread_for_a_call_is_the_callers() -> None:
    program = f"{TASKS}\ntw.matmul(a, a, threads=1); assert names() == before, names()"
    run(program, environment={"THREADWISE_NUM_THREADS": "4"})


@linux
def test_tiny_work_starts_no_thread() -> None:
    program = f"{TASKS}\ntw.matmul(a[:50, :50], a[:50, :50], threads=4); assert names() == before"
    run(program)


@linux
def test_three_threads_are_the_caller_and_two_workers_with_our_name() -> None:
    program = f"""{TASKS}
tw.matmul(a, a, threads=3)
print(*workers(2))
for _ in range(5):
    tw.matmul(a, a, threads=3)
assert len(names()) == len(before) + 2, names()
for _ in range(200):
    # A call that lost time, as four threads on two CPUs may, has the next ones stay alone.
    tw.matmul(a, a, threads=4)
    if len(names()) == len(before) + 3:
        break
    time.sleep(0.02)
assert len(workers(3)) == 3, names()
tw.matmul(a, a, threads=2)
assert len(workers(3)) == 3, names()
"""
    assert run(program) == "threadwise-0 threadwise-1"


@linux
def test_many_callers_share_the_workers() -> None:
    program = f"""{TASKS}
import threading
callers = [threading.Thread(target=lambda: tw.matmul(a, a, threads=3)) for _ in range(8)]
for caller in callers: caller.start()
for caller in callers: caller.join()
print(len(workers(2)))
"""
    assert run(program) == "2"


@pytest.mark.timing
def test_idle_workers_use_no_time() -> None:
    program = """
        import time
        import numpy as np
        import threadwise as tw

        a = np.ones((600, 600))
        tw.matmul(a, a, threads=4)
        time.sleep(0.2)
        before = time.process_time()
        time.sleep(1)
        print(time.process_time() - before)
    """
    assert float(run(program)) < 0.02
