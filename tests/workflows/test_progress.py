"""How far work is, as numbers and as a line."""

import io
import sys
from typing import Any

import pytest

from threadwise import _progress
from threadwise._progress import counting


class Terminal(io.StringIO):
    """What a person would look at."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with counting(True, "folds") as tell:
        assert tell is not None
        for done in range(1, 4):
            tell(done, 3)
    assert "folds: 100%" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


def test_a_file_has_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", log := io.StringIO())
    now = [0.0]
    monkeypatch.setattr(_progress, "monotonic", lambda: now[0])
    with counting(True, "calls") as tell:
        assert tell is not None
        for done in range(1, 13):
            now[0] += 1
            tell(done, 12 if done < 8 else None)
    assert log.getvalue() == "calls: 5 of 12\ncalls: 10\n"


@pytest.mark.parametrize("nothing", [None, False])
def test_nothing_is_told_where_nobody_asks(nothing: Any) -> None:
    with counting(nothing, "calls") as tell:
        assert tell is None


def test_a_function_is_called_as_it_is() -> None:
    told: list[Any] = []
    with counting(lambda *fact: told.append(fact), "calls") as tell:
        assert tell is not None
        tell(1, 2)
    assert told == [(1, 2)]
