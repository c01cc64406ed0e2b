"""How far a quantization is, as numbers and as a line that moves."""

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

import threadwise as tw
from interpreters import run
from threadwise.quant import Progress, ProgressBar
from threadwise.quant.progress import listening


def progress(done: int, total: int = 4, **facts: Any) -> Progress:
    """Return what is told when so many tensors of 1 MB are done, each in half a second."""
    given: dict[str, Any] = {
        "tensor": f"layers.{done - 1}.weight" if done else "",
        "tensors_done": done,
        "tensors_total": total,
        "bytes_done": done * 1_000_000,
        "bytes_total": total * 1_000_000,
        "bytes_resumed": 0,
        "seconds": done / 2,
        "predicted_peak_bytes": 64_000_000,
    }
    return Progress(**given | facts)


def test_rate_and_time_left_follow_from_what_this_run_did() -> None:
    now = progress(3, bytes_resumed=1_000_000, seconds=4.0)
    assert now.bytes_per_second == 500_000
    assert now.seconds_left == 2
    assert str(now) == "[3/4] 3.00 MB of 4.00 MB, 500 KB/s, 2 s left: layers.2.weight"
    begin = progress(0)
    assert (begin.bytes_per_second, begin.seconds_left) == (0, float("inf"))
    assert str(begin) == "[0/4] 0 B of 4.00 MB"


class Terminal(io.StringIO):
    """What a person would look at."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


def test_a_terminal_has_a_bar_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    bar = ProgressBar()
    for done in range(5):
        bar(progress(done))
    first, last = terminal.getvalue().strip().split("\r")[0], terminal.getvalue().split("\r")[-1]
    assert first.startswith("0%|")
    assert "4.00M/4.00M [" in last
    assert "B/s, layers.3]" in last
    assert last.endswith("\n")


def test_what_an_earlier_run_did_does_not_count_for_the_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with ProgressBar() as bar:
        bar(progress(3, bytes_resumed=3_000_000, seconds=0.0))
    assert " 75%|" in terminal.getvalue()
    assert "?B/s" in terminal.getvalue()


@pytest.mark.parametrize("has_tqdm", [True, False])
def test_elsewhere_there_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, *, has_tqdm: bool
) -> None:
    errors = io.StringIO() if has_tqdm else Terminal()
    monkeypatch.setattr(sys, "stderr", errors)
    if not has_tqdm:
        monkeypatch.setattr("threadwise.quant.progress.find_spec", lambda _: None)
    now = 100.0
    monkeypatch.setattr("threadwise.quant.progress.monotonic", lambda: now)
    with ProgressBar() as bar:
        for done in range(5):
            now += 2
            bar(progress(done))
    assert errors.getvalue() == ("[2/4] 2.00 MB of 4.00 MB, 2.00 MB/s, 1 s left: layers.1.weight\n")


def test_a_notebook_has_a_bar_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(sys, "stderr", errors := io.StringIO())
    ProgressBar()(progress(4))
    assert "4.00M/4.00M [" in errors.getvalue()


def test_progress_may_be_a_bar_a_function_or_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with listening(True) as tell:
        assert isinstance(tell, ProgressBar)
    heard: list[Progress] = []
    with listening(heard.append) as tell:
        tell(progress(1))
    assert heard == [progress(1)]
    for nothing in (None, False):
        with listening(nothing) as tell:
            tell(progress(1))
    assert capsys.readouterr() == ("", "")


def test_anything_else_is_refused() -> None:
    with (
        pytest.raises(
            tw.errors.DTypeError, match=r"^progress is 'bar', expected a function of one"
        ),
        listening("bar"),  # type: ignore[arg-type]
    ):
        pytest.fail("it was taken")


def test_programs_need_no_tqdm() -> None:
    program = """
        import sys
        sys.modules["tqdm"] = None
        from threadwise.quant.progress import listening
        with listening(print) as tell:
            tell(5)
        print("tqdm.auto" in sys.modules)
    """
    assert run(program).splitlines() == ["5", "False"]
