"""One library that trains, in a process of its own, as `_worker` describes it."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from threadwise.bench._libraries import Name, NumPy, RefusedError, open_library
from threadwise.bench._timing import SLOW, sample
from threadwise.bench._train_cases import (
    DECAY,
    RATE,
    Network,
    TrainCase,
    gradients,
    losses_and_change,
)
from threadwise.bench._worker import LONG_REST, REST, Answer, Hello, Request

__all__ = ["error", "main"]

STEPS = 2
"""How many are compared with float64."""

LOSS, CHANGE = 1e-4, 5e-2
"""By how much losses may be off, and the change of all parameters together, by its norm: where a
gradient is nearly 0, Adam divides rounding by rounding."""

Call = Callable[[], Any]


class _Ours:
    """`threadwise.train`."""

    def __init__(self, case: TrainCase) -> None:
        import threadwise as tw  # noqa: PLC0415 - not there in every Python

        plain = Network(case)
        self._model, self._batch = tw.train.MLP(list(case.sizes)), (plain.x, plain.y)
        self.parameters = list(self._model.parameters.values())
        for mine, first in zip(self.parameters, plain.parameters, strict=True):
            mine[...] = first
        adam = case.optimizer == "adamw"
        self._optimizer: Any = (
            tw.train.AdamW(RATE, weight_decay=DECAY) if adam else tw.train.SGD(RATE)
        )

    def step(self) -> float:
        return self._model.train_step(*self._batch, self._optimizer)


class _Torch:
    """`torch.nn`, as its tutorials have it."""

    def __init__(self, case: TrainCase) -> None:
        import torch  # noqa: PLC0415 - optional

        torch.set_grad_enabled(True)
        plain, layers = Network(case), []
        for i, (inputs, outputs) in enumerate(zip(case.sizes[:-1], case.sizes[1:], strict=True)):
            layers += [torch.nn.ReLU()] if i else []
            layers.append(torch.nn.Linear(inputs, outputs))
        self._model: Any = torch.nn.Sequential(*layers)
        self._parameters = list(self._model.parameters())
        for mine, first in zip(self._parameters, plain.parameters, strict=True):
            mine.data.copy_(torch.from_numpy(first))
        kind: Any = torch.optim.AdamW if case.optimizer == "adamw" else torch.optim.SGD
        rest = {"weight_decay": DECAY} if case.optimizer == "adamw" else {}
        self._optimizer = kind(self._model.parameters(), lr=RATE, **rest)
        self._batch = torch.from_numpy(plain.x), torch.from_numpy(plain.y)
        self._loss: Any = torch.nn.functional.cross_entropy

    @property
    def parameters(self) -> list[Any]:
        return [each.detach().numpy() for each in self._parameters]

    def step(self) -> float:
        x, y = self._batch
        self._optimizer.zero_grad()
        loss = self._loss(self._model(x), y)
        loss.backward()
        self._optimizer.step()
        return float(loss.detach())


def main(library: Name, beside: Name | None = None, *, alternate: bool = False) -> None:
    """Answer requests until there are none; parameters are those of `_worker.main`."""
    assert beside is None
    assert not alternate
    try:
        timed = open_library(library)
    except RefusedError as refusal:
        _write(Hello(version=None, threads=None, dtypes=[], notes=[str(refusal)]))
        return
    hello = Hello(version=timed.version, threads=timed.threads(), dtypes=["float32"], notes=[])
    _write(hello)
    bench = _Bench(library, timed)
    for line in sys.stdin:
        _write(bench.answer(cast("Request", json.loads(line))))


class _Bench:
    """A library, and the case it is at."""

    def __init__(self, library: Name, timed: NumPy) -> None:
        self._library, self._timed = library, timed
        self._case: TrainCase | None = None
        self._call: Call | None = None

    def answer(self, request: Request) -> Answer:
        case = TrainCase(**request["case"])
        off = None
        if request["check"]:
            off = error(case, self._library)
        if self._case != case or self._call is None:
            self._call, self._case = self._made(case), case
        time.sleep(LONG_REST)  # checks and first weights are NumPy's, whichever library is timed
        since = time.perf_counter()
        self._call()
        took = time.perf_counter() - since
        budget = request["budget"]
        seconds = (
            [took] if took > SLOW else sample(self._call, budget=budget, count=request["count"])
        )
        time.sleep(LONG_REST if self._library == "numpy" else REST)
        return Answer(seconds=seconds, error=off, note="")

    def _made(self, case: TrainCase) -> Call:
        if case.operation == "train step":
            step: Call = trainer(self._library, case).step
            return step
        return mean(self._library, case)


def trainer(library: Name, case: TrainCase) -> Any:
    """Return the network of `case` as `library` has it."""
    kinds: dict[str, Any] = {"threadwise": _Ours, "numpy": Network, "torch": _Torch}
    return kinds[library](case)


def mean(library: Name, case: TrainCase) -> Call:
    """Return a call that gives the mean of the gradients of `case`."""
    shards: list[Any] = list(gradients(case))
    if library == "threadwise":
        import threadwise as tw  # noqa: PLC0415 - not there in every Python

        return lambda: tw.train.aggregate_gradients(shards)
    if library == "torch":
        import torch  # noqa: PLC0415 - optional

        tensors = [torch.from_numpy(each) for each in shards]
        return lambda: torch.stack(tensors).mean(0)
    return lambda: _mean(shards)


def _mean(shards: list[Any]) -> Any:
    total = shards[0].copy()
    for each in shards[1:]:
        total += each
    total /= len(shards)
    return total


def error(case: TrainCase, library: Name) -> float:
    """Return how far off the answers of `library` are, where 1 is the most that is allowed.

    The mean of n gradients may be off by γₙ₊₁ Σ|g|/n (Higham 2002, section 3.1). Of a network, the
    losses of some steps and the change of its parameters are compared with those in float64.
    """
    if case.operation == "aggregate":
        shards = gradients(case)
        exact = np.mean(shards, axis=0, dtype=np.float64)
        units = (case.shards + 1) * 2.0**-24
        bound = units / (1 - units) * np.mean(np.abs(shards), axis=0, dtype=np.float64)
        return float(np.max(np.abs(np.asarray(mean(library, case)()) - exact) / bound))
    truth = Network(case, np.float64)
    before = [each.copy() for each in truth.parameters]
    losses, change = losses_and_change(truth, before, STEPS)
    mine, my_change = losses_and_change(trainer(library, case), before, STEPS)
    off = np.max(np.abs(mine - losses) / losses) / LOSS
    far = np.linalg.norm(my_change - change) / np.linalg.norm(change) / CHANGE
    return float(max(off, far)) if np.isfinite([off, far]).all() else float("inf")


def _write(line: Hello | Answer) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
