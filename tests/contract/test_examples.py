"""Every block of code that a page shows is run as it stands, or held to what it speaks of.

Python runs, with what the blocks above it on the same page have made. Dialogues (``>>>``) also have
to print what they show. Commands of threadwise run, with less to do where they would take long.
Other commands have to speak of what there is: targets of make, extras of the package, crates.
"""

import doctest
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mistral import SAMPLE
from threadwise.quant import QuantConfig

ROOT = Path(__file__).parents[2]
QUOTED = ROOT / "docs" / "style.md"
"""Quotes sources, and is compared with them."""
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benches/README.md")),
    *sorted(path for path in (ROOT / "docs").glob("*.md") if path != QUOTED),
]
FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPOKEN = {"text", "mermaid", "{toctree}", "{eval-rst}", "{image}", "{math}"}
"""No code: what is printed, drawn or arranged."""
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
CRATES = {path.parent.name for path in (ROOT / "rust").glob("*/Cargo.toml")}

LESS = {
    "bench matmul": "--quick --shapes 2x2x2 --dtypes float32 --peers numpy --rounds 1",
    "bench quantized": "--shape 64x64 --bits 4 --rows 1 --rounds 1",
    "bench quantize-array": "--rows 64 --columns 64 --budget 0.01",
    "bench quantize": "--sizes 1x64x64 --threads 1 --bits 4 --rounds 1",
    "bench train": "--only aggregates --peers numpy --quick --rounds 1",
    "bench dispatch": "--quick --rounds 1",
    "bench all": "--only dispatch --report report",
    "bench model": "--lengths 16 --batches 1 --new-tokens 2 --rounds 1",
    "scaling": "--threads 1,2 --repeats 1",
    "generate": "--max-new-tokens 4",
}
"""What the last of several options says: the same command with little to do."""

STANDS_FOR = {"/opt/torch/bin/python": sys.executable, "MODEL": "stdlib-mistral-2.8m"}

PROGRAMS = {
    "lessons.py": """
import numpy as np

def sort_rows(threads):
    return [np.sort(row) for row in np.ones((2, 1000))]
""",
    "train.py": "import threadwise as tw\nassert tw.matmul([[2.0]], [[3.0]]) == 6\n",
    "program.py": "from mpi4py import MPI\nassert MPI.COMM_WORLD.size == 2\n",
}
"""What a reader has written before."""


class Block(NamedTuple):
    """What is between two fences."""

    language: str
    text: str
    line: int


def _blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    found = [Block(m[1], m[2], text.count("\n", 0, m.start()) + 2) for m in FENCE.finditer(text)]
    assert text.count("```") == 2 * len(found), "a fence is not closed, or not at a line's begin"
    return found


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be where a reader is who has copied the small model and written some programs."""
    shutil.copytree(SAMPLE, tmp_path / "stdlib-mistral-2.8m")
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(text, "utf-8")
    record = max((ROOT / "benches" / "record").glob("*.csv"))
    for name in ("old.csv", "new.csv"):
        shutil.copy(record, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=_name)
@pytest.mark.usefixtures("desk")
def test_python_on_a_page_runs_and_prints_what_it_shows(page: Path) -> None:
    names: dict[str, Any] = {"__name__": "__page__"}
    for language, text, line in _blocks(page):
        if language == "python":
            assert ">>>" not in text, f"line {line}: a dialogue is pycon"
            exec(compile("\n" * (line - 1) + text, page, "exec"), names)  # noqa: S102 - our page
        elif language == "pycon":
            test = doctest.DocTestParser().get_doctest(text, names, page.name, str(page), line - 1)
            assert test.examples, f"line {line}: no dialogue"
            printed: list[str] = []
            runner = doctest.DocTestRunner(optionflags=FLAGS)
            failed, _ = runner.run(test, out=printed.append, clear_globs=False)
            assert not failed, "".join(printed)
            names.update(test.globs)
        elif language == "yaml":
            QuantConfig.from_yaml(text)
        elif language == "json":
            assert json.loads(text)
        elif language != "sh":
            assert language in SPOKEN, f"line {line}: {language or 'a block of no language'}"
            assert not re.search(r">>>|^(import|from) ", text, re.MULTILINE), f"line {line}: code"


def _commands(page: Path) -> list[str]:
    joined = [text.replace("\\\n", " ") for language, text, _ in _blocks(page) if language == "sh"]
    lines = [line.split(" # ")[0].strip() for text in joined for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", [page for page in PAGES if _commands(page)], ids=_name)
def test_commands_on_a_page_run_or_speak_of_what_there_is(page: Path, desk: Path) -> None:
    for line in _commands(page):
        _obey(line, desk)


def _obey(line: str, desk: Path) -> None:
    words = shlex.split(line, comments=True)
    settings = {}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        settings[name] = value
    program, *arguments = words
    if program == "make":
        named = [word for word in arguments if "=" not in word]
        assert set(named) <= TARGETS
    elif program == "pip":
        extras = re.findall(r"\[([a-z,]+)\]", line)
        assert arguments[0] == "install"
        assert set(",".join(extras).split(",")) - {""} <= set(PROJECT["optional-dependencies"])
    elif program == "cargo":
        assert arguments[arguments.index("-p") + 1] in CRATES
    elif program == "python" and arguments[0].startswith("benches/"):
        assert (ROOT / arguments[0]).is_file()  # it writes what the repository keeps
    elif program == "mpiexec":
        assert shutil.which("mpiexec", path=Path(sys.executable).parent)
        _run([str(Path(sys.executable).with_name(program)), *_python(arguments)], desk, settings)
    else:
        _run(_python(words), desk, settings)


def _python(words: list[str]) -> list[str]:
    """Return the words with this Python, and with less to do."""
    if words[0] == "threadwise":
        words = ["python", "-m", *words]
    at = words.index("python")
    words = [*words[:at], sys.executable, *words[at + 1 :]]
    for placeholder, real in STANDS_FOR.items():
        words = [word.replace(placeholder, real) for word in words]
    text = " ".join(words).replace("-m threadwise.bench", "-m threadwise bench")
    less = [LESS[name] for name in LESS if re.search(rf"-m threadwise {name}( |$)", text)]
    return words + shlex.split(less[0] if less else "")


def _run(command: list[str], cwd: Path, settings: dict[str, str]) -> None:
    ended = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    # The doctor's exit code says what it found.
    allowed = {0, 1} if command[-1] == "doctor" else {0}
    assert ended.returncode in allowed, ended.stdout + ended.stderr
