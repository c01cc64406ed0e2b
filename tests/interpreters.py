"""Fresh Python interpreters, for what holds for a whole process, and for commands."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

__all__ = ["delay", "fails", "run", "threadwise"]

_INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np
import threadwise as tw

sent = 0.0
def send():
    global sent
    time.sleep(0.4)
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)
{before}
delays = []
for attempt in range(3):
    sender = threading.Thread(target=send)
    sender.start()
    try:
        {work}
    except KeyboardInterrupt:
        delays.append(time.monotonic() - sent)
    else:
        sys.exit("it ended too soon")
    sender.join()
    if delays[-1] < 0.2:
        break
{after}
print(min(delays))
"""

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


def delay(
    work: str,
    *,
    before: str = "",
    after: str = "",
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> float:
    """Press Ctrl-C in an expression that takes long; return after how many seconds it ended.

    The least of up to three times, for the machine may be busy. `before` and `after` are statements
    around all of them.
    """
    program = _INTERRUPTED.format(work=work, before=before, after=after)
    return float(run(program, environment=environment, timeout=25, cwd=cwd))


def threadwise(
    *arguments: object, environment: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of ``threadwise`` without any setting of quantization but those given."""
    inherited = {name: text for name, text in os.environ.items() if "THREADWISE_QUANT" not in name}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "threadwise", *map(str, arguments)],
        env=inherited | (environment or {}),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=cwd,
    )
