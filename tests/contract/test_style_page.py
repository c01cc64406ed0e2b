"""The page on style quotes the sources; this keeps it from drifting away from them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "style.md").read_text("utf-8")
BLOCKS = re.findall(r"^```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
QUOTES = re.findall(r"^From `(.+?)`:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_block_says_where_it_is_from() -> None:
    assert BLOCKS
    assert [text for _, text in QUOTES] == BLOCKS


@pytest.mark.parametrize(("path", "text"), QUOTES, ids=[path for path, _ in QUOTES])
def test_a_quote_is_in_its_source(path: str, text: str) -> None:
    assert text in (ROOT / path).read_text("utf-8")
