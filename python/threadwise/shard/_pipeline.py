"""Stages that work at the same time, each on another micro-batch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from threadwise import _threadwise
from threadwise._budget import threads as budget
from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.shard._crew import run_together, shares
from threadwise.shard._split import TensorParallelConfig

__all__ = ["Pipeline", "PipelineConfig", "PipelineReport", "PipelineState"]


@dataclass(frozen=True)
class PipelineConfig:
    """How a pipeline is run.

    Parameters
    ----------
    num_micro_batches : int, default 4
        Into how many pieces `Pipeline.run` cuts a batch.
    async_execution : bool, default True
        Whether each stage has a thread. If not, the caller's thread does all their work, tick by
        tick, with the same results.
    memory_budget : int, default 512 MiB
        How many bytes of micro-batches may be on their way at the same time when another one is
        let in. One may always, whatever its size.

    Raises
    ------
    DomainError
        If a number is less than 1.
    DTypeError
        If a number is not a whole one, or `async_execution` not true or false.

    Examples
    --------
    >>> import threadwise as tw
    >>> tw.shard.PipelineConfig.for_model(32, 4096, 5 << 19).num_micro_batches
    5
    """

    num_micro_batches: int = 4
    """Into how many pieces a batch is cut."""
    async_execution: bool = True
    """Whether each stage has a thread."""
    memory_budget: int = 512 << 20
    """Bytes that may be on their way."""

    def __post_init__(self) -> None:
        _threadwise.pipeline_config(self.num_micro_batches, self.memory_budget)
        if not isinstance(self.async_execution, bool):
            given = f"{self.async_execution!r} (a {type(self.async_execution).__name__})"
            raise DTypeError(f"async_execution is {given}, expected True or False")

    @classmethod
    def for_model(cls, layers: int, hidden: int, memory_budget: int = 512 << 20) -> Self:
        """Choose for a model.

        Parameters
        ----------
        layers, hidden : int
            How many layers it has, and how wide they are.
        memory_budget : int, default 512 MiB
            Bytes for activations.

        Returns
        -------
        PipelineConfig
            As many micro-batches as the budget holds float32 activations of all layers for, but
            from 2, so that stages can overlap, to 8. A model without layers or width has none to
            hold, and gets 8.

        Raises
        ------
        DomainError
            If `layers` or `hidden` is negative, or `memory_budget` less than 1.
        DTypeError
            If an argument is not a whole number.
        """
        number = _threadwise.pipeline_micro_batches(layers, hidden, memory_budget)
        return cls(num_micro_batches=number, memory_budget=memory_budget)


class PipelineState:
    """The micro-batches between the stages of a pipeline, moved tick by tick.

    Each stage has a queue of at most `depth` micro-batches, of which the first is the one that it
    works on. A micro-batch keeps the number that it was pushed with.

    Parameters
    ----------
    stages : int
        How many there are, from 1 to 1024.
    depth : int, default 1
        How many micro-batches a queue holds, that of the outputs too.

    Raises
    ------
    DomainError
        If a number is less than 1, or `stages` above 1024.
    DTypeError
        If a number is not a whole one.

    Examples
    --------
    >>> import threadwise as tw
    >>> state = tw.shard.PipelineState(stages=2)
    >>> state.push("a")
    0
    >>> state.advance(), state.advance(), state.pop()
    (1, 1, (0, 'a'))
    """

    def __init__(self, stages: int, depth: int = 1) -> None:
        self._state = _threadwise.PipelineState(stages, depth)
        self._stages = stages
        self._next = 0

    def __len__(self) -> int:
        return self._state.in_flight()

    def __repr__(self) -> str:
        works = ((stage, self.at(stage)) for stage in range(self._stages))
        places = [f"stage {stage}: {at[0]}" for stage, at in works if at is not None]
        waiting = f", {', '.join(places)}" if places else ""
        return f"<PipelineState of {self._stages} stages, {len(self)} on their way{waiting}>"

    def can_accept(self) -> bool:
        """Say whether there is room before the first stage."""
        return self._state.can_accept()

    def push(self, item: Any, micro_batch: int | None = None) -> int:
        """Put a micro-batch before the first stage.

        Parameters
        ----------
        item : object
            The micro-batch.
        micro_batch : int, optional
            Its number; by default one more than the last one's, from 0.

        Returns
        -------
        int
            Its number.

        Raises
        ------
        DomainError
            If there is no room.
        """
        number = self._next if micro_batch is None else micro_batch
        self._state.push(number, item)
        self._next = number + 1
        return number

    def at(self, stage: int) -> tuple[int, Any] | None:
        """Return what a stage works on, with its number; ``None`` if nothing."""
        return self._state.at(stage)

    def put(self, stage: int, item: Any) -> None:
        """Put `item`, which `stage` has made, in the place of what it worked on."""
        if not self._state.replace(stage, item):
            raise DomainError(f"stage {stage} works on nothing, expected a micro-batch to replace")

    def advance(self) -> int:
        """Move what each stage works on to the next, or out of the last; return how many moved."""
        return self._state.advance()

    def has_output(self) -> bool:
        """Say whether a micro-batch has left the last stage."""
        return self._state.has_output()

    def pop(self) -> tuple[int, Any] | None:
        """Take the oldest that has left the last stage, with its number; ``None`` if none has."""
        return self._state.pop()


@dataclass(frozen=True)
class PipelineReport:
    """What a run of a pipeline took. Made by `Pipeline`."""

    micro_batches: int
    """How many went through."""
    seconds: float
    """From the first one's beginning to the last one's end."""
    busy: tuple[float, ...]
    """Seconds that each stage worked."""
    peak_bytes: int
    """The most bytes of micro-batches that were on their way at the same time."""
    bubble: float
    """The part of the stages' time that went by without work, measured."""
    ideal_bubble: float
    """What that is at least where all stages take equal time: (S - 1) / (M + S - 1)."""


class Pipeline:
    """Stages that work at the same time, each on another micro-batch.

    Parameters
    ----------
    stages : sequence of callables
        From 1 to 1024. Each takes what the one before it returned; the first, a micro-batch.
    config : PipelineConfig, optional
        How it is run.
    threads : int, optional
        How many threads the stages share, from 1 to 1024; each has at least its own. By default
        what `threadwise.get_num_threads` says at each run.

    Raises
    ------
    DomainError
        If there are no stages or too many, or `threads` is not from 1 to 1024.
    DTypeError
        If a stage cannot be called, or `threads` is not a whole number.

    Notes
    -----
    Each stage is one thread, and calls from it may use the stage's share of threads. Between two
    stages one micro-batch waits at most. Stages overlap where they spend their time in calls that
    release Python's lock, as those of threadwise and NumPy do.

    Micro-batches must be independent of one another: sequences of a batch, or the chunks of a
    prompt. With S stages of equal length, M of them take M + S - 1 ticks in place of M S [1]_.

    References
    ----------
    .. [1] Y. Huang et al., *GPipe: Efficient Training of Giant Neural Networks using Pipeline
       Parallelism*, 2019, arXiv:1811.06965.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> pipeline = tw.shard.Pipeline([lambda x: x + 1, lambda x: 2 * x])
    >>> pipeline.run(np.arange(5))
    array([ 2,  4,  6,  8, 10])
    >>> pipeline.report.micro_batches
    4
    """

    def __init__(
        self,
        stages: Sequence[Callable[[Any], Any]],
        config: PipelineConfig | None = None,
        *,
        threads: int | None = None,
    ) -> None:
        self._stages = list(stages)
        self._config = PipelineConfig() if config is None else config
        self._threads = threads
        self._report: PipelineReport | None = None
        _threadwise.PipelineState(len(self._stages), 1)  # a number of stages, or an exception
        for number, stage in enumerate(self._stages):
            if not callable(stage):
                raise DTypeError(f"stage {number} is a {type(stage).__name__}, expected a callable")
        with budget(threads):
            pass  # a number of threads, or an exception

    def __repr__(self) -> str:
        return f"Pipeline({len(self._stages)} stages, {self._config}, threads={self._threads})"

    @property
    def report(self) -> PipelineReport | None:
        """What the last complete run took; ``None`` before."""
        return self._report

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Cut a batch into micro-batches, send them through all stages, and join the results.

        Parameters
        ----------
        batch : ndarray, shape (n, ...)
            Cut along its first axis into ``config.num_micro_batches`` views as even as possible, or
            n, if that is less; of an empty one, into one.

        Returns
        -------
        ndarray
            The results, joined along their first axis in the order of the batch.

        Raises
        ------
        ShapeError
            If `batch` has no axes.
        BaseException
            As `map`.
        """
        batch = np.asarray(batch)
        if batch.ndim == 0:
            raise ShapeError("batch has shape (), expected at least one axis, that is cut")
        count = max(1, min(self._config.num_micro_batches, len(batch)))
        parts = [TensorParallelConfig(count, part).local_slice(len(batch)) for part in range(count)]
        return np.concatenate(self.map(batch[part] for part in parts))

    def map(self, micro_batches: Iterable[Any]) -> list[Any]:
        """Send micro-batches through all stages.

        Parameters
        ----------
        micro_batches : iterable
            Any objects. One is asked for ahead of the room for it, on a thread of its own where
            stages have theirs. Sizes, for the memory budget, are their `nbytes`, or those of the
            arrays in a list, tuple or dict.

        Returns
        -------
        list
            What the last stage returned, in the order of `micro_batches`.

        Raises
        ------
        BaseException
            The first exception of a stage or of `micro_batches`, with a note that says where. The
            other stages begin nothing more, and are interrupted between two lines of Python; one
            that sleeps in foreign code is left behind. All that within a second.
        KeyboardInterrupt
            If Ctrl-C is pressed meanwhile; the stages are stopped in the same way.
        """
        line = _threadwise.Line(len(self._stages), 1, self._config.memory_budget)
        items = iter(micro_batches)
        if self._config.async_execution:
            self._on_threads(line, items)
        else:
            self._in_turns(line, items)
        results = [item for _, item in line.results()]
        done, seconds, busy, peak, bubble, ideal = line.report()
        self._report = PipelineReport(done, seconds, tuple(busy), peak, bubble, ideal)
        return results

    def _on_threads(self, line: _threadwise.Line, items: Iterator[Any]) -> None:
        def feed() -> None:
            for number, item in enumerate(items):
                line.feed(number, item, _nbytes(item))
            line.end(0)

        def work(stage: int) -> None:
            while (taken := line.take(stage)) is not None:
                self._step(line, stage, *taken)
            line.end(stage + 1)

        works = [feed, *(lambda stage=stage: work(stage) for stage in range(len(self._stages)))]
        budgets = [1, *shares(self._threads, len(self._stages))]
        run_together(works, budgets, line.stop, "stage")

    def _in_turns(self, line: _threadwise.Line, items: Iterator[Any]) -> None:
        numbered = enumerate(items)
        waiting = next(numbered, None)
        ready: list[int] = []
        with budget(self._threads):
            while waiting is not None or ready:
                if waiting is not None and line.has_room(_nbytes(waiting[1])):
                    line.feed(*waiting, _nbytes(waiting[1]))
                    waiting = next(numbered, None)
                # The last one first, so that each has room for its result.
                ready = [s for s in reversed(range(len(self._stages))) if line.is_ready(s)]
                for stage in ready:
                    taken = line.take(stage)
                    if taken is not None:
                        self._step(line, stage, *taken)
        line.end(len(self._stages))

    def _step(self, line: _threadwise.Line, stage: int, number: int, item: Any) -> None:
        try:
            item = self._stages[stage](item)
        except BaseException as error:
            error.add_note(f"in stage {stage} of {len(self._stages)}, micro-batch {number}")
            raise
        line.give(stage, number, item, _nbytes(item))


def _nbytes(item: Any) -> int:
    """Say how many bytes of arrays there are in a micro-batch."""
    if isinstance(item, dict):
        return sum(map(_nbytes, item.values()))
    if isinstance(item, (list, tuple)):
        return sum(map(_nbytes, item))
    return int(getattr(item, "nbytes", 0))
