"""How long a model takes to become a quantized one, from files to files. See README.md.

Usage: python benches/model_job.py MODEL [--rounds 3] [--llama PYTHON FILE.gguf] [--csv FILE]

`random_model.py` makes a model of any size. All read what the system keeps of files in memory. With
`--llama`, a Python that has llama-cpp-python quantizes FILE.gguf to Q4_0 in the same rounds.
"""

import argparse
import csv
import datetime as dt
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import threadwise as tw
from threadwise.bench._load import busy, caution
from threadwise.bench._record import machine

COLUMNS = (
    *("date", "machine", "cores", "library", "method", "threads", "streaming", "weights"),
    *("median_seconds", "low", "high", "compute_seconds", "peak_bytes", "busy_cpus"),
)

LLAMA = """
import ctypes, sys, time
import llama_cpp
silent = llama_cpp.llama_log_callback(lambda *_: None)
llama_cpp.llama_log_set(silent, None)
llama_cpp.llama_backend_init()
wish = llama_cpp.llama_model_quantize_default_params()
wish.ftype, wish.nthread = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0, int(sys.argv[3])
since = time.perf_counter()
names = [name.encode() for name in sys.argv[1:3]]
code = llama_cpp.llama_model_quantize(*names, ctypes.byref(wish))
print(time.perf_counter() - since)
sys.exit(code)
"""

Case = tuple[str, str, int, bool]
"""Library, method, threads, and whether it holds a block for each thread and no more."""


def ours(model: Path, folder: Path, case: Case) -> tuple[float, float, int | None]:
    """Return the seconds of a job, those of a thread without files, and its memory."""
    _, method, threads, streaming = case
    settings: dict[str, Any] = {"method": method, "threads": threads, "streaming": streaming}
    since = time.perf_counter()
    report = tw.quant.quantize_model(model, folder / "made", bits=4, **settings)
    seconds = time.perf_counter() - since
    shutil.rmtree(folder / "made")
    return seconds, report.compute_seconds, report.measured_peak_bytes


def llama(python: str, model: Path, folder: Path, case: Case) -> tuple[float, None, None]:
    """Return the seconds that llama.cpp takes."""
    to = folder / "made.gguf"
    command = [python, "-c", LLAMA, str(model), str(to), str(case[2])]
    made = subprocess.run(  # noqa: S603 - a Python that the user named
        command, check=True, capture_output=True, text=True
    )
    to.unlink()
    return float(made.stdout.split()[-1]), None, None


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Time all cases in turns; yield what is known of each."""
    most = tw.get_num_threads()
    ways = [(1, True), (most, True), (most, False)]
    cases: list[Case] = [("threadwise", m, *way) for m in ("minmax", "mse") for way in ways]
    if options.llama:
        cases.append(("llama.cpp", "Q4_0", most, False))
    found: dict[Case, list[tuple[float, float | None, int | None]]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory(dir=options.model.parent) as name:
        folder = Path(name)
        ours(options.model, folder, cases[0])  # the files are in memory then
        for _ in range(options.rounds):
            for case in cases:
                if case[0] == "threadwise":
                    found[case].append(ours(options.model, folder, case))
                else:
                    python, file = options.llama
                    found[case].append(llama(python, Path(file), folder, case))
    weights = sum(file.stat().st_size for file in options.model.glob("*.safetensors")) // 2
    for case, times in found.items():
        seconds = [each[0] for each in times]
        compute = [each[1] for each in times if each[1] is not None]
        peaks = [each[2] for each in times if each[2] is not None]
        library, method, threads, streaming = case
        yield {
            "library": library,
            "method": method,
            "threads": threads,
            "streaming": streaming,
            "weights": weights,
            "median_seconds": f"{statistics.median(seconds):.3f}",
            "low": f"{min(seconds):.3f}",
            "high": f"{max(seconds):.3f}",
            "compute_seconds": f"{statistics.median(compute):.3f}" if compute else "",
            "peak_bytes": max(peaks, default=""),
        }


def main() -> None:
    """Time the job, print the rows, and write them where they are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--llama", nargs=2, metavar=("PYTHON", "FILE"))
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    cpus = busy()
    everywhere = {
        "date": dt.datetime.now(dt.UTC).date(),
        "machine": machine(),
        "cores": os.cpu_count(),
        "busy_cpus": "" if cpus is None else f"{cpus:.2f}",
    }
    made = [everywhere | row for row in rows(options)]
    for row in made:
        print(*(row[name] for name in COLUMNS[3:-1]))
    print(caution(cpus), end="")
    if options.csv:
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(made)


if __name__ == "__main__":
    main()
