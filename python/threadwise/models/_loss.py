"""How well a model foresees a text."""

import numpy as np
from numpy.typing import NDArray

from threadwise.errors import DomainError
from threadwise.models._arguments import whole
from threadwise.models._engine import Engine, Ids
from threadwise.models.cache import KvCache

__all__ = ["window_losses", "windows_of"]

_LOGITS = 4 << 20
"""How many logits are looked at together: 16 MB of them."""


def windows_of(tokens: Ids, window: int, max_context: int) -> Ids:
    """Cut tokens into windows, one a row; those after the last whole one are left out."""
    width = whole("window", window, 2)
    if width > max_context:
        raise DomainError(f"window is {width}, the model is loaded for {max_context} tokens")
    count = len(tokens) // width
    if not count:
        raise DomainError(f"tokens has {len(tokens)} elements, expected a window of {width}")
    return tokens[: count * width].reshape(count, width)


def window_losses(
    engine: Engine, windows: Ids, *, vocabulary: int, kv_dtype: str, threads: int | None
) -> NDArray[np.float64]:
    """Return the mean over each window of how unlikely each next token was to the model."""
    many, width = windows.shape
    together = max(1, min(many, _LOGITS // (vocabulary * width)))
    step = max(1, _LOGITS // (vocabulary * together))
    losses = np.empty(many)
    for first in range(0, many, together):
        some = windows[first : first + together]
        cache = engine.cache(len(some), width, kv_dtype)
        total = np.zeros(len(some))
        for begin in range(0, width - 1, step):
            part = some[:, begin : begin + step + 1]
            total += _losses(engine, part, cache, threads)
        losses[first : first + together] = total / (width - 1)
    return losses


def _losses(engine: Engine, part: Ids, cache: KvCache, threads: int | None) -> NDArray[np.float64]:
    """Return the sum of -log p of all but the first token of each row."""
    rows, count = part.shape[0], part.shape[1] - 1
    logits = engine.forward(list(part[:, :-1]), range(rows), cache, "all", threads)
    logits -= logits.max(-1, keepdims=True)
    said = logits[np.arange(rows * count), part[:, 1:].ravel()].astype(np.float64)
    np.exp(logits, out=logits)
    lost = np.log(logits.sum(-1, dtype=np.float64)) - said
    total: NDArray[np.float64] = lost.reshape(rows, count).sum(-1)
    return total
