"""What computes: layers of a model, made from files, in one piece or in several.

Whoever wants them computed otherwise, on several ranks or in stages that overlap, gives `build`
another `Engine` to make; `CausalLM` knows nothing but this protocol.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from threadwise import _threadwise
from threadwise._attention import SCALINGS
from threadwise.models._parts import Parts, Span, cut
from threadwise.models.cache import KvCache
from threadwise.models.config import ModelConfig
from threadwise.quant.loading import QuantizedModel
from threadwise.shard import ParallelConfig

__all__ = ["Engine", "Ids", "build"]

Ids = NDArray[np.int64]


class Engine(Protocol):
    """All layers of a model."""

    @property
    def nbytes(self) -> int:
        """What the weights take, in bytes."""

    def cache(self, sequences: int, max_context: int, dtype: str) -> KvCache:
        """Return an empty cache."""

    def forward(
        self,
        ids: Sequence[Ids],
        slots: Sequence[int],
        cache: KvCache,
        rows: Literal["all", "last"],
        threads: int | None,
    ) -> NDArray[np.float32]:
        """Read tokens of some sequences, and say what may come after them.

        Parameters
        ----------
        ids : sequence of ndarray of int64
            Tokens that go on with each sequence, at least one.
        slots : sequence of int
            Which sequence of the cache each is, all different.
        cache : KvCache
            What came before; these tokens are added.
        rows : {"all", "last"}
            Whether to answer for each token, or for the last of each sequence.
        threads : int, optional
            How many take part.

        Returns
        -------
        ndarray of float32, shape (rows, v)
            Logits, one sequence after the other.
        """


def build(
    path: str | Path,
    config: ModelConfig,
    parallel: ParallelConfig,
    activations: str,
) -> Engine:
    """Return what computes the model whose weights are in `path`.

    Raises
    ------
    DomainError
        If there are more stages than layers.
    FormatError
        If weights are missing, are too many, or have another shape than `config` says.
    StorageError
        If a file cannot be read.
    """
    ranks, packed = parallel.tensor_parallel, _packed(path)

    def load(span: Span, rank: int) -> Any:
        layers, window = span
        shape, shard = _shape(config, window), (ranks, rank)
        return _threadwise.CausalModel(
            path, shape, packed, layers, shard, activations, parallel.threads
        )

    spans = _spans(config)
    if parallel.ranks == 1:
        return _Spans([load(span, 0) for span in spans])
    parts = [
        [[load(span, rank) for rank in range(ranks)] for span in stage]
        for stage in cut(spans, config, parallel.pipeline_stages)
    ]
    return Parts(parts, parallel.pipeline)


class _Spans:
    """Layers in some pieces, computed one after the other.

    There is one, unless layers differ in what they see.
    """

    def __init__(self, spans: Sequence[Any]) -> None:
        self._spans = spans

    @property
    def nbytes(self) -> int:
        return sum(span.nbytes for span in self._spans)

    def cache(self, sequences: int, max_context: int, dtype: str) -> KvCache:
        return KvCache([span.cache(sequences, max_context, dtype) for span in self._spans])

    def forward(
        self,
        ids: Sequence[Ids],
        slots: Sequence[int],
        cache: KvCache,
        rows: Literal["all", "last"],
        threads: int | None,
    ) -> NDArray[np.float32]:
        counts: list[int] | None = None
        x: Any = list(ids)
        for span, part in zip(self._spans, cache.parts, strict=True):
            x = span.forward(x, counts, list(slots), part, rows, None, threads)
            counts = [len(each) for each in ids]
        logits: NDArray[np.float32] = x
        return logits


def _spans(config: ModelConfig) -> list[Span]:
    """Return layers that see equally much, from where to where, and how much they see."""
    windows, layers = config.sliding_windows, config.num_hidden_layers
    starts = [layer for layer in range(1, layers) if windows[layer] != windows[layer - 1]]
    return [(span, windows[span[0]]) for span in pairwise([0, *starts, layers])]


def _shape(config: ModelConfig, window: int | None) -> dict[str, Any]:
    """Return what the engine calls the settings."""
    scaling = config.rope_scaling
    kind = None if scaling is None else scaling["rope_type"]
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "kv_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "ffn": config.intermediate_size,
        "norm_eps": config.rms_norm_eps,
        "window": window,
        "is_tied": config.tie_word_embeddings,
        "qkv_bias": config.qkv_bias,
        "o_bias": config.output_bias,
        "mlp_bias": config.mlp_bias,
        "rope_theta": config.rope_theta,
        "rope_scaling": None
        if scaling is None
        else (kind, [float(scaling[name]) for name in SCALINGS[str(kind)]]),
    }


def _packed(path: str | Path) -> dict[str, tuple[int, int, str]]:
    """Return bits, group size and kind of zero point of each weight that is quantized."""
    model = QuantizedModel(path)
    found = ((name, model.packing(name)) for name in model)
    return {name: (how.bits, how.group_size, how.zero_point) for name, how in found if how}
