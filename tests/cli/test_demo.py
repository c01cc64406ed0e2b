import os
import subprocess
import sys

import numpy as np
import pytest

import threadwise as tw
from threadwise.bench._cases import Case
from threadwise.cli.demo import cases, run

TINY = [Case(m=4, k=4, n=4), Case(operation="linear", m=1, k=64, n=64)]


def test_prints_a_line_a_shape_then_a_conclusion_then_info(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(TINY, rounds=2, budget=0.002)
    printed = capsys.readouterr().out
    assert tw.__version__ in printed
    assert np.__version__ in printed
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
    assert printed.index("all results agree") < printed.index("instruction sets")


def test_multiplies_six_cubes_and_what_decoding_multiplies() -> None:
    cubes = [case.m for case in cases() if case.m == case.k == case.n]
    assert cubes == [4, 32, 128, 512, 1024, 2048]
    assert {(case.operation, case.m) for case in cases() if case.k == 4096} == {
        ("matmul", 1),
        ("matmul", 4),
        ("linear", 1),
    }


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
