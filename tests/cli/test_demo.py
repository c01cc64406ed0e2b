import os
import re
import subprocess
import sys

import pytest

from threadwise.bench._cases import Case
from threadwise.cli._products import cases, race
from threadwise.cli._story import SPREADS, tell

TINY = [Case(m=4, k=4, n=4), Case(operation="linear", m=1, k=64, n=64)]


def test_tells_of_a_model_from_its_files_to_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(windows=2, new_tokens=12, rounds=1)
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert (
        max(map(len, lines[: lines.index("A product of it, for a prompt of 512 tokens:")])) <= 100
    )
    rows = [line for line in lines if re.match(r"\d bits|bf", line)]
    table = {row[:10].strip(): row[10:].split() for row in rows}
    assert list(table) == ["bfloat16", "8 bits", "4 bits", "2 bits"]
    perplexities = [float(row[-2]) for row in table.values()]
    assert perplexities[1:] == sorted(perplexities[1:])
    assert abs(perplexities[0] - perplexities[1]) < 0.05
    assert all(float(row[-1]) > 0 for row in table.values())
    assert "    class Queue:" in lines
    ways = ", ".join(f"{name}={value}" for how in SPREADS for name, value in how.items())
    assert f"The same text with {ways}." in lines
    assert "threads" in printed[printed.index("A product of it") :]


def test_prints_a_line_a_shape_then_a_conclusion(capsys: pytest.CaptureFixture[str]) -> None:
    assert race(TINY, rounds=2, budget=0.002)
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert max(map(len, lines)) <= 100
    header = next(i for i, line in enumerate(lines) if line.startswith("operation"))
    assert lines[header + 1].split()[:7] == ["matmul", "float32", "4", "x", "4", "x", "4"]
    assert lines[header + 2].split()[:7] == ["linear", "float32", "1", "x", "64", "x", "64"]
    assert {len(line) for line in lines[header : header + 3]} == {len(lines[header])}
    for word in ("faster", "slower"):
        assert any(line.startswith(f"threadwise is {word} ") for line in lines[header + 3 :])
    assert "\nwhich is faster is unclear at " in printed
    assert "all results agree with NumPy's" in printed


def test_multiplies_cubes_and_what_decoding_multiplies() -> None:
    assert [(case.m, case.k, case.n) for case in cases()] == [
        *[(size, size, size) for size in (4, 512)],
        (1, 4096, 4096),
    ]


def test_an_environment_that_makes_no_sense_is_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "threadwise", "demo"],
        env=os.environ | {"THREADWISE_NUM_THREADS": "many"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "threadwise: THREADWISE_NUM_THREADS is 'many', expected a whole number from 1 to 1024, "
        "or unset\n"
    )
