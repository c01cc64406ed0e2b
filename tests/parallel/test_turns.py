"""Tasks that take turns: no more at a time than there may be, all of them under way at the end."""

import threading
import time
from typing import Any

import pytest

from threadwise.parallel.turns import Turns, pause, paused
from threadwise.workflows import cross_validate
from threadwise.workflows.tasks import run


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let turns be shorter than the naps below."""
    monkeypatch.setattr("threadwise.parallel.turns._TURN", 0.005)


class Log:
    """Who is at work, and who was when."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.working = self.most = 0
        self.events: list[tuple[str, int]] = []

    def work(self, number: int) -> None:
        """Be at work for longer than a turn."""
        with self.lock:
            self.working += 1
            self.most = max(self.most, self.working)
            self.events.append(("works", number))
        time.sleep(0.006)
        with self.lock:
            self.working -= 1

    def task(self, number: int) -> int:
        """Work, pause, and so on."""
        for _ in range(8):
            self.work(number)
            pause()
        self.events.append(("ends", number))
        return number


def outcome(function: Any, tasks: int, threads: int, on_error: str = "raise") -> Any:
    return run(
        function,
        range(tasks),
        what="tasks",
        name=str,
        threads=threads,
        progress=None,
        on_error=on_error,
    )


@pytest.mark.parametrize(("tasks", "threads"), [(3, 2), (5, 2), (7, 4)])
def test_all_that_are_left_over_begin_before_one_ends(tasks: int, threads: int) -> None:
    log = Log()
    found = outcome(log.task, tasks, threads)
    assert found.results == list(range(tasks))
    assert log.most <= threads
    assert found.threads <= found.cap == threads
    ended = log.events.index(next(event for event in log.events if event[0] == "ends"))
    begun = {number for what, number in log.events[:ended] if what == "works"}
    assert begun >= set(range(threads + tasks % threads))


def test_tasks_that_do_not_pause_go_on_until_they_end() -> None:
    log = Log()

    def task(number: int) -> None:
        log.work(number)
        log.work(number)

    outcome(task, 3, 2)
    assert log.most <= 2
    assert [number for _, number in log.events[-2:]] == [2, 2]


def test_after_an_error_no_other_task_begins() -> None:
    log = Log()

    def task(number: int) -> None:
        if number == 0:
            raise ValueError("odd")
        log.task(number)

    with pytest.raises(ValueError, match="odd"):
        outcome(task, 3, 2)
    assert log.working == 0


def test_closed_turns_are_given_to_nobody_who_is_new() -> None:
    turns = Turns(1)
    assert turns.begin()
    turns.end()
    turns.close()
    assert not turns.begin()


def test_the_time_of_a_fold_is_that_of_its_own_turns() -> None:
    def score(*_rows: Any) -> float:
        before = paused()
        for _ in range(4):
            time.sleep(0.006)
            pause()
        return paused() - before

    found = cross_validate(score, range(6), cv=3, threads=2)
    assert found.scores.max() > 0, "some fold was paused"
    # Its own work is four naps; what it waited for others is not counted.
    assert sum(fold.seconds for fold in found.folds) < found.seconds * 2 + 0.02


def test_pauses_of_threads_without_turns_do_nothing() -> None:
    before = paused()
    time.sleep(0.006)
    pause()
    assert paused() == before
