"""How reports look in a notebook."""

from html import escape

__all__ = ["table"]


def table(text: str) -> str:
    """Return a table of plain text as HTML in which no line is broken."""
    style = "font-family: monospace; font-size: 85%; overflow-x: auto; white-space: pre"
    return f'<pre style="{style}">{escape(text)}</pre>'
