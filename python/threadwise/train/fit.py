"""Training by epochs: shuffling, validation, early stopping, checkpoints, a log."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from threadwise._file import write
from threadwise.errors import DomainError, DTypeError, ShapeError, StorageError
from threadwise.parallel.turns import pause
from threadwise.train.checkpoint import load_checkpoint, save_checkpoint
from threadwise.train.history import EarlyStopping, EpochReport, History
from threadwise.train.losses import LossLike, value, wanted
from threadwise.train.mlp import MLP
from threadwise.train.optimizers import Optimizer

__all__ = ["fit"]

_CALL = 0.2
"""Seconds that a call into the engine should take, between which Python hears of Ctrl-C."""


Callback = Callable[[EpochReport], Any]


def fit(
    model: MLP,
    data: Any,
    optimizer: Optimizer,
    *,
    epochs: int = 1,
    batch_size: int = 32,
    loss: LossLike = None,
    validation: tuple[Any, Any] | float | None = None,
    shuffle: bool = True,
    seed: int = 0,
    callbacks: Sequence[Callback] = (),
    early_stopping: EarlyStopping | None = None,
    progress: Callback | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    log: str | Path | None = None,
    threads: int | None = None,
) -> History:
    """Train a model, and return what came of each epoch.

    Parameters
    ----------
    model : MLP
        Changed in place.
    data : tuple of (x, y), or iterable of such tuples
        Arrays of all rows, from which batches are taken; or batches, each of them a step, from an
        object that can be iterated over once an epoch, such as a data loader.
    optimizer : Optimizer
        One that has stepped no other model.
    epochs : int, default 1
        How many there are in the end, those before a resumption included.
    batch_size : int, default 32
        Rows of a batch, the last of an epoch may have less. Without effect on batches that come
        made.
    loss : str or Huber, optional
        As for `MLP.gradients`.
    validation : tuple of (x, y), or float, optional
        Rows that are not trained with; or the share of all rows that is set aside, chosen by
        `seed`, between 0 and 1.
    shuffle : bool, default True
        Whether the rows of an epoch come in an order that is a function of `seed` and its number.
    seed : int, default 0
        For `shuffle` and `validation`.
    callbacks : sequence of callable, optional
        Each called with an `EpochReport` after each epoch. What returns True ends the training.
    early_stopping : EarlyStopping, optional
        When to stop before the last epoch.
    progress : callable, optional
        Called with each `EpochReport`; what it returns does not matter.
    checkpoint : str or Path, optional
        A folder that holds a checkpoint after each epoch: see `save_checkpoint`.
    resume : bool, default False
        Whether to go on from the checkpoint, if there is one. Model and optimizer must be made with
        the settings that it has; they end bit for bit as if training had not been interrupted.
    log : str or Path, optional
        A file that gets a line of JSON for each epoch.
    threads : int, optional
        How many threads may take part; bits do not depend on it.

    Returns
    -------
    History
        Reports of all epochs.

    Raises
    ------
    ShapeError, DTypeError, DomainError
        As `MLP.gradients`; or if an option is out of its range, or the checkpoint is of a model
        with other settings.
    StorageError, FormatError
        If the checkpoint or the log cannot be written or read.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> x = np.random.default_rng(0).standard_normal((500, 2), np.float32)
    >>> y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    >>> model = tw.train.MLP([2, 32, 2])
    >>> history = tw.train.fit(model, (x, y), tw.train.AdamW(0.01), epochs=40, validation=0.2)
    >>> bool(history.epochs[-1].validation_accuracy > 0.9)
    True
    """
    if epochs < 0 or batch_size < 1:
        raise DomainError(
            f"epochs is {epochs} and batch_size {batch_size}, expected 0 or more, and 1 or more"
        )
    if resume and checkpoint is None:
        raise DomainError("resume is True and checkpoint None, expected the folder of a checkpoint")
    run = _Run(model, optimizer, loss, threads)
    source, held_out = _source(data, validation, _Mix(batch_size, shuffle, seed))
    history, best = History(), _Best(early_stopping)
    if resume and checkpoint is not None:
        _restore(Path(checkpoint), model, optimizer, history, best)
    if log is not None:
        _begin_log(Path(log), history)
    listeners = _Listeners(callbacks, progress, log, checkpoint)
    for epoch in range(len(history.epochs), epochs):
        if history.stopped_early:
            break
        history.epochs.append(_epoch(epoch, source, held_out, run))
        history.stopped_early = best.note(history.epochs[-1], model)
        history.best_epoch = best.epoch
        listeners.hear(history, run, best)
        pause()
    best.restore(model)
    return history


@dataclass
class _Run:
    """What all epochs share."""

    model: MLP
    optimizer: Optimizer
    loss: LossLike
    threads: int | None


@dataclass
class _Mix:
    """How rows become batches."""

    batch_size: int
    shuffle: bool
    seed: int


@dataclass
class _Listeners:
    """Who hears of each epoch."""

    callbacks: Sequence[Callback]
    progress: Callback | None
    log: str | Path | None
    checkpoint: str | Path | None

    def hear(self, history: History, run: _Run, best: "_Best") -> None:
        report = history.epochs[-1]
        for callback in self.callbacks:
            history.stopped_early = callback(report) is True or history.stopped_early
        if self.progress is not None:
            self.progress(report)
        if self.log is not None:
            _append(Path(self.log), report)
        if self.checkpoint is not None:
            extra = _extra(history, best)
            save_checkpoint(self.checkpoint, run.model, run.optimizer, extra, best.parameters)


def _epoch(epoch: int, source: "_Source", held_out: Any, run: _Run) -> EpochReport:
    begin = time.perf_counter()
    total, rows = 0.0, 0
    for value_of_batch, count in source(epoch, run):
        total += value_of_batch * count
        rows += count
    if not rows:
        raise ShapeError("data has no rows, expected at least one")
    optimizer = run.optimizer
    validation_loss, accuracy = _validate(held_out, run)
    return EpochReport(
        epoch=epoch,
        steps=optimizer.steps,
        loss=total / rows,
        validation_loss=validation_loss,
        validation_accuracy=accuracy,
        lr=optimizer.schedule(optimizer.steps - 1),
        seconds=time.perf_counter() - begin,
    )


def _validate(held_out: Any, run: _Run) -> tuple[float | None, float | None]:
    if held_out is None:
        return None, None
    x, y = held_out
    model = run.model
    outputs = model.predict(x, threads=run.threads)
    target = wanted(y, run.loss, model.sizes[-1], model.dtype)
    accuracy = float(np.mean(outputs.argmax(axis=1) == target.y)) if target.labeled else None
    return value(outputs, target), accuracy


_Source = Callable[[int, _Run], Iterable[tuple[float, int]]]
"""Trains with the batches of an epoch, and gives the loss and the rows of each."""


def _source(data: Any, validation: Any, mix: _Mix) -> tuple[_Source, Any]:
    """Return what trains an epoch, and the rows that are held out."""
    if not (isinstance(data, tuple) and len(data) == 2):
        if not hasattr(data, "__iter__") or isinstance(data, Iterator):
            kind = type(data).__name__
            raise DTypeError(
                f"data is a {kind}, expected a tuple (x, y), or batches that can be iterated over "
                "again in each epoch"
            )
        if isinstance(validation, float):
            raise DomainError("validation is a share, expected rows (x, y) beside batches")
        return lambda _, run: _batches(data, run), validation
    x, y = np.asarray(data[0]), np.asarray(data[1])
    rows: NDArray[np.int64] = np.arange(len(x))
    if isinstance(validation, float):
        held, rows = _held_out(validation, rows, mix.seed)
        validation = (x[held], y[held])

    steps = 1  # of a call, in all epochs: others wait for Python's lock at each

    def native(epoch: int, run: _Run) -> Iterator[tuple[float, int]]:
        nonlocal steps
        order = _order(mix.seed, epoch, rows) if mix.shuffle else rows
        at, size = 0, mix.batch_size
        while at < len(order):
            part = order[at : at + steps * size]
            begin = time.perf_counter()
            losses = run.model.train_batches(
                x, y, run.optimizer, run.loss, rows=part, batch_size=size, threads=run.threads
            )
            seconds = time.perf_counter() - begin
            for i, one in enumerate(losses):
                yield one, min(size, len(part) - i * size)
            at += len(part)
            if seconds < _CALL / 2 and len(losses) == steps:
                steps *= 2

    return native, validation


def _held_out(
    share: float, rows: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that are held out, and the others."""
    if not 0 < share < 1:
        raise DomainError(f"validation is {share}, expected a number between 0 and 1")
    mixed = _order(seed, 2**64 - 1, rows)
    cut = round(share * len(rows))
    if not 0 < cut < len(rows):
        raise DomainError(f"validation is {share}, which leaves no rows of {len(rows)}")
    return np.sort(mixed[:cut]), np.sort(mixed[cut:])


def _batches(data: Any, run: _Run) -> Iterator[tuple[float, int]]:
    for x, y in data:
        loss = run.model.train_step(x, y, run.optimizer, run.loss, threads=run.threads)
        yield loss, len(x)


def _order(seed: int, epoch: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    key = np.array([seed, epoch], np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).permutation(rows)


class _Best:
    """The best epoch until now."""

    def __init__(self, rule: EarlyStopping | None) -> None:
        self.rule = rule
        self.epoch: int | None = None
        self.loss = float("inf")
        self.parameters: dict[str, NDArray[Any]] = {}

    def note(self, report: EpochReport, model: MLP) -> bool:
        """Look at an epoch. Returns whether it is time to stop."""
        if self.rule is None:
            return False
        loss = report.loss if report.validation_loss is None else report.validation_loss
        if loss < self.loss - self.rule.min_delta:
            self.epoch, self.loss = report.epoch, loss
            if self.rule.restore_best:
                self.parameters = {name: a.copy() for name, a in model.parameters.items()}
        since = report.epoch - (-1 if self.epoch is None else self.epoch)
        return since >= self.rule.patience

    def restore(self, model: MLP) -> None:
        for name, array in self.parameters.items():
            model.parameters[name][...] = array


def _extra(history: History, best: _Best) -> dict[str, Any]:
    loss = None if best.epoch is None else best.loss
    return {
        "epochs": [asdict(report) for report in history.epochs],
        "best_epoch": best.epoch,
        "best_loss": loss,
        "stopped_early": history.stopped_early,
    }


def _restore(folder: Path, model: MLP, optimizer: Optimizer, history: History, best: _Best) -> None:
    """Make everything as it was when the checkpoint was written, if there is one."""
    if not (folder / "state.json").exists():
        return
    found = load_checkpoint(folder)
    ours, theirs = optimizer.describe(), found.optimizer.describe()
    ours.pop("steps"), theirs.pop("steps")
    settings = [(model.describe(), found.model.describe()), (ours, theirs)]
    for one, other in json.loads(json.dumps(settings)):
        different = [name for name in one if one[name] != other.get(name)]
        if different:
            name = different[0]
            raise DomainError(
                f"{name} is {one[name]}, the checkpoint in {folder} has {other.get(name)}: they "
                "must be equal to go on from it, or train into another folder"
            )
    for name, array in found.model.parameters.items():
        model.parameters[name][...] = array
    optimizer.restore(found.optimizer)
    extra = found.extra
    history.epochs = [EpochReport(**report) for report in extra.get("epochs", [])]
    history.best_epoch = best.epoch = extra.get("best_epoch")
    history.stopped_early = bool(extra.get("stopped_early"))
    if extra.get("best_loss") is not None:
        best.loss = extra["best_loss"]
    best.parameters = found.tensors


def _begin_log(path: Path, history: History) -> None:
    """Leave in the log the epochs that are history."""
    lines = [json.dumps(asdict(report)) + "\n" for report in history.epochs]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, "".join(lines))
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error}") from error


def _append(path: Path, report: EpochReport) -> None:
    try:
        with path.open("a") as file:
            file.write(json.dumps(asdict(report)) + "\n")
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error}") from error
