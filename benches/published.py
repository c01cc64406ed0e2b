"""What the README and docs/training.md show of the records that are not of products. See README.md.

Usage: python benches/published.py
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from threadwise.bench._table import between, duration

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "benches" / "record"
README = ROOT / "README.md"
TRAINING = ROOT / "docs" / "training.md"
MARKS = ("<!-- measured: benches/published.py writes this -->", "<!-- measured: end of it -->")

Row = dict[str, str]


class Line(NamedTuple):
    """A line of the table of training: a case of ours, and what is next to it."""

    what: str
    case: str
    library: str = ""
    """Whose time is next to it, if anyone's."""
    name: str = ""
    """What that is called."""
    other: str = ""
    """Its case, if not the same."""
    right: str = ""
    """The case whose value is how much was right."""
    tasks: int = 1
    """How many the case does, if the line says how long one takes."""


MEAN, FLOOR = "mean of 8 gradients", "reading and writing as much"
LINES = (
    Line(f"{MEAN} of 10 million numbers", MEAN, "torch", "PyTorch, `stack` and `mean`:"),
    Line("the same", MEAN, "threadwise", f"{FLOOR} by NumPy:", other=FLOOR),
    Line(
        what="50 epochs of (128, 64) on digits",
        case="digits, 50 epochs",
        library="sklearn",
        name="scikit-learn",
        right="accuracy of digits",
    ),
    Line("5 folds of 20 epochs, 1 worker", "5 folds, workers: 1", "sklearn", "scikit-learn"),
    Line("5 folds of 20 epochs, 2 workers", "5 folds, workers: 2", "sklearn", "scikit-learn"),
    Line("`parallel.map` of 1000 squares", "map of 1000 squares"),
    Line("an empty task of `ThreadExecutor`", "1000 empty tasks", tasks=1000),
    Line(
        what="1000 samples of the second network, dropout before the last layer",
        case="1000 samples",
        library="threadwise",
        name="as many whole passes:",
        other="1000 whole passes",
    ),
)


def newest(kind: str, files: str = "*.csv") -> list[Row]:
    """Return the rows of the last day's record of a kind."""
    with max((RECORD / kind).glob(files)).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _time(rows: Iterable[Row], **wanted: str) -> float | None:
    """Return the median seconds of the one row that fits, or None if there is none."""
    fit = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    if not fit:
        return None
    [row] = fit
    return float(row["median_seconds"])


def _line(what: str, times: list[float | None], other: str) -> str:
    shown = ["-" if time is None else duration(time) for time in times]
    return f"| {what} | {' | '.join(shown)} | {other} |"


def table() -> str:
    """Return the table, from the newest records."""
    weights, models = newest("quantize-array"), newest("quantize", "*-llama.csv")
    ours, first = {"library": "threadwise"}, weights[0]
    count = int(models[0]["weights"]) / 1e6
    where = f"{first['machine']} with {first['cores']} CPUs, {first['date']}"
    lines = [
        f"{where}; medians. Bits are 4, in groups of 32, where nothing else is said.",
        "",
        "| | 1 thread | 2 threads | another |",
        "| --- | ---: | ---: | --- |",
    ]
    for method in ("minmax", "mse"):
        kind = {"operation": "quantize", "bits": "4", "zero_point": "integer", "method": method}
        times = [_time(weights, threads=n, **ours, **kind) for n in ("1", "2")]
        alone = _time(weights, library="numpy", **kind)
        rows = next((row["rows"] for row in weights if row["library"] == "numpy"), "0")
        other = "" if alone is None else f"NumPy {duration(alone)}, for {rows} of the rows"
        lines.append(_line(f"4096×4096 weights in memory, `{method}`", times, other))
    for method in ("minmax", "mse"):
        kind = {"method": method, "streaming": "True", "weights": models[0]["weights"]}
        times = [_time(models, threads=n, **ours, **kind) for n in ("1", "2")]
        llama = _time(models, library="llama.cpp", threads="2")
        # Its formats are found from the extremes, too: there is nothing beside the search.
        is_alike = method == "minmax" and llama is not None
        other = f"llama.cpp, Q4_0, 2 threads: {duration(llama or 0.0)}" if is_alike else ""
        lines.append(
            _line(f"{count:.0f} million weights, files to files, `{method}`", times, other)
        )
    return "\n".join(lines + _models() + _training())


def _models() -> list[str]:
    """Return what models read and write a second, by the one whose head has few bits, too."""
    rows = [row for row in newest("model") if row["threads"] == "2"]
    ours = [row for row in rows if row["model"].endswith("h")]
    kinds = {
        ("read", "1"): "a language model of as many, head of 8 bits: prompts of {length} tokens",
        ("write", "1"): "the same: one text, after {length} tokens",
        ("write", "8"): "the same: eight texts at once, after {length} tokens each",
    }
    lines = []
    for row in ours:
        kind = kinds.get((row["what"], row["batch"]))
        if kind is None:
            continue
        same = ("what", "length", "batch", "date")
        peers = [
            float(other["tokens_per_second"])
            for other in rows
            if other["library"] == "llama.cpp" and all(other[name] == row[name] for name in same)
        ]
        speed = f"{float(row['tokens_per_second']):.0f} tokens/s"
        other = f"llama.cpp, Q4_0: {max(peers):.0f} tokens/s" if peers else ""
        lines.append(f"| {kind.format(**row)} | - | {speed} | {other} |")
    return lines


def _training() -> list[str]:
    rows = newest("training")
    lines = []
    for case, what in (
        ("step of SGD, 784-512-256-10, 256 rows", "a step of SGD, layers 784-512-256-10, 256 rows"),
        (
            "step of AdamW, 1024-2048-2048-1000, 512 rows",
            "a step of AdamW, layers 1024-2048-2048-1000, 512 rows",
        ),
        ("mean of 8 gradients", "the mean of 8 gradients of 10 million float32"),
    ):
        ours = _time(rows, library="threadwise", case=case)
        theirs = _time(rows, library="torch", case=case)
        other = "" if theirs is None else f"PyTorch {duration(theirs)}"
        lines.append(_line(what, [None, ours], other))
    return lines


def training() -> str:
    """Return the table of training and workflows, from the newest record."""
    rows = newest("training")
    steps = dict.fromkeys(row["case"] for row in rows if row["case"].startswith("step of "))
    lines = ["| what | threadwise | next to it | ratio |", "| --- | --- | --- | --- |"]
    for line in [*(Line(case, case, "torch", "PyTorch") for case in steps), *LINES]:
        ours = _time(rows, library="threadwise", case=line.case)
        theirs = _time(rows, library=line.library, case=line.other or line.case)
        if ours is None:
            continue
        shown = f"{_short(ours / line.tasks)}{_right(rows, 'threadwise', line.right)}"
        beside = "| | |"
        if theirs is not None:
            right = _right(rows, line.library, line.right)
            beside = f"| {line.name} {_short(theirs)}{right} | {theirs / ours:.1f} |"
        lines.append(f"| {line.what} | {shown} {beside}")
    return "\n".join(lines)


def _right(rows: Iterable[Row], library: str, case: str) -> str:
    shares = [row["value"] for row in rows if (row["library"], row["case"]) == (library, case)]
    return "".join(f", {float(share):.1%} right".replace("%", " %") for share in shares)


def _short(seconds: float) -> str:
    """Return `seconds` in the units of the page, which has none above milliseconds."""
    for below, scale, digits, unit in (
        (1e-5, 1e6, 1, "µs"),
        (1e-3, 1e6, 0, "µs"),
        (0.01, 1e3, 2, "ms"),
    ):
        if seconds < below:
            return f"{seconds * scale:.{digits}f} {unit}"
    return f"{seconds * 1e3:.{1 if seconds < 0.1 else 0}f} ms"


def published(page: str, text: str) -> str:
    """Return `page` with `text` between its marks."""
    return between(page, MARKS, text)


if __name__ == "__main__":
    for page, made in ((README, table), (TRAINING, training)):
        page.write_text(published(page.read_text("utf-8"), made()), "utf-8")
