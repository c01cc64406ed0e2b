"""A child made by `fork` has none of its parent's threads; it must compute all the same."""

import multiprocessing
import os

import pytest

from interpreters import run

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.skipif(
        "fork" not in multiprocessing.get_all_start_methods(), reason="needs multiprocessing's fork"
    ),
]

# Python 3.12 warns of any fork beside threads, which workers are. An alarm ends a child that hangs.
SET_UP = """
import multiprocessing, os, signal, sys, time, warnings
from pathlib import Path
import numpy as np
import threadwise as tw

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
a = np.random.default_rng(0).standard_normal((400, 400))
expected = a @ a

def names():
    tasks = os.listdir("/proc/self/task")
    return {Path(f"/proc/self/task/{task}/comm").read_text()[:10] for task in tasks}

def child():
    signal.alarm(20)
    good = np.allclose(tw.matmul(a, a, threads=3), expected)
    while "threadwise" not in names():  # a worker that was not needed may still be on its way
        time.sleep(0.01)
    return good

def fork_and_wait():
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if child() else 3)
        finally:
            os._exit(4)
    return os.waitpid(pid, 0)[1]
"""


def test_a_child_of_an_idle_parent_computes() -> None:
    assert run(SET_UP + "print(fork_and_wait())") == "0"


def test_a_child_of_a_parent_with_workers_computes_with_its_own() -> None:
    program = """
for _ in range(5):
    assert child()
    print(fork_and_wait())
    assert child()
"""
    assert run(SET_UP + program).split() == ["0"] * 5


def test_a_child_that_is_forked_while_others_compute_computes() -> None:
    program = """
import threading
stop = threading.Event()
def busy():
    while not stop.is_set():
        tw.matmul(a, a, threads=3)
threads = [threading.Thread(target=busy) for _ in range(2)]
for thread in threads: thread.start()
codes = [fork_and_wait() for _ in range(20)]
stop.set()
for thread in threads: thread.join()
print(*codes)
"""
    assert run(SET_UP + program, timeout=110).split() == ["0"] * 20


def test_a_grandchild_computes() -> None:
    program = """
assert child()
def child_of_child():
    return child() and fork_and_wait() == 0
pid = os.fork()
if pid == 0:
    os._exit(0 if child_of_child() else 5)
print(os.waitpid(pid, 0)[1])
"""
    assert run(SET_UP + program) == "0"


def test_a_pool_of_multiprocessing_computes() -> None:
    program = """
def product(i):
    signal.alarm(20)
    return float(tw.matmul(a, a * i, threads=2).sum())
assert child()
with multiprocessing.get_context("fork").Pool(2) as pool:
    found = pool.map(product, range(6))
print(np.allclose(found, [product(i) for i in range(6)]))
"""
    assert run(SET_UP + program) == "True"


def test_settings_are_inherited() -> None:
    program = """
tw.set_num_threads(3)
assert child()
pid = os.fork()
if pid == 0:
    os._exit(tw.get_num_threads())
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert run(SET_UP + program) == "3"
