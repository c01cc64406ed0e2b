"""The pages that people read first: short, and their links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LENGTHS = {"README.md": 150, "ARCHITECTURE.md": 150}


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
