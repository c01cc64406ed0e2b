"""The report of some benches as one HTML file that needs nothing else."""

from collections.abc import Iterator, Sequence
from html import escape
from importlib.util import find_spec

from threadwise.bench import _html
from threadwise.bench._document import Document, Picture, Table
from threadwise.bench._load import caution

__all__ = ["page"]


def page(documents: Sequence[Document]) -> str:
    """Return the page of `documents`, of which there is one at least."""
    title = documents[0].title if len(documents) == 1 else "Benchmarks of threadwise"
    parts = [f"<h1>{escape(title)}</h1>"]
    if len(documents) > 1:
        links = (f'<a href="#{each.bench}">{escape(each.title)}</a>' for each in documents)
        parts.append(f"<ul>{''.join(f'<li>{link}</li>' for link in links)}</ul>")
    for each in documents:
        parts += _section(each, named=len(documents) > 1)
    return _html.page(title, "\n".join(parts))


def _section(document: Document, *, named: bool) -> Iterator[str]:
    if named:
        yield f'<h1 id="{escape(document.bench)}">{escape(document.title)}</h1>'
    warning = caution(document.environment.get("busy_cpus")).strip()
    if warning:
        yield f"<p><strong>{escape(warning)}</strong></p>"
    yield from (f"<p>{escape(text)}</p>" for text in document.about)
    yield from (_picture(picture, document) for picture in document.pictures)
    for table in document.tables:
        yield _table(table)
    if document.notes:
        yield f"<h2>Notes</h2>{_html.items(document.notes)}"
    facts = {name.replace("_", " "): _said(value) for name, value in document.environment.items()}
    yield f"<h2>Where it was measured</h2>{_html.facts(facts)}"
    samples = [
        [_name(row), *(f"{seconds:.4g}" for seconds in row["samples"])]
        for row in document.rows
        if row.get("samples")
    ]
    if samples:
        most = max(map(len, samples)) - 1
        head = ["", *map(str, range(1, most + 1))]
        filled = [row + [""] * (most + 1 - len(row)) for row in samples]
        yield "<details><summary>All samples, in seconds</summary>"
        yield f"{_html.table([head, *filled])}</details>"


def _said(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _name(row: object) -> str:
    assert isinstance(row, dict)
    words = (row.get(name) for name in ("library", "operation", "dtype", "name"))
    threads = f", {row['threads']} threads" if row.get("threads") else ""
    return " ".join(str(word) for word in words if word) + threads


def _table(table: Table) -> str:
    title = f"<h2>{escape(table.title)}</h2>" if table.title else ""
    return title + _html.table(table.cells)


def _picture(picture: Picture, document: Document) -> str:
    if find_spec("matplotlib") is None:
        return '<p>There is no picture: pip install "threadwise[plot]" for one.</p>'
    # An extra.
    from threadwise.bench._chart import draw  # noqa: PLC0415
    from threadwise.bench._plot import heat_map  # noqa: PLC0415
    from threadwise.bench._record import entry  # noqa: PLC0415

    if picture.kind == "heat map":
        figure = heat_map([entry({k: str(v) for k, v in row.items()}) for row in document.rows])
    else:
        figure = draw(picture)
    return f"<p>{_html.image(figure, picture.described())}</p>"
