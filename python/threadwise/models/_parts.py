"""Models in parts: stages that work at the same time, and ranks that share their layers."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from threadwise import _threadwise
from threadwise.errors import DomainError
from threadwise.models.cache import KvCache
from threadwise.models.config import ModelConfig
from threadwise.shard import ParallelConfig, PipelineConfig, PipelineReport

__all__ = ["Parts", "cut"]

Span = tuple[tuple[int, int], int | None]
"""Layers, from where to where, and how many keys a query sees in them."""


def cut(spans: Sequence[Span], config: ModelConfig, stages: int) -> list[list[Span]]:
    """Say which layers each stage has, in pieces that see equally much.

    Raises
    ------
    DomainError
        If there are more stages than layers.
    """
    layers = config.num_hidden_layers
    if stages > layers:
        raise DomainError(
            f"pipeline_stages is {stages}, expected at most {layers}, the number of layers"
        )
    whole, found = ParallelConfig(pipeline_stages=stages), []
    for stage in range(stages):
        mine = whole.layers_of(stage, layers)
        pieces = [
            ((max(mine.start, first), min(mine.stop, last)), window)
            for (first, last), window in spans
        ]
        found.append([piece for piece in pieces if piece[0][0] < piece[0][1]])
    return found


class Parts:
    """All layers of a model, in stages, each in pieces, each of ranks: an `Engine`.

    A rank has its shard of the weights, and the keys and values of its heads.
    """

    def __init__(self, stages: Sequence[Sequence[Sequence[Any]]], pipeline: PipelineConfig) -> None:
        self._stages = stages
        self._models = [model for spans in stages for ranks in spans for model in ranks]
        self._pipeline = pipeline
        self.report: PipelineReport | None = None
        """What the last call took."""

    @property
    def nbytes(self) -> int:
        """What the weights of all ranks take."""
        return sum(model.nbytes for model in self._models)

    @property
    def rank_nbytes(self) -> list[int]:
        """What the weights of each rank take, stage by stage."""
        return [
            sum(model.nbytes for model in rank)
            for spans in self._stages
            for rank in zip(*spans, strict=True)
        ]

    def cache(self, sequences: int, max_context: int, dtype: str) -> KvCache:
        """Return an empty cache: of each rank its heads."""
        return KvCache([model.cache(sequences, max_context, dtype) for model in self._models])

    def forward(
        self,
        ids: Sequence[NDArray[np.int64]],
        slots: Sequence[int],
        cache: KvCache,
        rows: Literal["all", "last"],
        threads: int | None,
    ) -> NDArray[np.float32]:
        """Read tokens of some sequences, and say what may come after them."""
        if len(cache.parts) != len(self._models):
            raise DomainError(
                f"the cache has {len(cache.parts)} parts, the model {len(self._models)}: "
                "expected the cache of a model in as many ranks and stages"
            )
        held = iter(cache.parts)
        parts = [
            [[(model, next(held)) for model in ranks] for ranks in spans] for spans in self._stages
        ]
        pipeline = self._pipeline
        config = pipeline.num_micro_batches, pipeline.async_execution, pipeline.memory_budget
        logits, report = _threadwise.forward_spread(
            parts, list(ids), list(slots), rows, config, threads
        )
        batches, seconds, busy, peak, bubble, ideal = report
        self.report = PipelineReport(batches, seconds, tuple(busy), peak, bubble, ideal)
        return logits
