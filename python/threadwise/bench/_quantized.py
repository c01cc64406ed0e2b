"""``python -m threadwise.bench quantized``."""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import threadwise as tw
from threadwise.bench import _output
from threadwise.bench._document import Bar, Document, Picture, Table, paragraphs
from threadwise.bench._load import caution
from threadwise.bench._rows import here, times
from threadwise.bench._table import duration
from threadwise.bench._timing import Summary
from threadwise.quant import QuantizedTensor
from threadwise.scaling.environment import Environment

__all__ = ["add_options", "run"]

DESCRIPTION = """\
Time layers with quantized weights against the same layer with the weight in float32.

The weights are rotated, so that none lies in a cache. Each result is checked before it is timed.
Bandwidth counts codes and scales, beside that of adding up the bytes on all threads."""

ABOUT = """\
Layers with quantized weights next to the same layer in float32, on as many threads. Weights are
rotated, so that none lies in a cache. Each result was compared with a product in float64 before
anything was timed. Times are medians; bandwidth counts codes and scales."""

ROTATED = 160 << 20  # bytes of weights of a kind
FEWEST = 3  # of them
ROUNDS = 15


class Row(NamedTuple):
    """One measurement."""

    name: str
    bits: int
    rows: int
    median: float
    low: float
    high: float
    bandwidth: float
    """GB/s of the weight."""
    ratio: float
    """The time of float32 over this one."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this bench."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--shape", type=_extents, default=(4096, 11008), metavar="KxN", help="(4096x11008)")
    add("--bits", type=_counts, default=(4, 2, 3, 8), metavar="LIST", help="(4,2,3,8)")
    add("--rows", type=_counts, default=(1, 2, 4, 8, 16, 32, 128), metavar="LIST", help="of x")
    add("--group-size", type=int, default=32, metavar="G", help="(32)")
    add("--threads", type=int, metavar="N", help="(what threadwise takes by itself)")
    add("--rounds", type=int, default=ROUNDS, metavar="R", help=f"({ROUNDS})")
    add("--quick", action="store_true", help="4 bits, 1 and 16 rows, three rounds")
    _output.add_options(parser)
    parser.set_defaults(run=run, parser=parser)


def _extents(text: str) -> tuple[int, int]:
    k, n = (int(word) for word in text.split("x"))
    return k, n


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def run(options: argparse.Namespace) -> int:
    """Measure, print, and write what is asked for; return the exit code."""
    _output.check(options)
    if options.quick:
        options.bits, options.rows, options.rounds = (4,), (1, 16), 3
    k, n = options.shape
    environment, rng = Environment.now(), np.random.default_rng(0)
    threads = options.threads or tw.get_num_threads()
    plain = _some(lambda: rng.standard_normal((n, k), np.float32), 4 * k * n)
    print(f"1x{k} @ {k}x{n}: read {_bandwidth(plain, threads):.1f} GB/s on {threads} threads\n")
    print("weight          rows       ms   low - high    GB/s   float32's time over it", flush=True)
    found: list[Row] = []
    for bits in options.bits:
        bytes_ = n * (-(-k * bits // 32) * 4 + 2 * -(-k // options.group_size))
        quantized = _some(partial(_random, rng, (n, k), bits, options.group_size), bytes_)
        for rows in options.rows:
            x = rng.standard_normal((rows, k), np.float32)
            out = np.empty((rows, n), np.float32)
            calls: dict[str, Callable[[int], Any]] = {
                "float32": _call(x, plain, out, options.threads),
                "int8": _call(x, quantized, out, options.threads, activations="int8"),
                "float": _call(x, quantized, out, options.threads, activations="float"),
            }
            values = np.asarray(quantized[0])
            if not _right(calls, x, values, out):
                print(f"nothing is timed: the product of {rows} rows, {bits} bits, is wrong")
                return 1
            times = _times(calls, options.rounds)
            base = statistics.median(times["float32"])
            for name, each in times.items():
                size = 4 * k * n if name == "float32" else bytes_
                median = statistics.median(each)
                row = Row(
                    *(name, 32 if name == "float32" else bits, rows, median, min(each), max(each)),
                    *(size / median * 1e-9, base / median),
                )
                found.append(row)
                label = name if name == "float32" else f"{bits} bits, {name}"
                low, high = row.low * 1e3, row.high * 1e3
                print(
                    f"{label:14s} {rows:5d} {median * 1e3:8.3f} {low:6.2f} - {high:<6.2f} "
                    f"{row.bandwidth:6.1f}  {row.ratio:5.2f}",
                    flush=True,
                )
    print(caution(environment.busy_cpus), end="")
    _output.keep(_document(found, options, threads, environment), options)
    return 0


def _document(
    found: Sequence[Row], options: argparse.Namespace, threads: int, environment: Environment
) -> Document:
    k, n = options.shape
    cells = [["weight", "rows", "time", "GB/s", "float32's time over it"]]
    rows, bars = [], []
    # float32 was timed beside each number of bits: the first time speaks for all.
    for row in {(each.name, each.bits, each.rows): each for each in reversed(found)}.values():
        kind = row.name if row.name == "float32" else f"{row.bits} bits, {row.name}"
        seconds = Summary(low=row.low, median=row.median, high=row.high)
        cells.append(
            [kind, str(row.rows), duration(row.median), f"{row.bandwidth:.1f}", f"{row.ratio:.2f}"]
        )
        rows.append(
            here(environment.busy_cpus)
            | {"library": "threadwise", "version": tw.__version__, "threads": threads}
            | {"operation": "quantized layer", "dtype": kind, "name": f"{row.rows} x {k} x {n}"}
            | times(seconds)
            | {"gigabytes_per_second": f"{row.bandwidth:.4g}", "note": ""}
            | {"bits": row.bits, "rows": row.rows, "over_float32": f"{row.ratio:.4g}"}
        )
        each = [value * 1e3 for value in (row.median, row.low, row.high)]
        group = f"{row.rows} row{'s' * (row.rows > 1)}"
        bars.append(Bar(group=group, label=kind, value=each[0], low=each[1], high=each[2]))
    return Document(
        bench="quantized",
        title=f"A layer of {n} outputs of {k} inputs, with its weight quantized",
        about=paragraphs(ABOUT),
        environment=environment.facts(),
        rows=rows,
        tables=[Table(title="", cells=cells)],
        pictures=[Picture(kind="bars", title="A layer", unit="ms", bars=bars, logarithmic=True)],
    )


def _some(make: Callable[[], Any], size: int) -> list[Any]:
    """Make as many as do not fit in a cache together."""
    return [make() for _ in range(max(FEWEST, -(-ROTATED // size)))]


def _random(rng: np.random.Generator, shape: tuple[int, int], bits: int, group_size: int) -> Any:
    """Draw the codes of a quantized weight."""
    (n, k), most = shape, np.iinfo(np.uint32).max
    codes = rng.integers(0, most, (n, -(-k * bits // 32)), np.uint32, endpoint=True)
    if k * bits % 32:
        codes[:, -1] &= np.uint32((1 << k * bits % 32) - 1)
    scales = rng.uniform(0.5, 1.5, (n, -(-k // group_size))).astype(np.float16)
    return QuantizedTensor(codes, scales, None, shape=shape, bits=bits, group_size=group_size)


def _call(
    x: NDArray[Any], weights: Sequence[Any], out: NDArray[Any], threads: int | None, **options: Any
) -> Callable[[int], Any]:
    """Return a layer with one of the weights, in turns."""
    return lambda turn: tw.linear(
        x, weights[turn % len(weights)], out=out, threads=threads, **options
    )


def _right(
    calls: dict[str, Callable[[int], Any]], x: NDArray[Any], values: NDArray[Any], out: NDArray[Any]
) -> bool:
    """Say whether the layers with the first quantized weight are what they should be, nearly."""
    some = np.linspace(0, len(values) - 1, 50).astype(int)
    expected = x.astype(np.float64) @ values[some].T.astype(np.float64)
    scale = np.abs(x).astype(np.float64) @ np.abs(values[some]).T.astype(np.float64)
    for name, allowed in (("int8", 2e-2), ("float", 1e-4)):
        calls[name](0)
        if not (np.abs(out[:, some] - expected) <= allowed * scale).all():
            return False
    return True


def _times(calls: dict[str, Callable[[int], Any]], rounds: int) -> dict[str, list[float]]:
    """Return seconds of each call, in turns; the first two rounds do not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 2):
        for name, call in calls.items():
            start = time.perf_counter()
            call(turn)
            times[name].append(time.perf_counter() - start)
    return {name: each[2:] for name, each in times.items()}


def _bandwidth(arrays: Sequence[NDArray[Any]], threads: int) -> float:
    """Return the GB/s at which so many threads add up the words of arrays."""
    words = [array.reshape(-1).view(np.uint64) for array in arrays]
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for each in words * 3:
            parts = np.array_split(each, threads)
            start = time.perf_counter()
            list(pool.map(np.add.reduce, parts))
            best = max(best, each.nbytes / (time.perf_counter() - start) * 1e-9)
    return best
