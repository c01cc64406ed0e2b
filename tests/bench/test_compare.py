"""What became slower from one record to another is found, and noise is not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from outcomes import outcome
from threadwise.bench import _record
from threadwise.bench.__main__ import main
from threadwise.bench._cases import Case
from threadwise.bench._compare import compare
from threadwise.bench._race import Outcome

CASES = [Case(m=size, k=size, n=size) for size in (2, 3, 4, 5, 6, 7)]

Times = Callable[[int], float]


def one(_: int) -> float:
    """Return no change."""
    return 1.0


def outcomes(ours: Times = one, theirs: Times = one) -> list[Outcome]:
    """Return a race in which a case of size i takes so many times 1 us, a tenth more or less."""
    return [
        outcome(case, threadwise=1e-6 * ours(case.m), numpy=1e-6 * theirs(case.m)) for case in CASES
    ]


@pytest.fixture
def record(tmp_path: Path) -> Callable[[str, list[Outcome]], str]:
    def write(name: str, found: list[Outcome]) -> str:
        _record.write(found, tmp_path / name, busy_cpus=0.0)
        return str(tmp_path / name)

    return write


Record = Callable[[str, list[Outcome]], str]


def test_the_same_record_has_no_change(record: Record, capsys: pytest.CaptureFixture[str]) -> None:
    path = record("old.csv", outcomes())
    assert main(["compare", path, path]) == 0
    said = capsys.readouterr().out
    assert "slower beyond noise, and by more than 5%: 0" in said
    assert "float32, 6 cases: geometric mean 1.000 (95 %: 1.000 to 1.000)" in said


def test_what_became_slower_is_named(record: Record, capsys: pytest.CaptureFixture[str]) -> None:
    old = record("old.csv", outcomes())
    new = record("new.csv", outcomes(lambda size: 1.5 if size == 5 else 0.7 if size == 6 else 1.0))
    assert main(["compare", old, new]) == 1
    lines = capsys.readouterr().out.splitlines()
    slower = lines.index("slower beyond noise, and by more than 5%: 1")
    assert lines[slower + 1] == (
        "  float32 5 x 5 x 5, 2 threads, takes 1.50 us instead of 1.00 us, 1.50 times as long "
        "(1.23 to 1.83)"
    )
    assert lines[slower + 2] == "faster beyond noise, and by more than 5%: 1"
    assert lines[slower + 3] == (
        "  float32 6 x 6 x 6, 2 threads, takes 0.700 us instead of 1.00 us, 0.70 times as long "
        "(0.57 to 0.86)"
    )


def test_what_lies_within_the_spread_is_noise(record: Record) -> None:
    # The middle halves go from 0.9 to 1.1 of the median, and so do those that are a fifth slower.
    old, new = record("old.csv", outcomes()), record("new.csv", outcomes(lambda _: 1.2))
    assert main(["compare", old, new]) == 0


def test_the_tolerance_says_what_may_be_lost(record: Record) -> None:
    old, new = record("old.csv", outcomes()), record("new.csv", outcomes(lambda _: 1.3))
    assert main(["compare", old, new]) == 1
    assert main(["compare", old, new, "--tolerance", "40"]) == 0


def test_what_the_machine_changed_is_taken_off(
    record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    old = record("old.csv", outcomes())
    new = record("new.csv", outcomes(lambda _: 1.5, lambda _: 1.5))
    assert main(["compare", old, new]) == 0
    said = capsys.readouterr().out
    assert "other libraries took 1.500 times as long (1.500 to 1.500): that is the machine" in said
    # And what only looks the same: the machine became faster, we did not.
    assert main(["compare", old, record("fast.csv", outcomes(one, lambda _: 0.6))]) == 1


def test_too_few_others_say_nothing_of_the_machine(
    record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = outcomes()[:4], outcomes(one, lambda _: 2.0)[:4]
    assert main(["compare", record("old.csv", old), record("new.csv", new)]) == 0
    assert "nothing says how much the machine changed" in capsys.readouterr().out


def test_a_case_that_is_no_longer_right_or_timed_is_a_loss(
    record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    old = record("old.csv", outcomes())
    slow = outcome(CASES[0], {"threadwise": "about 9 s a call"}, numpy=1e-6)
    assert main(["compare", old, record("new.csv", [slow, *outcomes()[1:]])]) == 1
    assert "no longer timed: float32 2 x 2 x 2: about 9 s a call" in capsys.readouterr().out


def test_a_case_that_is_gone_is_named_and_no_loss(
    record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = record("old.csv", outcomes()), record("new.csv", outcomes()[1:])
    assert main(["compare", old, new]) == 0
    assert "not in the new record: float32 2 x 2 x 2" in capsys.readouterr().out


def test_a_record_of_a_busy_machine_is_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, cpus in (("old.csv", 1.3), ("new.csv", 0.1)):
        _record.write(outcomes(), tmp_path / name, busy_cpus=cpus)
    assert main(["compare", str(tmp_path / "old.csv"), str(tmp_path / "new.csv")]) == 0
    said = capsys.readouterr().out
    assert "CAUTION: other processes kept 1.3 CPUs busy when the old record was begun" in said
    assert said.count("CAUTION") == 1


def test_linear_and_matmul_of_a_shape_are_two_cases() -> None:
    entries = [
        _record.Entry(
            date="2026-01-02", machine="A", cores="2", library="threadwise", version="1",
            threads="2", operation=operation, dtype="float32", group="squares", name="4 x 4 x 4",
            low=9e-7, median=1e-6, high=1.1e-6, busy_cpus=0.0, note="",
        )
        for operation in ("matmul", "linear")
    ]  # fmt: skip
    assert len(compare(entries, entries).changes) == 2
    with pytest.raises(ValueError, match="no case of threadwise in common"):
        compare(entries[:1], entries[1:])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ((",float32,", ",float64,"), "have no case of threadwise in common"),
        ((_record.machine(), "Another CPU"), "and of Another CPU, "),
    ],
)
def test_records_that_cannot_be_compared_are_refused(
    record: Record, capsys: pytest.CaptureFixture[str], change: tuple[str, str], sentence: str
) -> None:
    old = record("old.csv", outcomes())
    new = Path(old).with_name("new.csv")
    new.write_text(Path(old).read_text().replace(*change))
    with pytest.raises(SystemExit, match="2"):
        main(["compare", old, str(new)])
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--tolerance", "-1"], "'-1' is no number of percent from 0 on"),
        (["--tolerance", "x"], "'x' is no number of percent from 0 on"),
        ([], "No such file"),
    ],
)
def test_what_makes_no_sense_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["compare", "absent-old.csv", "absent-new.csv", *arguments])
    assert sentence in capsys.readouterr().err
