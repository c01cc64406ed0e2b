"""Pages of HTML that need nothing but themselves."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["facts", "image", "items", "page", "table"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 66rem; padding: 0 1rem;
  color: #1a1a1a; background: #fff; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; } img { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #ddd;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { border-bottom: 2px solid #888; }
.facts th, .facts td { text-align: left; white-space: normal; }
.facts th { border-bottom: 1px solid #ddd; font-weight: 600; }
"""


def page(title: str, body: str) -> str:
    """Return the page whose `body` is HTML, and whose `title` is not."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n"
        "</body>\n</html>\n"
    )


def table(cells: Sequence[Sequence[str]]) -> str:
    """Return a table of texts, whose first row is its head."""
    head, *rows = cells
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def facts(named: Mapping[str, str]) -> str:
    """Return a table of names, and what is to be said of each."""
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in named.items()
    )
    return f'<table class="facts">{rows}</table>'


def items(texts: Sequence[str]) -> str:
    """Return a list."""
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def image(figure: Figure, description: str) -> str:
    """Return a picture, as part of the page; `description` is for who cannot see it."""
    with io.BytesIO() as drawn:
        figure.savefig(drawn, format="svg")
        text = base64.b64encode(drawn.getvalue()).decode()
    return f'<img alt="{escape(description)}" src="data:image/svg+xml;base64,{text}">'
