"""Jobs from files to files, each in a process of its own, as one runs them.

So each begins with the same memory, whatever others took and kept.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadwise.errors import StorageError, ThreadwiseError

if TYPE_CHECKING:
    from threadwise.quant import QuantReport

__all__ = ["Job", "Result", "digest", "main", "run"]

_START = "import sys; from threadwise.bench._job import main; sys.exit(main(sys.argv[1]))"

_LLAMA = """
import ctypes, json, sys, time
import llama_cpp
silent = llama_cpp.llama_log_callback(lambda *_: None)
llama_cpp.llama_log_set(silent, None)
llama_cpp.llama_backend_init()
wish = llama_cpp.llama_model_quantize_default_params()
wish.ftype, wish.nthread = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0, int(sys.argv[3])
since = time.perf_counter()
names = [name.encode() for name in sys.argv[1:3]]
code = llama_cpp.llama_model_quantize(*names, ctypes.byref(wish))
facts = {"seconds": time.perf_counter() - since, "version": llama_cpp.__version__}
print(json.dumps(facts))
sys.exit(code)
"""


@dataclass(frozen=True, kw_only=True)
class Job:
    """How a model becomes a quantized one."""

    method: str
    bits: int
    threads: int
    streaming: bool = True
    """Whether a block for each thread is in memory, or as many more as are loaded ahead."""
    library: str = "threadwise"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a job took."""

    seconds: float
    """From beginning to end: reading, computing, writing, and until all is on the disk."""
    compute_seconds: float | None = None
    """To quantize the same tensors in memory, with as many threads, afterwards."""
    thread_seconds: float | None = None
    """How long each thread of the job computed, in the mean, side by side or not."""
    memory_bytes: int | None = None
    """The most anonymous memory that the process had, less what it had before."""
    process_bytes: int | None = None
    """The same, with Python, NumPy, and all that a process has."""
    bits_per_weight: float | None = None
    cosine: float | None = None
    """The mean over the weights, as the job itself measured it."""
    version: str = ""


def run(job: Job, source: Path, target: Path, *, llama: tuple[str, str] | None = None) -> Result:
    """Do it, and return what it took.

    Raises
    ------
    ThreadwiseError
        If the job failed, with its own words.
    """
    if job.library == "threadwise":
        wish = asdict(job) | {"source": str(source), "target": str(target)}
        command = [sys.executable, "-c", _START, json.dumps(wish)]
    else:
        assert llama is not None
        python, file = llama
        target.mkdir()
        command = [python, "-c", _LLAMA, file, str(target / "made.gguf"), str(job.threads)]
    process = subprocess.Popen(  # noqa: S603 - this Python, or one that the user named
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        said, complained = process.communicate()
    except BaseException:
        # Whoever asked removes what it wrote, so it must not go on writing.
        process.kill()
        process.communicate()
        raise
    if process.returncode:
        lines = complained.strip().splitlines()
        why = lines[-1] if lines else f"exit code {process.returncode}"
        raise StorageError(f"a job on {source} ended early: {why}")
    return Result(**json.loads(said.splitlines()[-1]))


def digest(folder: Path) -> str:
    """Return a hash of all files in `folder`, names and contents."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(str(path.relative_to(folder)).encode())
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def main(wish: str) -> int:
    """Do the job that `wish` describes in JSON, and print its result."""
    import threadwise as tw  # noqa: PLC0415 - the parent imports this file for its names
    from threadwise.scaling.memory import anonymous  # noqa: PLC0415

    given: dict[str, Any] = json.loads(wish)
    # No tensor may become wider, nor the environment change what is timed.
    settings = {name: given[name] for name in ("bits", "method", "threads", "streaming")}
    config = tw.quant.QuantConfig(min_cosine=0, **settings)
    before = anonymous()
    try:
        report = tw.quant.quantize_model(given["source"], given["target"], config)
        compute = _computed(report) if config.streaming else None
    except ThreadwiseError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    peak = report.measured_peak_bytes
    result = Result(
        seconds=report.seconds,
        compute_seconds=compute,
        thread_seconds=report.compute_seconds,
        memory_bytes=None if peak is None or before is None else peak - before,
        process_bytes=peak,
        bits_per_weight=report.bits_per_weight,
        cosine=report.mean_cosine,
        version=tw.__version__,
    )
    print(json.dumps(asdict(result)))
    return 0


def _computed(report: QuantReport) -> float:
    """Quantize the same matrices in memory, and return the seconds that it takes."""
    from threadwise.quant import quantize  # noqa: PLC0415
    from threadwise.quant._files import read  # noqa: PLC0415

    config, total, is_warm = report.config, 0.0, False
    wanted = {tensor.name: tensor.bits for tensor in report.tensors if len(tensor.shape) == 2}
    for stored in (tensor for file in read(report.source) for tensor in file.tensors):
        if stored.name not in wanted:
            continue
        bits, weight = wanted[stored.name], stored.array().copy()
        kind = config.zero_point_of(bits)
        settings: dict[str, Any] = {
            "group_size": config.group_size,
            "symmetric": kind == "symmetric",
            "zero_point": "auto" if kind == "symmetric" else kind,
            "method": config.method,
            "threads": config.threads,
        }
        if not is_warm:
            quantize(weight, bits, **settings)
            is_warm = True
        since = time.perf_counter()
        quantize(weight, bits, **settings)
        total += time.perf_counter() - since
    return total
