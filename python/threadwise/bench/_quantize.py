"""``threadwise bench quantize``: whole models, from files to files."""

import argparse
import contextlib
import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import threadwise as tw
from threadwise.bench import _generated, _job, _output
from threadwise.bench._generated import expect_room
from threadwise.bench._job import Job, Result
from threadwise.bench._load import caution
from threadwise.bench._progress import progress
from threadwise.bench._quantize_report import Found, document
from threadwise.errors import DomainError
from threadwise.quant import _files
from threadwise.scaling.environment import Environment

__all__ = ["add_options", "run"]

DESCRIPTION = """\
Time how models become quantized ones, from files to files, with each number of threads.

Models are generated, and removed in the end. Before anything is timed, a job's output is read again
and compared with the model in NumPy; afterwards every output must be the same, byte for byte.
Speedups are against the measured run of one thread, rounds go through all jobs in turns, and each
job has a process of its own."""

EXAMPLES = """\
examples:
  threadwise bench quantize --sizes 100M --threads 1,2 --streaming-comparison
  threadwise bench quantize --threads 1,2,4,8,16 --sizes 100M,600M,7B --bits 2,4,8 --report reports
  threadwise bench quantize --model mistral --bits 4 --threads 1,8
"""

BITS = (2, 3, 4, 8)

LLAMA = "llama.cpp"

OVERHEAD = 0.13
"""Bytes of a weight for its scale and minimum, in groups of 32, and what a file has besides."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model to quantize."""

    name: str
    """For rows."""
    label: str
    """For people."""
    weights: int
    model: _generated.Model | None
    """None if it is somebody's own."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this bench."""
    parser.description = DESCRIPTION
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--sizes", default="100M", metavar="LIST", help="100M,600M,7B or layers as LxRxC (100M)"
    )
    which.add_argument("--model", type=Path, metavar="DIR", help="a model of yours instead")
    add("--threads", metavar="LIST", help="with 1 among them (1, 2, 4 and so on to all CPUs)")
    add("--bits", default="2,4,8", metavar="LIST", help="of 2,3,4,8 (2,4,8)")
    add("--method", default="mse", choices=("mse", "minmax"), help="(mse)")
    add(
        "--streaming-comparison",
        action="store_true",
        help="also load ahead (streaming=False), and compare the memory",
    )
    add("--rounds", type=int, default=3, metavar="R", help="turns of each job (3)")
    add("--folder", type=Path, metavar="DIR", help="where models are generated (temporary files)")
    add(
        "--llama",
        nargs=2,
        metavar=("PYTHON", "FILE"),
        help="a Python with llama-cpp-python makes Q4_0 of the GGUF file, in the same rounds",
    )
    add("--quick", action="store_true", help="4 bits only")
    _output.add_options(parser)
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print, and write what is asked for; return the exit code."""
    jobs, rounds = _jobs(options), options.rounds
    if rounds < 1:
        raise DomainError(f"--rounds is {rounds}, expected 1 or more")
    _output.check(options)
    subjects = _subjects(options)
    folder = options.folder or Path(tempfile.gettempdir())
    if not folder.is_dir():
        raise DomainError(f"--folder is {folder}, expected a directory that is there")
    for subject in subjects:
        own = subject.model.bytes if subject.model else 0
        needed = own + round(subject.weights * (max(job.bits for job in jobs) / 8 + OVERHEAD))
        expect_room(f"quantizing {subject.label}", needed, folder)
    environment = Environment.now()
    found: list[Found] = []
    for subject in subjects:
        with _place(folder) as place:
            source = options.model or place / "model"
            if subject.model:
                print(f"generating {subject.label}", flush=True)
                _generated.write(source, subject.model.shapes())
            found += _measure(subject, source, place, jobs, options)
    made = document(found, environment, method=options.method, rounds=rounds)
    print(f"\n{made.text()}{caution(environment.busy_cpus)}")
    _output.keep(made, options)
    return 0


@contextlib.contextmanager
def _place(folder: Path) -> Iterator[Path]:
    """Make a directory that is gone in the end, also after Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="threadwise-bench-", dir=folder) as name:
        yield Path(name)


def _measure(
    subject: Subject,
    source: Path,
    place: Path,
    jobs: Sequence[Job],
    options: argparse.Namespace,
) -> list[Found]:
    """Check each output, then time all jobs in turns."""
    right = {}
    for job in jobs:
        if job.library != LLAMA and (job.bits, job.method) not in right:
            print(f"checking {job.bits} bits", flush=True)
            right[job.bits, job.method] = _checked(job, source, place / "checked")
    found: dict[Job, list[Result]] = {job: [] for job in jobs}
    turns = [f"round {turn + 1}, {_said(job)}" for turn in range(options.rounds) for job in jobs]
    for number, _ in enumerate(progress(turns)):
        job = jobs[number % len(jobs)]
        target = place / "made"
        result = _job.run(job, source, target, llama=options.llama)
        wanted = right.get((job.bits, job.method)) if job.library != LLAMA else None
        if wanted is not None and _job.digest(target) != wanted:
            raise tw.errors.FormatError(
                f"the output of {_said(job)} differs from that of the job that was checked, "
                "expected the same bytes: nothing is reported"
            )
        shutil.rmtree(target)
        found[job].append(result)
    return [
        Found(
            name=subject.name, label=subject.label, weights=subject.weights, job=job, results=each
        )
        for job, each in found.items()
    ]


def _checked(job: Job, source: Path, target: Path) -> str:
    """Do a job, compare its output with the model, and return the output's hash.

    Raises
    ------
    FormatError
        If the output is not what the job says it is.
    """
    said = _job.run(job, source, target)
    report = tw.quant.validate(source, target)  # reads it, and raises where tensors are missing
    off = abs(report.mean_cosine - (said.cosine or 0))
    if off > 1e-6 or not report.tensors:
        raise tw.errors.FormatError(
            f"{len(report.tensors)} tensors of {job.bits} bits have a mean cosine of "
            f"{report.mean_cosine:.6f}, expected {said.cosine:.6f} as the job says: "
            "nothing is timed"
        )
    found = _job.digest(target)
    shutil.rmtree(target)
    return found


def _said(job: Job) -> str:
    if job.library == LLAMA:
        return f"{LLAMA}, {job.threads} threads"
    way = "" if job.streaming else ", loading ahead"
    return f"{job.bits} bits, {job.threads} threads{way}"


def _jobs(options: argparse.Namespace) -> list[Job]:
    threads = _threads(options.threads)
    bits = [4] if options.quick else _numbers("--bits", options.bits)
    for each in bits:
        if each not in BITS:
            raise DomainError(f"--bits has {each}, expected some of 2, 3, 4 and 8")
    ways = (True, False) if options.streaming_comparison else (True,)
    jobs = [
        Job(method=options.method, bits=width, threads=count, streaming=way)
        for width in bits
        for way in ways
        for count in threads
    ]
    if options.llama:
        jobs.append(replace(jobs[0], library=LLAMA, method="Q4_0", bits=4, threads=threads[-1]))
    return jobs


def _threads(text: str | None) -> list[int]:
    if text is None:
        most = tw.get_num_threads()
        return sorted({1, most, *(2**i for i in range(most.bit_length()))} - {0})
    threads = _numbers("--threads", text)
    if 1 not in threads or max(threads) > 1024:
        raise DomainError(
            f"--threads is {text}, expected numbers to 1024 with 1 among them: speedups are "
            "against a measured run of one thread"
        )
    return threads


def _numbers(option: str, text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) for word in words):
        raise DomainError(f"{option} is {text}, expected whole numbers from 1 on, with commas")
    return sorted({int(word) for word in words})


def _subjects(options: argparse.Namespace) -> list[Subject]:
    if options.model is None:
        models = [_generated.model(word.strip()) for word in options.sizes.split(",")]
        return [
            Subject(name=each.name, label=each.label, weights=each.weights, model=each)
            for each in dict.fromkeys(models)
        ]
    tensors = [tensor for file in _files.read(options.model) for tensor in file.tensors]
    weights = sum(math.prod(tensor.shape) for tensor in tensors)
    name = options.model.resolve().name
    label = f"{name} ({_generated.many(weights)})"
    return [Subject(name=name, label=label, weights=weights, model=None)]
