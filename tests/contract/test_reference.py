"""The documentation names everything that is public, and nothing that is not there."""

import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import threadwise
from surface import MODULES
from threadwise.cli._app import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = (DOCS / "api.md").read_text("utf-8")


def _resolve(path: str) -> Any:
    """Return what a dotted name stands for; ``threadwise.`` may be missing."""
    found: Any = threadwise
    parts = path.removeprefix("threadwise.").split(".")
    for i, part in enumerate(parts):
        if isinstance(found, ModuleType) and not hasattr(found, part):
            found = importlib.import_module("threadwise." + ".".join(parts[: i + 1]))
        else:
            found = getattr(found, part)
    return found


def _documented() -> dict[str, Any]:
    names = re.findall(r"^\.\. auto(?:class|data|module):: ([\w.]+)", REFERENCE, re.MULTILINE)
    for block in re.findall(r"^\.\. autosummary::\n((?:   .*\n|\n)+)", REFERENCE, re.MULTILINE):
        names += re.findall(r"^   ([a-z]\w*(?:\.\w+)*)$", block, re.MULTILINE)
    pattern = r"^\.\. automodule:: ([\w.]+)\n   :members:(.*(?:\n      .*)*)"
    for module, members in re.findall(pattern, REFERENCE, re.MULTILINE):
        listed = re.findall(r"\w+", members) or _resolve(module).__all__
        names += [f"{module}.{name}" for name in listed]
    return {name: _resolve(name) for name in names if name != "threadwise"}


DOCUMENTED = _documented()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_public_name_is_in_the_reference(module: ModuleType) -> None:
    known = {id(found) for found in DOCUMENTED.values()}
    missing = [name for name in module.__all__ if id(getattr(module, name)) not in known]
    # What only groups others is named by its heading.
    assert [name for name in missing if not isinstance(getattr(module, name), ModuleType)] == []
    assert module is threadwise or f"automodule:: {module.__name__}\n" in REFERENCE


def test_nothing_else_is_in_the_reference() -> None:
    public = {id(getattr(module, name)) for module in MODULES for name in module.__all__}
    public |= {id(module) for module in MODULES} | {id(threadwise.work.WorkerStats)}
    assert [name for name, found in DOCUMENTED.items() if id(found) not in public] == []


def test_every_name_is_documented_once() -> None:
    names = re.findall(r"^\.\. autoclass:: ([\w.]+)", REFERENCE, re.MULTILINE)
    assert len(names) == len(set(names))
    assert len(DOCUMENTED) == len({id(found) for found in DOCUMENTED.values()})


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_what_several_modules_export_is_one_thing(module: ModuleType) -> None:
    """A function is defined in one module, and at most the package exports it again."""
    for name in module.__all__:
        owners = [other for other in MODULES if name in other.__all__ and other is not threadwise]
        assert len(owners) <= 1, f"{name} is in {owners}"


COMMANDS = {getattr(command.callback, "__name__", "") for command in app.registered_commands}
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_on_a_page_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    names = re.findall(r"\btw\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)", text)
    names += re.findall(r"`threadwise\.([A-Za-z_]\w*(?:\.\w+)*)`", text)
    crates = {"shard", "causal"}  # of the engine's crate, as of the package
    for name in {name for name in names if name not in crates}:
        if name.split(".")[0] != "bench":
            _resolve(name)
    named = set(re.findall(r"`threadwise ([a-z]+)\b", text))
    assert named <= COMMANDS


def test_the_page_of_the_command_has_every_command() -> None:
    text = (DOCS / "cli.md").read_text("utf-8")
    assert set(re.findall(r"^\| `threadwise (\w+)` \|", text, re.MULTILINE)) == COMMANDS


def test_every_picture_is_shown() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    shown = set(re.findall(r"\(img/([\w.-]+)\)", text))
    assert shown == {path.name for path in (DOCS / "img").iterdir()}


def test_the_picture_of_a_mailbox_has_its_marks() -> None:
    source = (ROOT / "rust/threadwise-runtime/src/mailbox.rs").read_text("utf-8")
    marks = set(re.findall(r"^const (\w+): u64 = [0-3];", source, re.MULTILINE))
    picture = (DOCS / "img" / "mailbox.svg").read_text("utf-8")
    assert set(re.findall(r">([A-Z]{4,})<", picture)) == marks
