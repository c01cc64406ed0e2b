"""``python -m threadwise.bench quantize``."""

import argparse
import csv
import datetime as dt
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import threadwise as tw
from threadwise.bench import _plain_quantize
from threadwise.bench._load import busy, caution
from threadwise.bench._record import machine
from threadwise.bench._timing import Summary, sample, summarize

__all__ = ["COLUMNS", "add_options", "run"]

DESCRIPTION = """\
Time the quantization of a weight of normal numbers, 0.02 in size: threadwise on one thread and on
more, against the definition in NumPy. The relative mean square error is printed with the times."""

COLUMNS = (
    *("date", "machine", "cores", "python", "library", "version", "threads", "operation"),
    *("bits", "zero_point", "method", "group_size", "rows", "columns"),
    *("median_seconds", "low", "high", "gigaweights", "error", "busy_cpus"),
)

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
    parser.add_argument("--csv", type=Path, metavar="FILE", help="where a record goes")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Time, print, and write the record if there is a place for it."""
    cpus = busy()
    random = np.random.default_rng(0)
    weight = random.standard_normal((options.rows, options.columns), np.float32)
    weight *= np.float32(0.02)
    print(f"{'':22}{'library':12}{'threads':>8}{'Gweights/s':>12}{'error':>10}")
    rows = []
    for row in _rows(weight, options.budget):
        everywhere = {
            "date": dt.datetime.now(dt.UTC).date(),
            "machine": machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "busy_cpus": "" if cpus is None else f"{cpus:.2f}",
        }
        rows.append(everywhere | row)
        name = f"{row['operation']} {row['bits']} {row['zero_point']} {row['method']}"
        print(f"{name:34}{row['library']:12}{row['threads']:>4}", end="")
        print(f"{row['gigaweights']:>10}{row['error']:>10}", flush=True)
    print(caution(cpus))
    if options.csv:
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return 0


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
        "rows": weight.shape[0],
        "columns": weight.shape[1],
        "median_seconds": f"{seconds.median:.4g}",
        "low": f"{seconds.low:.4g}",
        "high": f"{seconds.high:.4g}",
        "gigaweights": f"{weight.size / seconds.median / 1e9:.4g}",
        "error": f"{error:.4g}",
    }
