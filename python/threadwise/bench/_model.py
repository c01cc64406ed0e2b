"""``python -m threadwise.bench model``."""

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import threadwise as tw
from threadwise.bench import _output
from threadwise.bench._document import Bar, Document, Picture, Table, paragraphs
from threadwise.bench._load import caution
from threadwise.bench._rows import here, machine, times
from threadwise.bench._timing import Summary, summarize
from threadwise.cli._model import folder
from threadwise.models import CausalLM, Generation, ModelConfig
from threadwise.scaling.environment import Environment

__all__ = ["add_options", "run"]

DESCRIPTION = """\
Time a language model: how fast it reads prompts, and how fast it writes.

Prompts are random tokens, texts do not end by themselves. Reading is timed to the first token,
writing from the first to the last, of all sequences together. Rounds go through all lengths and
batches in turn; what is printed are medians and quartiles."""


ABOUT = """\
Prompts of random tokens are read, and texts written that do not end by themselves. Reading is timed
to the first token, writing from the first to the last, of all sequences together. Rows of the
record have seconds a token. Before anything was timed, a text gave the same in one piece and in
several."""


class Row(NamedTuple):
    """One measurement, in tokens a second."""

    what: str
    """``"read"`` or ``"write"``."""
    length: int
    """Tokens of each prompt."""
    batch: int
    median: float
    low: float
    high: float


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this bench."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="the model's directory, or a sample's name")
    add("--lengths", type=_counts, default=(16, 256), metavar="LIST", help="of prompts (16,256)")
    add("--batches", type=_counts, default=(1, 8), metavar="LIST", help="of sequences (1,8)")
    add("--new-tokens", type=int, default=32, metavar="N", help="to write (32)")
    add("--rounds", type=int, default=5, metavar="R", help="(5)")
    add("--threads", type=int, metavar="N", help="(what threadwise takes by itself)")
    add("--kv-dtype", default="float16", metavar="TYPE", help="of keys and values (float16)")
    add("--quantize", type=int, metavar="BITS", help="first")
    add("--activations", default="int8", metavar="KIND", help="int8 or float (int8)")
    add("--quick", action="store_true", help="prompts of 16, alone and eight, three rounds")
    _output.add_options(parser)
    add("--json", action="store_true", help="print JSON, for programs")
    parser.set_defaults(run=run, parser=parser)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def run(options: argparse.Namespace) -> int:
    """Measure and print; return the exit code."""
    _output.check(options)
    if options.quick:
        options.lengths, options.new_tokens, options.rounds = (16,), 16, 3
    place, environment = folder(options.model), Environment.now()
    others = environment.busy_cpus
    model = tw.models.load(
        place,
        threads=options.threads,
        kv_dtype=options.kv_dtype,
        quantize=options.quantize,
        activations=options.activations,
        # Nothing ends a text but its length.
        config=dataclasses.replace(ModelConfig.load(place), eos_token_ids=()),
    )
    if not _right(model):
        print("nothing is timed: logits depend on how a text is cut")
        return 1
    work = (options.lengths, options.batches, options.new_tokens, options.rounds)
    rows = list(_measure(model, *work))
    if options.json:
        print(json.dumps(_facts(model, rows, others), indent=2))
        return 0
    print(f"{model}, {options.kv_dtype} cache\n")
    print("            length  batch   tokens/s   quartiles", flush=True)
    for row in rows:
        print(
            f"{row.what:10s}  {row.length:6d}  {row.batch:5d}  {row.median:9.1f}   "
            f"{row.low:.1f} - {row.high:.1f}",
            flush=True,
        )
    print(caution(others), end="")
    _output.keep(_document(options.model.name, model, rows, environment), options)
    return 0


def _right(model: CausalLM) -> bool:
    """Say whether a text means nearly the same in one piece and in several."""
    ids = np.random.default_rng(1).integers(0, model.config.vocab_size, 24)
    whole, cache = model.forward(ids), model.cache(max_context=24)
    parts = [model.forward(part, cache=cache) for part in np.split(ids, [7, 8, 20])]
    apart = np.abs(np.concatenate(parts) - whole).max()
    return bool(apart <= 0.02 * np.abs(whole).max())


def _measure(
    model: CausalLM,
    lengths: Sequence[int],
    batches: Sequence[int],
    new_tokens: int,
    rounds: int,
) -> Iterator[Row]:
    """Yield how fast each length and batch is read and written."""
    rng = np.random.default_rng(0)
    cases = [(length, batch) for length in lengths for batch in batches]
    prompts = {case: rng.integers(0, model.config.vocab_size, case[::-1]) for case in cases}
    read: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    written: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    for turn in range(rounds + 1):
        for case in cases:
            found = model.generate(prompts[case], max_new_tokens=new_tokens)
            if turn:  # the first round does not count
                read[case].append(_until_first(found))
                written[case].append(_after_first(found))
    for what, rates in (("read", read), ("write", written)):
        for (length, batch), each in rates.items():
            # The rates' quartiles, as `summarize` has those of seconds.
            found = summarize(each)
            yield Row(what, length, batch, found.median, found.low, found.high)


def _until_first(found: Sequence[Generation]) -> float:
    """Return tokens of all prompts, over the time to the first new one."""
    seconds = max(each.timings.time_to_first_token for each in found)
    return sum(each.prompt_tokens for each in found) / seconds


def _after_first(found: Sequence[Generation]) -> float:
    """Return new tokens of all texts after their first, over the time after it."""
    return sum(each.timings.tokens_per_second or 0.0 for each in found)


def _document(
    name: str, model: CausalLM, rows: Sequence[Row], environment: Environment
) -> Document:
    cells = [["", "length", "batch", "tokens/s", "quartiles"]]
    kept, bars = [], []
    for row in rows:
        quartiles = f"{row.low:.1f} to {row.high:.1f}"
        cells.append([row.what, str(row.length), str(row.batch), f"{row.median:.1f}", quartiles])
        # Rows are compared by their time, here that of a token.
        seconds = Summary(low=1 / row.high, median=1 / row.median, high=1 / row.low)
        kept.append(
            here(environment.busy_cpus)
            | {"library": "threadwise", "version": tw.__version__}
            | {"threads": model.threads or tw.get_num_threads()}
            | {"operation": f"{row.what} a token", "dtype": model.kv_dtype}
            | {"name": f"{name}, length {row.length}, batch {row.batch}"}
            | times(seconds)
            | {"tokens_per_second": f"{row.median:.4g}", "note": ""}
        )
        group = f"length {row.length}, batch {row.batch}"
        bars.append(Bar(group=group, label=row.what, value=row.median, low=row.low, high=row.high))
    return Document(
        bench="model",
        title=f"The language model {name}, keys and values in {model.kv_dtype}",
        about=paragraphs(ABOUT),
        environment=environment.facts(),
        rows=kept,
        tables=[Table(title="", cells=cells)],
        pictures=[Picture(kind="bars", title="Tokens", unit="a second", bars=bars)],
    )


def _facts(model: CausalLM, rows: Sequence[Row], others: float | None) -> dict[str, Any]:
    return {
        "machine": machine(),
        "threads": model.threads or tw.get_num_threads(),
        "version": tw.__version__,
        "busy_cpus": others,
        "model": repr(model),
        "kv_dtype": model.kv_dtype,
        "tokens_per_second": [row._asdict() for row in rows],
    }
