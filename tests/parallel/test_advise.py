"""Advice on threads."""

import sys
import time

import matplotlib as mpl
import pytest

from threadwise.errors import DomainError
from threadwise.parallel import advise

pytestmark = pytest.mark.timing


def python(i: int) -> int:
    total = 0
    for j in range(2000):
        total += j * i
    return total


def test_calls_that_wait_want_threads() -> None:
    advice = advise(lambda _: time.sleep(0.002), range(500), threads=4)
    assert advice.best == "threads"
    assert advice.gil_share < 0.3
    assert advice.speedups["threads"] > 2.5
    assert advice.item_seconds == pytest.approx(0.0022, rel=0.3)
    assert (advice.items, advice.threads) == (500, 4)
    checked = advice.measure()
    assert checked.speedup > 2
    assert checked.error == pytest.approx(checked.predicted / checked.speedup - 1)


def test_calls_that_hold_the_lock_do_not() -> None:
    long, short = advise(python, range(10**6), threads=2), advise(python, range(50), threads=2)
    assert long.gil_share > 0.6
    assert long.best == "processes"
    assert short.best in {"serial", "threads"}  # threads only if the machine was busy
    assert short.speedups["processes"] < 0.5
    assert "lock" in long.reason


def test_tiny_calls_want_numpy() -> None:
    advice = advise(lambda x: x + 1, range(1000), threads=2)
    assert advice.best == "vectorize"
    assert advice.speedups["vectorize"] > 1
    assert advice.dispatch_seconds > 1e-6


def test_generators_are_counted_and_one_thread_is_serial() -> None:
    advice = advise(python, (i for i in range(100)), threads=1)
    assert advice.items == 100
    assert advice.best == "serial"
    assert advice.reason == "serial: there is one CPU to use"
    assert "predicted for 100 items" in str(advice)


def test_a_picture() -> None:
    with mpl.rc_context({"backend": "agg"}):
        advice = advise(python, range(100), threads=2)
        axes = advice.plot()
        assert [label.get_text() for label in axes.get_yticklabels()] == [*advice.speedups][::-1]
        assert advice.plot(axes) is axes
        mpl.pyplot.close("all")


def test_a_picture_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "threadwise\[plot\]"'):
        advise(python, range(100), threads=1).plot()


def test_nothing_to_try() -> None:
    with pytest.raises(DomainError, match="items is empty, expected at least one"):
        advise(abs, [])
