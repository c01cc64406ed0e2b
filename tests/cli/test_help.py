import subprocess
import sys
import time

import pytest

import threadwise as tw

# What only a command needs, and what help could look prettier with.
HEAVY = {"rich", "threadwise.bench._race", "threadwise.bench._cases", "hypothesis"}


def threadwise(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    program = f"{code}\nimport runpy; runpy.run_module('threadwise', run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_names_every_command_in_whole_sentences() -> None:
    done = threadwise("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert "  calibrate   Measure this machine, for better plans." in lines
    assert "  demo        Quantize a small language model, and let it write." in lines
    assert "  doctor      Say what threadwise runs on." in lines
    assert "  explain     Say how a product would be computed." in lines
    assert "..." not in done.stdout.replace("[ARGS]...", "")
    assert max(map(len, lines)) <= 80


@pytest.mark.timing
def test_help_comes_at_once() -> None:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "threadwise", "--help"], capture_output=True, check=True
        )
        times.append(time.perf_counter() - start)
    # 0.1 s where nothing else runs, most of it NumPy's import; tests share their machines.
    assert min(times) < 0.6


def test_help_imports_nothing_that_only_commands_need() -> None:
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))"
    imported = set(threadwise("--help", code=code).stderr.split())
    assert "typer" in imported
    assert not imported & HEAVY


def test_version_is_that_of_the_package() -> None:
    done = threadwise("--version")
    assert (done.returncode, done.stdout) == (0, f"threadwise {tw.__version__}\n")


def test_an_unknown_command_is_named() -> None:
    done = threadwise("frobnicate")
    assert done.returncode == 2
    assert "No such command 'frobnicate'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["--help"], ["demo"]])
def test_without_typer_one_sentence_says_what_to_install(arguments: list[str]) -> None:
    done = threadwise(*arguments, code="import sys; sys.modules['typer'] = None")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        'threadwise: the command line needs typer: pip install "threadwise[cli]"\n'
    )
