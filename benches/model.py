"""How fast a language model reads prompts and writes, and what memory it takes. See README.md.

Usage: python benches/model.py MODEL [--rounds 5] [--llama PYTHON FILE.gguf] [--csv FILE]

`random_model.py` makes a model of any size, `threadwise quantize` one of fewer bits. FILE.gguf is
run in the same rounds, on as many threads, by a Python that has llama-cpp-python.
"""

import argparse
import csv
import dataclasses
import datetime as dt
import json
import os
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

import threadwise as tw
from threadwise.bench._load import busy, caution
from threadwise.bench._record import machine

COLUMNS = (
    *("date", "machine", "cores", "library", "version", "model", "threads", "what", "length"),
    *("batch", "tokens_per_second", "low", "high", "anonymous_bytes", "mapped_bytes", "busy_cpus"),
)

LLAMA = """
import ctypes, json, sys, time
import llama_cpp as llama
silent = llama.llama_log_callback(lambda *_: None)
llama.llama_log_set(silent, None)
llama.llama_backend_init()
path, threads = sys.argv[1], int(sys.argv[2])

def memory():
    for line in open("/proc/self/smaps_rollup"):
        if line.startswith("Anonymous:"):
            return 1024 * int(line.split()[1])

before = memory()
model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
wish = llama.llama_context_default_params()
wish.n_ctx, wish.n_batch, wish.n_ubatch, wish.n_seq_max = 8192, 512, 512, 8
wish.n_threads = wish.n_threads_batch = threads
context = llama.llama_init_from_model(model, wish)
kept = llama.llama_get_memory(context)

def decode(tokens, first, sequences):
    # Tokens of all sequences, from position `first` on; logits of each one's last.
    batch = llama.llama_batch_init(len(tokens) * len(sequences), 0, 1)
    at = 0
    for sequence in sequences:
        for i, token in enumerate(tokens):
            batch.token[at], batch.pos[at] = token, first + i
            batch.n_seq_id[at], batch.seq_id[at][0] = 1, sequence
            batch.logits[at] = i + 1 == len(tokens)
            at += 1
    batch.n_tokens = at
    if llama.llama_decode(context, batch):
        sys.exit("llama_decode failed")
    llama.llama_synchronize(context)
    llama.llama_batch_free(batch)

print(json.dumps({"version": llama.__version__}), flush=True)
for line in sys.stdin:
    length, count, new = json.loads(line)
    llama.llama_memory_clear(kept, True)
    since = time.perf_counter()
    for sequence in range(count):
        decode([300 + i for i in range(length)], 0, [sequence])
    read = time.perf_counter() - since
    since = time.perf_counter()
    for i in range(new):
        decode([500 + i], length + i, range(count))
    write = time.perf_counter() - since
    rates = length * count / read, new * count / write
    print(json.dumps([*rates, memory() - before]), flush=True)
"""


def memory() -> dict[str, int]:
    """Return what this process holds: bytes of its own, and of files."""
    found = {"Anonymous": 0, "Rss": 0}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in found:
            found[name] = 1024 * int(rest.split()[0])
    return {"own": found["Anonymous"], "mapped": found["Rss"] - found["Anonymous"]}


class Ours:
    """The model in this process."""

    name, version = "threadwise", tw.__version__

    def __init__(self, path: Path, threads: int) -> None:
        self.before = memory()
        # Nothing ends a text but its length.
        config = dataclasses.replace(tw.models.ModelConfig.load(path), eos_token_ids=())
        self.model = tw.models.load(path, threads=threads, config=config)

    def rates(self, length: int, batch: int, new: int) -> tuple[float, float]:
        """Return tokens a second, read and written."""
        ids = np.random.default_rng(0).integers(0, self.model.config.vocab_size, (batch, length))
        found = self.model.generate(ids, max_new_tokens=new + 1)
        first = max(each.timings.time_to_first_token for each in found)
        return ids.size / first, sum(each.timings.tokens_per_second or 0.0 for each in found)

    def memory(self) -> tuple[int, int]:
        """Return bytes since before the model was loaded: its own, and of files."""
        now = memory()
        return now["own"] - self.before["own"], now["mapped"] - self.before["mapped"]


class Llama:
    """llama.cpp, in a process of its own."""

    name = "llama.cpp"

    def __init__(self, python: str, path: str, threads: int) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - a Python that the user named
            [python, "-c", LLAMA, path, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.version = str(self._answer()["version"])
        self.own = 0

    def _answer(self) -> Any:
        assert self.process.stdout is not None  # noqa: S101 - it is a pipe
        return json.loads(self.process.stdout.readline())

    def rates(self, length: int, batch: int, new: int) -> tuple[float, float]:
        """Return tokens a second, read and written."""
        assert self.process.stdin is not None  # noqa: S101 - it is a pipe
        print(json.dumps((length, batch, new)), file=self.process.stdin, flush=True)
        read, write, self.own = self._answer()
        return read, write

    def memory(self) -> tuple[int, None]:
        """Return bytes since before the model was loaded: its own, beside the file."""
        return self.own, None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()


def rows(options: argparse.Namespace, peers: Sequence[Ours | Llama]) -> Iterator[dict[str, Any]]:
    """Time all cases in turns; yield what is known of each."""
    cases = [(peer, batch) for batch in (1, options.batch) for peer in peers]
    found: dict[tuple[Ours | Llama, int], list[tuple[float, float]]] = {case: [] for case in cases}
    for turn in range(options.rounds + 1):
        for peer, batch in cases:
            # As many tokens of prompts in all.
            rates = peer.rates(options.length // batch, batch, options.new_tokens)
            if turn:  # the first round does not count
                found[peer, batch].append(rates)
    for (peer, batch), pairs in found.items():
        own, mapped = peer.memory()
        for number, what in enumerate(("read", "write")):
            each = [pair[number] for pair in pairs]
            yield {
                "library": peer.name,
                "version": peer.version,
                "model": options.model.name if isinstance(peer, Ours) else options.llama[1].name,
                "threads": options.threads,
                "what": what,
                "length": options.length // batch,
                "batch": batch,
                "tokens_per_second": f"{statistics.median(each):.1f}",
                "low": f"{min(each):.1f}",
                "high": f"{max(each):.1f}",
                "anonymous_bytes": own,
                "mapped_bytes": "" if mapped is None else mapped,
            }


def main() -> None:
    """Time the models, print the rows, and write them where they are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--length", type=int, default=256, help="of all prompts together")
    parser.add_argument("--batch", type=int, default=8, help="of sequences, beside one alone")
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=tw.get_num_threads())
    parser.add_argument("--llama", nargs=2, type=Path, metavar=("PYTHON", "FILE"))
    parser.add_argument("--csv", type=Path, help="where rows are added")
    options = parser.parse_args()
    cpus = busy()
    everywhere = {
        "date": dt.datetime.now(dt.UTC).date(),
        "machine": machine(),
        "cores": os.cpu_count(),
        "busy_cpus": "" if cpus is None else f"{cpus:.2f}",
    }
    ours = Ours(options.model, options.threads)
    if options.llama:
        python, file = options.llama
        with Llama(str(python), str(file), options.threads) as llama:
            made = [everywhere | row for row in rows(options, [ours, llama])]
    else:
        made = [everywhere | row for row in rows(options, [ours])]
    for row in made:
        print(*(row[name] for name in COLUMNS[3:-1]))
    print(caution(cpus), end="")
    if options.csv:
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        with options.csv.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            if not file.tell():
                writer.writeheader()
            writer.writerows(made)


if __name__ == "__main__":
    main()
