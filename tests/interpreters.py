"""Fresh Python interpreters, for what holds for a whole process."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

__all__ = ["fails", "run"]

_BUDGET = ("THREADWISE_NUM_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS")


def _start(
    program: str, environment: dict[str, str], timeout: float, cwd: Path | None
) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _BUDGET}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=cwd,
    )


def run(
    program: str,
    *,
    environment: dict[str, str] | None = None,
    timeout: float = 60,
    cwd: Path | None = None,
) -> str:
    """Run a program without any setting of threads but those given, and return what it prints."""
    ended = _start(program, environment or {}, timeout, cwd)
    assert ended.returncode == 0, ended.stderr or f"ended by signal {-ended.returncode}"
    return ended.stdout.strip()


def fails(program: str, *, environment: dict[str, str], timeout: float = 60) -> str:
    """Run a program that must end by an exception, and return the last line of its traceback."""
    ended = _start(program, environment, timeout, None)
    assert ended.returncode == 1, f"ended with {ended.returncode}: {ended.stderr}"
    return ended.stderr.strip().splitlines()[-1]
