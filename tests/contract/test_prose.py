"""The examples on the pages that people read first are run as they stand."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mistral import SAMPLE

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    *("docs/data.md", "docs/index.md", "docs/inference.md", "docs/plan.md"),
    *("docs/quantize.md", "docs/scaling.md", "docs/shard.md", "docs/threading.md"),
    *("docs/training.md", "docs/work.md", "docs/workflows.md"),
]
LENGTHS = {"README.md": 150, "ARCHITECTURE.md": 150}


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where a reader who has copied the small model is.
    shutil.copytree(SAMPLE, tmp_path / "stdlib-mistral-2.8m")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / page).read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)  # noqa: S102 - our own page


@pytest.mark.parametrize("page", LENGTHS)
def test_a_page_stays_short(page: str) -> None:
    assert len((ROOT / page).read_text("utf-8").splitlines()) <= LENGTHS[page]


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), target


def test_every_path_of_the_steps_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    steps = text.split("## Where does a new operation go")[1].split("\n## ")[0]
    paths = re.findall(r"`((?:python|rust|tests|docs)/[^`]+)`", steps)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
