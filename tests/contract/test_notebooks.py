"""The lessons: plain files without results, which say what a reader will be able to do.

That each runs from its first cell to its last is tested by nbmake, which collects the notebooks.
"""

import ast
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
LESSONS = sorted(FOLDER.glob("*.ipynb"))
MODULES = {"lesson", "numpy", "threadwise", "matplotlib", "joblib", "sklearn"}
"""What a lesson may import, next to Python's own modules."""

MEASURED = re.compile(
    r"\d\s*([×x](?!\w|\s*\d)|times (as|faster|slower)|([num]|µ)s\b|[MGT](FLOP|B/s))"
)
"""What only the reader's own run can know."""

pytestmark = pytest.mark.parametrize("path", LESSONS, ids=[path.stem for path in LESSONS])


def _notebook(path: Path) -> Any:
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def _code(path: Path) -> list[str]:
    return [cell.source for cell in _notebook(path).cells if cell.cell_type == "code"]


def test_a_lesson_is_a_valid_notebook_with_names_of_its_cells(path: Path) -> None:
    notebook = _notebook(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    names = [cell.get("id") for cell in notebook.cells]
    assert all(names)
    assert len(set(names)) == len(names)
    assert notebook.metadata.kernelspec.name == "python3"


def test_a_lesson_is_kept_without_results(path: Path) -> None:
    cells = [cell for cell in _notebook(path).cells if cell.cell_type == "code"]
    assert cells
    assert [cell for cell in cells if cell.outputs or cell.execution_count is not None] == []


def test_a_lesson_begins_with_what_it_teaches(path: Path) -> None:
    first = _notebook(path).cells[0]
    assert first.cell_type == "markdown"
    assert re.match(r"# \w[^\n]*\n\n(.+\n)*After this lesson you can ", first.source)


def test_a_lesson_is_plain_python_and_imports_little(path: Path) -> None:
    for source in _code(path):
        for node in ast.walk(ast.parse(source)):  # no magic: that is no Python
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            roots = {name.split(".")[0] for name in names}
            assert roots <= MODULES | sys.stdlib_module_names


def test_a_lesson_checks_what_it_says_and_ends_with_a_summary_of_the_run(path: Path) -> None:
    code = _code(path)
    assert "\nassert " in "\n".join(code)
    assert re.search(r"^\s*say\(", code[-1], re.MULTILINE)


def test_text_that_was_written_beforehand_claims_no_measurement(path: Path) -> None:
    text = [cell.source for cell in _notebook(path).cells if cell.cell_type == "markdown"]
    assert [found.group() for found in map(MEASURED.search, text) if found] == []


def test_the_pages_list_the_lesson(path: Path) -> None:
    assert path.name in (FOLDER / "README.md").read_text("utf-8")
    assert f"lessons/{path.stem}" in (ROOT / "docs" / "lessons.md").read_text("utf-8")


def test_the_tests_run_the_lesson_and_stop_a_cell_that_hangs(
    path: Path, pytestconfig: pytest.Config
) -> None:
    assert path.parent.name in pytestconfig.getini("testpaths")
    assert pytestconfig.getoption("nbmake")
    assert 0 < pytestconfig.getoption("nbmake_timeout") <= 120
