"""What people read of jobs from files to files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from threadwise.bench._document import Bar, Document, Picture, Series, Table, paragraphs
from threadwise.bench._job import Job, Result
from threadwise.bench._rows import here, times
from threadwise.bench._table import duration
from threadwise.bench._timing import Summary, summarize
from threadwise.quant._report_text import size
from threadwise.scaling.environment import Environment

__all__ = ["Found", "document"]

ABOUT = """\
Each job reads a model's files and writes quantized ones, in a process of its own. Its output was
read again and compared with the model before anything was timed, and had the same bytes in every
run, with every number of threads.

time: of the job, from beginning to end, with its files: reading (from the system's cache), writing,
and waiting until all is on the disk. compute: to quantize the same tensors in memory, without any
files. Both are medians over the rounds, ± half the distance between the quartiles. Speedups are
against the measured time of one thread, for the same bits and way of loading; efficiency is the
speedup by threads.

memory: the most anonymous memory of the job, without what the process had before; in brackets with
it: Python, NumPy and all else. Streaming holds a block for each thread; loading ahead
(streaming=False) some more, and its share is what streaming needs of that."""

AHEAD = {True: "streaming", False: "loading ahead"}


@dataclass(frozen=True, kw_only=True)
class Found:
    """What came of all rounds of a job."""

    name: str
    """Of the model, in rows."""
    label: str
    """Of the model, for people."""
    weights: int
    job: Job
    results: Sequence[Result]

    @property
    def seconds(self) -> Summary:
        """Of the whole job."""
        return summarize([each.seconds for each in self.results])

    @property
    def compute(self) -> Summary | None:
        """Of the same tensors in memory."""
        known = [each.compute_seconds for each in self.results if each.compute_seconds is not None]
        return summarize(known) if known else None

    @property
    def memory(self) -> int | None:
        """The most of all rounds."""
        return max((each.memory_bytes for each in self.results if each.memory_bytes), default=None)

    @property
    def process(self) -> int | None:
        """The most of all rounds, with all that the process has."""
        return max(
            (each.process_bytes for each in self.results if each.process_bytes), default=None
        )

    @property
    def way(self) -> str:
        """How files are read."""
        return AHEAD[self.job.streaming] if self.job.library == "threadwise" else ""


def document(
    found: Sequence[Found], environment: Environment, *, method: str, rounds: int
) -> Document:
    """Return what `found` comes to."""
    turns = f"{rounds} round{'s' * (rounds > 1)}"
    tables, pictures = [], []
    for label in dict.fromkeys(each.label for each in found):
        mine = [each for each in found if each.label == label]
        tables.append(Table(title=label, cells=list(_cells(mine, environment))))
        pictures += list(_pictures(mine, label, environment))
    return Document(
        bench="quantize",
        title=f"Quantizing models, from files to files: {method}, {turns}",
        about=paragraphs(ABOUT),
        environment=environment.facts(),
        rows=list(_rows(found, environment)),
        tables=tables,
        pictures=pictures,
        notes=list(_notes(found, environment)),
    )


def _one(each: Found, found: Sequence[Found]) -> Found | None:
    """Return the job of one thread that `each` is compared with."""
    same = [
        other
        for other in found
        if other.label == each.label
        and other.job.threads == 1
        and (other.job.library, other.job.bits, other.job.streaming)
        == (each.job.library, each.job.bits, each.job.streaming)
    ]
    return same[0] if same else None


def _speedups(each: Found, found: Sequence[Found]) -> tuple[float | None, float | None]:
    """Return the speedup of the whole, and that of computing."""
    one = _one(each, found)
    if one is None:
        return None, None
    whole = one.seconds.median / each.seconds.median
    if one.compute is None or each.compute is None or not each.compute.median:
        return whole, None
    return whole, one.compute.median / each.compute.median


def _share(each: Found, found: Sequence[Found]) -> float | None:
    """Return the memory of a streaming job by that of the same one that loads ahead."""
    if not each.job.streaming or each.job.library != "threadwise":
        return None
    for other in found:
        same = (other.job.bits, other.job.threads) == (each.job.bits, each.job.threads)
        if same and not other.job.streaming and other.label == each.label:
            return each.memory / other.memory if each.memory and other.memory else None
    return None


def _over(each: Found, environment: Environment) -> bool:
    return each.job.threads > environment.whole_cores


def _cells(found: Sequence[Found], environment: Environment) -> Iterator[list[str]]:
    compares = any(not each.job.streaming for each in found)
    head = ["bits", *(["loading"] if compares else []), "threads", "time", "speedup"]
    head += ["efficiency", "compute", "speedup", "efficiency", "memory"]
    yield [*head, *(["share"] if compares else [])]
    for each in found:
        whole, compute = _speedups(each, found)
        job = each.job
        memory = "" if each.memory is None else f"{size(each.memory)} ({size(each.process or 0)})"
        share = _share(each, found)
        yield [
            str(job.bits) if job.library == "threadwise" else f"{job.library} {job.method}",
            *([each.way] if compares else []),
            f"{job.threads}{'*' * _over(each, environment)}",
            _time(each.seconds),
            *_gain(whole, job.threads),
            _time(each.compute),
            *_gain(compute, job.threads),
            memory,
            *(["" if share is None else f"{share:.0%}"] if compares else []),
        ]


def _time(seconds: Summary | None) -> str:
    if seconds is None:
        return ""
    spread = (seconds.high - seconds.low) / 2 / seconds.median
    return f"{duration(seconds.median)} ±{spread:3.0%}"


def _gain(speedup: float | None, threads: int) -> list[str]:
    return ["", ""] if speedup is None else [f"{speedup:.2f}x", f"{speedup / threads:.0%}"]


def _pictures(found: Sequence[Found], label: str, environment: Environment) -> Iterator[Picture]:
    ours = [each for each in found if each.job.library == "threadwise"]
    streaming = [each for each in ours if each.job.streaming]
    if len({each.job.threads for each in streaming}) > 1:
        for which, title in ((1, "compute, without files"), (0, "from beginning to end")):
            lines = [
                Series(
                    label=f"{bits} bits",
                    x=[each.job.threads for each in streaming if each.job.bits == bits],
                    y=[
                        _speedups(each, found)[which] or 0.0
                        for each in streaming
                        if each.job.bits == bits
                    ],
                )
                for bits in dict.fromkeys(each.job.bits for each in streaming)
            ]
            yield Picture(
                kind="lines",
                title=f"{label.split(' (', maxsplit=1)[0]}: {title}",
                unit="speedup, against one thread",
                lines=lines,
                cores=environment.cores,
            )
    bars = [
        Bar(
            group=f"{each.job.bits} bits, {each.job.threads} thread{'s' * (each.job.threads > 1)}",
            label=each.way,
            value=each.memory / 1e6,
            low=each.memory / 1e6,
            high=each.memory / 1e6,
        )
        for each in ours
        if each.memory
    ]
    if bars:
        title = f"{label.split(' (', maxsplit=1)[0]}: memory of the job at its highest"
        yield Picture(kind="bars", title=title, unit="MB, anonymous", bars=bars)


def _notes(found: Sequence[Found], environment: Environment) -> Iterator[str]:
    if any(_over(each, environment) for each in found):
        yield (
            f"* oversubscribed: more threads than the {environment.cores:g} CPUs that there are, "
            "so they take turns, and no speedup is to be expected of them"
        )
    for label in dict.fromkeys(each.label for each in found):
        mine = [each for each in found if each.label == label]
        checked = {each.job.bits: each.results[0] for each in mine if each.results[0].cosine}
        said = ", ".join(
            f"{result.bits_per_weight:.2f} bits a weight and a mean cosine of {result.cosine:.4f} "
            f"with {bits}"
            for bits, result in checked.items()
        )
        yield f"{label}: {said}"


def _rows(found: Sequence[Found], environment: Environment) -> Iterator[dict[str, Any]]:
    for each in found:
        whole, compute = _speedups(each, found)
        job, share = each.job, _share(each, found)
        yield here(environment.busy_cpus) | {
            "library": job.library,
            "version": each.results[0].version,
            "threads": job.threads,
            "operation": "quantize model",
            "dtype": f"{job.bits} bits",
            "name": ", ".join(word for word in (each.name, job.method, each.way) if word),
            "weights": each.weights,
            "bits": job.bits,
            "method": job.method,
            "streaming": job.streaming,
            "rounds": len(each.results),
            **times(each.seconds),
            "speedup": _text(whole),
            "efficiency": _text(whole and whole / job.threads),
            "compute_seconds": _text(each.compute.median if each.compute else None),
            "compute_low": _text(each.compute.low if each.compute else None),
            "compute_high": _text(each.compute.high if each.compute else None),
            "compute_speedup": _text(compute),
            "thread_seconds": _text(_thread_seconds(each)),
            "oversubscribed": int(_over(each, environment)),
            "memory_bytes": each.memory or "",
            "process_bytes": each.process or "",
            "memory_of_ahead": _text(share),
            "note": "",
            "samples": [result.seconds for result in each.results],
        }


def _thread_seconds(each: Found) -> float | None:
    known = [result.thread_seconds for result in each.results if result.thread_seconds is not None]
    return median(known) if known else None


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
