"""``threadwise bench quantize-array``: weights in memory."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import threadwise as tw
from threadwise.bench import _output, _plain_quantize
from threadwise.bench._document import Bar, Document, Picture, Table, paragraphs
from threadwise.bench._load import caution
from threadwise.bench._rows import here, times
from threadwise.bench._timing import Summary, sample, summarize
from threadwise.scaling.environment import Environment

__all__ = ["add_options", "run"]

DESCRIPTION = """\
Time the quantization of a weight of normal numbers, 0.02 in size: threadwise on one thread and on
more, against the definition in NumPy. The relative mean square error is printed with the times."""

ABOUT = """\
Weights quantized in memory, in groups of 32, on one thread and on as many as threadwise takes, next
to the definition in NumPy. Rates are those of median times. The error is the relative mean square
error of the values, which is measured before they are timed."""

BITS = (2, 3, 4, 8)
KINDS = ("symmetric", "integer", "float")
GROUP = 32


@dataclass(frozen=True, kw_only=True)
class Case:
    """How a weight is quantized."""

    bits: int
    kind: str
    method: Literal["minmax", "mse"]

    def __call__(self, weight: NDArray[Any], threads: int | None) -> tw.quant.QuantizedTensor:
        """Quantize."""
        return tw.quant.quantize(
            weight,
            self.bits,
            group_size=GROUP,
            symmetric=self.kind == "symmetric",
            zero_point="integer" if self.kind == "integer" else "float",
            method=self.method,
            threads=threads,
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this bench."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rows", type=int, default=4096, metavar="N", help="of the weight (4096)")
    parser.add_argument("--columns", type=int, default=4096, metavar="N", help="the same (4096)")
    parser.add_argument("--budget", type=float, default=0.5, help="seconds for each (0.5)")
    parser.add_argument("--quick", action="store_true", help="a small weight, shortly")
    _output.add_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Time, print, and write the record if there is a place for it."""
    _output.check(options)
    extents = (1024, 2048) if options.quick else (options.rows, options.columns)
    environment = Environment.now()
    weight = np.random.default_rng(0).standard_normal(extents, np.float32)
    weight *= np.float32(0.02)
    cells = [["", "library", "threads", "Gweights/s", "error"]]
    print(f"{'':34}{'library':12}{'threads':>8}{'Gweights/s':>12}{'error':>10}")
    rows = []
    for row in _rows(weight, 0.05 if options.quick else options.budget):
        rows.append(here(environment.busy_cpus) | row)
        name = f"{row['operation']} {row['bits']} {row['zero_point']} {row['method']}"
        cells.append([name, row["library"], str(row["threads"]), row["gigaweights"], row["error"]])
        print(f"{name:34}{row['library']:12}{row['threads']:>8}", end="")
        print(f"{row['gigaweights']:>12}{row['error']:>10}", flush=True)
    print(caution(environment.busy_cpus))
    made = Document(
        bench="quantize-array",
        title=f"Quantizing a weight of {extents[0]} x {extents[1]} in memory",
        about=paragraphs(ABOUT),
        environment=environment.facts(),
        rows=rows,
        tables=[Table(title="", cells=cells)],
        pictures=[_picture(rows)],
    )
    _output.keep(made, options)
    return 0


def _picture(rows: Sequence[dict[str, Any]]) -> Picture:
    bars = [
        Bar(
            group=f"{row['bits']} bits, {row['method']}",
            label=f"{row['library']}, {row['threads']} thread{'s' * (row['threads'] > 1)}",
            value=float(row["gigaweights"]),
            low=row["size"] / float(row["high"]) / 1e9,
            high=row["size"] / float(row["low"]) / 1e9,
        )
        for row in rows
        if row["operation"] == "quantize" and row["zero_point"] == "integer"
    ]
    title = "Weights quantized, with integer zero points"
    return Picture(kind="bars", title=title, unit="billions a second", bars=bars)


def _rows(weight: NDArray[Any], budget: float) -> Iterator[dict[str, Any]]:
    most = tw.get_num_threads()
    few = weight[: max(1, len(weight) // 64)]
    for method in ("minmax", "mse"):
        for bits in BITS:
            for kind in KINDS:
                case = Case(bits=bits, kind=kind, method=method)
                error = _error(weight, case(weight, None))
                for threads in sorted({1, most}):
                    seconds = summarize(sample(case, weight, threads, budget=budget))
                    yield _row(("quantize", "threadwise", threads), case, weight, seconds, error)
                if method == "minmax":
                    plain = sample(_plain_quantize.quantize, few, bits, kind, GROUP, budget=budget)
                    made = _plain_quantize.quantize(few, bits, kind, GROUP)
                    error = _error(few, made)
                    yield _row(("quantize", "numpy", 1), case, few, summarize(plain), error)
    for bits in BITS:
        case = Case(bits=bits, kind="float", method="minmax")
        q, out = case(weight, None), np.empty_like(weight)
        for threads in sorted({1, most}):
            seconds = summarize(sample(_dequantize, q, out, threads, budget=budget))
            who = ("dequantize", "threadwise", threads)
            yield _row(who, case, weight, seconds, _error(weight, q))


def _dequantize(q: tw.quant.QuantizedTensor, out: NDArray[Any], threads: int) -> None:
    q.dequantize(out, threads=threads)


def _error(weight: NDArray[Any], made: Any) -> float:
    wide = weight.astype(np.float64)
    return float(np.square(np.asarray(made) - wide).sum() / np.square(wide).sum())


def _row(
    who: tuple[str, str, int], case: Case, weight: NDArray[Any], seconds: Summary, error: float
) -> dict[str, Any]:
    operation, library, threads = who
    return {
        "library": library,
        "version": tw.__version__ if library == "threadwise" else np.__version__,
        "threads": threads,
        "operation": operation,
        "bits": case.bits,
        "zero_point": case.kind,
        "method": case.method,
        "group_size": GROUP,
        "dtype": f"{case.bits} bits",
        "name": f"{weight.shape[0]} x {weight.shape[1]}, {case.kind}, {case.method}",
        "rows": weight.shape[0],
        "columns": weight.shape[1],
        "size": weight.size,
        **times(seconds),
        "gigaweights": f"{weight.size / seconds.median / 1e9:.4g}",
        "error": f"{error:.4g}",
    }
