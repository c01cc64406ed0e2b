"""``threadwise bench``: the same as ``python -m threadwise.bench``, under its own name."""

import subprocess
import sys


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "threadwise", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


def test_help_names_every_bench() -> None:
    done = bench("--help")
    assert done.returncode == 0
    for name in ("matmul", "quantize", "quantize-array", "quantized", "model", "train", "dispatch"):
        assert f"    {name}" in done.stdout
    assert "every bench in its quick form, one report" in done.stdout


def test_a_bench_runs_and_a_mistake_is_one_sentence() -> None:
    done = bench("quantize", "--sizes", "2x64x256", "--threads", "1", "--quick", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert "4.63 bits a weight" in done.stdout
    done = bench("quantize", "--threads", "2")
    assert done.returncode == 2
    assert done.stderr == (
        "threadwise bench: --threads is 2, expected numbers to 1024 with 1 among them: speedups "
        "are against a measured run of one thread\n"
    )
