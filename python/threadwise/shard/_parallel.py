"""Threads, tensor parallelism and stages together."""

from dataclasses import dataclass, field
from typing import Any

from threadwise import _threadwise
from threadwise._budget import threads as budget
from threadwise.errors import DomainError, DTypeError
from threadwise.shard._communicator import Communicator
from threadwise.shard._crew import shares
from threadwise.shard._pipeline import PipelineConfig
from threadwise.shard._split import TensorParallelConfig

__all__ = ["ParallelConfig"]

_MOST = 1024
"""Ranks that can be asked for, as threads."""


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
