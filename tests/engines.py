"""An engine that says what a test wants."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from threadwise.models import KvCache

__all__ = ["Rereading"]


class _Ids:
    """A cache of tokens."""

    def __init__(self, sequences: int, max_context: int, dtype: str) -> None:
        self.sequences, self.max_context, self.dtype = sequences, max_context, dtype
        self.ids: list[list[int]] = [[] for _ in range(sequences)]

    @property
    def nbytes(self) -> int:
        return sum(map(len, self.ids))

    def length(self, slot: int) -> int:
        return len(self.ids[slot])

    def truncate(self, slot: int, length: int) -> None:
        del self.ids[slot][length:]

    def free(self, slot: int) -> None:
        self.ids[slot].clear()


class Rereading:
    """An engine whose cache holds tokens: it asks a function for the logits after all of them."""

    nbytes = 0

    def __init__(self, logits: Any) -> None:
        self._logits = logits
        self.calls: list[list[int]] = []
        """How many tokens of each sequence calls had."""

    def cache(self, sequences: int, max_context: int, dtype: str) -> KvCache:
        """Return a cache of tokens."""
        return KvCache([_Ids(sequences, max_context, dtype)])

    def forward(
        self,
        ids: Sequence[NDArray[np.int64]],
        slots: Sequence[int],
        cache: KvCache,
        rows: Literal["all", "last"],
        threads: int | None,  # noqa: ARG002 - of the protocol
    ) -> NDArray[np.float32]:
        """Read tokens, those before them again."""
        self.calls.append([len(each) for each in ids])
        found = []
        for each, slot in zip(ids, slots, strict=True):
            known = cache.parts[0].ids[slot]
            known.extend(each.tolist())
            count = len(each) if rows == "all" else 1
            found.append(self._logits(np.array(known))[-count:])
        return np.concatenate(found).astype(np.float32)
