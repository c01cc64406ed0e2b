"""Threads, tensor parallelism and stages together."""

from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np

from threadwise import _threadwise
from threadwise._budget import get_num_threads
from threadwise._budget import threads as budget
from threadwise.errors import DomainError, DTypeError
from threadwise.linalg import linear
from threadwise.plan import Plan, explain
from threadwise.shard._communicator import Communicator
from threadwise.shard._crew import shares
from threadwise.shard._pipeline import PipelineConfig
from threadwise.shard._split import TensorParallelConfig

__all__ = ["ParallelConfig"]

_MOST = 1024
"""Ranks that can be asked for, as threads."""
_WORTH = 0.9
"""Threads are worth it where they take at most this part of the time."""


class Sizes(Protocol):
    """What of a `threadwise.models.ModelConfig` says how much there is to do."""

    @property
    def hidden_size(self) -> int:
        """Numbers that stand for a token."""

    @property
    def intermediate_size(self) -> int:
        """Columns of the feed-forward layers."""

    @property
    def num_hidden_layers(self) -> int:
        """Layers."""

    @property
    def num_attention_heads(self) -> int:
        """Heads of queries."""

    @property
    def num_key_value_heads(self) -> int:
        """Heads of keys and values."""

    @property
    def head_dim(self) -> int:
        """Width of a head."""


@dataclass(frozen=True)
class ParallelConfig:
    """How a model is spread: over stages, each over ranks, each over threads.

    Ranks of the whole are numbered stage by stage: of 2 stages of 3 ranks, 0 to 2 are the first
    stage's.

    Parameters
    ----------
    threads : int, optional
        How many threads all share, from 1 to 1024; by default what `threadwise.get_num_threads`
        says where it is asked.
    tensor_parallel : int, default 1
        How many ranks share each layer.
    pipeline_stages : int, default 1
        How many stages the layers are cut into.
    pipeline : PipelineConfig, optional
        How the stages are run.
    reason : str, optional
        Why so.

    Raises
    ------
    DomainError
        If a number is less than 1, `threads` or the number of all ranks above 1024.
    DTypeError
        If a number is not a whole one, or `pipeline` no `PipelineConfig`.

    Examples
    --------
    >>> import threadwise as tw
    >>> config = tw.shard.ParallelConfig(threads=5, tensor_parallel=2, pipeline_stages=2)
    >>> config.ranks, [config.threads_of(rank) for rank in range(4)], config.layers_of(1, 7)
    (4, [2, 1, 1, 1], range(4, 7))
    """

    threads: int | None = None
    """Threads for all."""
    tensor_parallel: int = 1
    """Ranks to a layer."""
    pipeline_stages: int = 1
    """Stages."""
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    """How the stages are run."""
    reason: str = field(default="", compare=False)
    """Why so, in a sentence, where `for_model` chose it."""

    def __post_init__(self) -> None:
        with budget(self.threads):
            pass  # a number of threads, or an exception
        for name in ("tensor_parallel", "pipeline_stages"):
            _threadwise.count(name, getattr(self, name))
        if self.ranks > _MOST:
            product = f"{self.tensor_parallel} x {self.pipeline_stages}"
            sentence = f"tensor_parallel x pipeline_stages is {product}, expected at most {_MOST}"
            raise DomainError(sentence)
        if not isinstance(self.pipeline, PipelineConfig):
            given = type(self.pipeline).__name__
            raise DTypeError(f"pipeline is a {given}, expected a PipelineConfig")

    @classmethod
    def for_model(cls, config: Sizes, *, threads: int | None = None) -> Self:
        """Choose for a language model on this machine.

        Parameters
        ----------
        config : ModelConfig
            Its sizes.
        threads : int, optional
            How many threads may be used, from 1 to 1024; by default what
            `threadwise.get_num_threads` says.

        Returns
        -------
        ParallelConfig
            What is predicted to write tokens fastest, with its `reason`. Threads are as many as may
            be used, or one where they gain less than a tenth by the plans of its products
            (`threadwise.explain`). Ranks and stages of one process read the same weights from the
            same memory as threads do, and have to meet besides; so there is one of each.

        Raises
        ------
        DomainError
            If `threads` is not from 1 to 1024.
        DTypeError
            If `threads` is not a whole number, or `config` does not say the sizes of a model.

        Examples
        --------
        >>> import threadwise as tw
        >>> sizes = tw.models.ModelConfig.load(tw.samples.path("stdlib-mistral-2.8m"))
        >>> chosen = tw.shard.ParallelConfig.for_model(sizes, threads=1)
        >>> chosen.threads, chosen.ranks
        (1, 1)
        """
        most = get_num_threads()
        if threads is not None:
            with budget(threads):
                most = get_num_threads()
        plans = _plans(config, most)
        layers, hidden = config.num_hidden_layers, config.hidden_size
        share = max(plan.dispatch_seconds for plan in plans)
        alone = layers * sum(plan.serial_seconds for plan in plans)
        # All products of a token are shared out at once; the small ones are not.
        shared = share + layers * sum(
            plan.serial_seconds
            if plan.parallel_seconds == plan.serial_seconds
            else plan.parallel_seconds - plan.dispatch_seconds
            for plan in plans
        )
        used = most if shared < _WORTH * alone else 1
        known = all(plan.is_calibrated for plan in plans)
        source = "measured" if known else "assumed; tw.calibrate() measures them"
        more = f", {_ms(shared)} on {most} threads" if most > 1 else ""
        reason = (
            f"the products of a token take {_ms(alone)} on one thread{more}, as predicted for "
            f"float32; ranks would read the same memory and add {2 * layers} sums, of "
            f"{_ms(share)} or more each if they sleep, and stages have one token to work on at a "
            f"time (constants of this machine: {source})"
        )
        pipeline = PipelineConfig.for_model(layers, hidden)
        return cls(threads=used, pipeline=pipeline, reason=reason)

    @property
    def ranks(self) -> int:
        """How many ranks there are in all."""
        return self.tensor_parallel * self.pipeline_stages

    def stage_of(self, rank: int) -> int:
        """Say which stage a rank of the whole belongs to."""
        return self._checked(rank) // self.tensor_parallel

    def tensor_of(self, rank: int) -> TensorParallelConfig:
        """Say which of its stage's ranks a rank of the whole is."""
        return TensorParallelConfig(
            self.tensor_parallel, self._checked(rank) % self.tensor_parallel
        )

    def threads_of(self, rank: int) -> int:
        """Say how many threads a rank of the whole may use: an even share, at least 1."""
        return shares(self.threads, self.ranks)[self._checked(rank)]

    def layers_of(self, stage: int, layers: int) -> range:
        """Say which of a model's layers a stage has: an even share, the longer ones first."""
        part = TensorParallelConfig(self.pipeline_stages, stage).local_slice(layers)
        return range(part.start, part.stop)

    def place(self, comm: Communicator) -> tuple[int, Any]:
        """Find the place of this rank, with all others.

        Parameters
        ----------
        comm : Communicator
            The ranks of the whole. All must call this.

        Returns
        -------
        stage : int
            This rank's stage.
        comm : Communicator
            The ranks of that stage, for layers that they share.

        Raises
        ------
        DomainError
            If `comm` has not `ranks` ranks.
        """
        if comm.size != self.ranks:
            sizes = f"{self.tensor_parallel} x {self.pipeline_stages}"
            raise DomainError(f"comm has {comm.size} ranks, expected {sizes} = {self.ranks}")
        stage = self.stage_of(comm.rank)
        return stage, comm.Split(stage, comm.rank)

    def _checked(self, rank: int) -> int:
        return TensorParallelConfig(self.ranks, rank).rank


def _plans(config: Sizes, threads: int) -> list[Plan]:
    """Plan the products of a layer for one token."""
    for name in [name for name in vars(Sizes) if not name.startswith("_")]:
        if not isinstance(getattr(config, name, None), int):
            kind = type(config).__name__
            raise DTypeError(f"config is a {kind} without {name}, expected a ModelConfig")
    d, f, e = config.hidden_size, config.intermediate_size, config.head_dim
    queries, keys = config.num_attention_heads * e, config.num_key_value_heads * e
    shapes = [(queries, d), (keys, d), (keys, d), (d, queries), (f, d), (f, d), (d, f)]
    # Memory that nobody touches is no memory.
    weights = [np.empty(shape, np.float32) for shape in shapes]
    rows = [np.zeros((1, weight.shape[1]), np.float32) for weight in weights]
    return [
        explain(linear, row, weight, threads=threads)
        for row, weight in zip(rows, weights, strict=True)
    ]


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
