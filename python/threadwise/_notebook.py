"""How reports look in a notebook."""

from html import escape

__all__ = ["table"]


def table(text: str) -> str:
    """Return a table of plain text as HTML in which no line is broken."""
    return f'<pre style="overflow-x: auto; white-space: pre">{escape(text)}</pre>'
