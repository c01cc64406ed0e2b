"""Sequences that grow together, token by token."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from threadwise.models._engine import Engine, Ids
from threadwise.models._sampling import Sampling
from threadwise.models._text import Text
from threadwise.models.cache import KvCache
from threadwise.models.generation import Generation, Piece, Timings

__all__ = ["TOGETHER", "Growth", "Stream"]

TOGETHER = 16
"""Sequences that grow at the same time; when one is through, the next takes its place."""


class Growth:
    """One sequence: a prompt, and what follows it so far."""

    def __init__(
        self,
        prompt: Ids,
        *,
        index: int,
        text: Text | None,
        sampling: Sampling,
        seed: int,
        ends: frozenset[int],
        limit: int,
        vocabulary: int,
    ) -> None:
        self.prompt, self.index, self.limit = prompt, index, limit
        self.pending = prompt
        """Tokens that the model has not read yet."""
        self.slot = -1
        self.finish_reason = ""
        """Why it ended, empty while it has not."""
        self._token_ids: list[int] = []
        self._text, self._pieces = text, list[str]()
        self._sampling, self._seed, self._ends = sampling, seed, ends
        self._seen: NDArray[np.bool_] | None = None
        if sampling.repetition_penalty != 1:
            self._seen = np.zeros(vocabulary, np.bool_)
            self._seen[prompt[prompt < vocabulary]] = True
        self._began = self._first = self._last = 0.0
        self._told = 0

    def start(self, began: float) -> None:
        """Count time from `began` on."""
        self._began = began

    def grow(self, logits: NDArray[np.float32]) -> Piece | None:
        """Add the next token; return the text that is sure now, if there is any."""
        position = len(self.prompt) + len(self._token_ids)
        token = self._sampling.choose(logits, self._seen, self._seed, position)
        self._token_ids.append(token)
        self.pending = np.array([token], np.int64)
        if self._seen is not None:
            self._seen[token] = True
        self._last = perf_counter()
        self._first = self._first or self._last
        text = "" if self._text is None else self._text.add(token)
        if self._text is not None and self._text.is_stopped:
            self.finish_reason = "stop"
        elif token in self._ends or len(self._token_ids) == self.limit:
            self.finish_reason = "stop" if token in self._ends else "length"
            text += "" if self._text is None else self._text.rest()
        if not (text or self._text is None or self.finish_reason):
            return None
        self._pieces.append(text)
        fresh, self._told = self._token_ids[self._told :], len(self._token_ids)
        return Piece(text, prompt=self.index, token_ids=fresh)

    def result(self) -> Generation:
        """Return what it has become."""
        count, waited = len(self._token_ids), self._first - self._began
        rate = (count - 1) / (self._last - self._first) if count > 1 else None
        return Generation(
            text="".join(self._pieces),
            token_ids=self._token_ids,
            finish_reason=self.finish_reason,
            prompt_tokens=len(self.prompt),
            seed=None if self._sampling.is_greedy else self._seed,
            timings=Timings(
                time_to_first_token=waited,
                seconds=self._last - self._began,
                prompt_tokens_per_second=len(self.prompt) / waited,
                tokens_per_second=rate,
            ),
        )


class Stream(Iterator[Piece]):
    """The texts of `CausalLM.generate`, piece by piece.

    An iterator of `Piece`; each is made when it is asked for.
    """

    def __init__(self, growths: Sequence[Growth], pieces: Iterator[Piece], single: bool) -> None:
        self._growths, self._pieces, self._single = growths, pieces, single

    def __next__(self) -> Piece:
        return next(self._pieces)

    def result(self) -> Any:
        """Return what `CausalLM.generate` returns without `stream`, after the last piece.

        Pieces that nobody has asked for are made now.
        """
        for _ in self._pieces:
            pass
        found = [growth.result() for growth in self._growths]
        return found[0] if self._single else found


def grow(
    growths: Sequence[Growth], engine: Engine, make: Callable[[], KvCache], threads: int | None
) -> Iterator[Piece]:
    """Let sequences grow to their ends, as many together as `make`'s cache has room for.

    One that begins reads its prompt in the same step in which others read their last token.
    """
    cache, began = make(), perf_counter()
    waiting, growing = deque(growths), list[Growth]()
    free = list(range(cache.sequences))
    for growth in growths:
        growth.start(began)
    while waiting or growing:
        while waiting and free:
            growth = waiting.popleft()
            growth.slot = free.pop(0)
            growing.append(growth)
        ids = [growth.pending for growth in growing]
        slots = [growth.slot for growth in growing]
        logits = engine.forward(ids, slots, cache, "last", threads)
        for growth, row in zip(growing, logits, strict=True):
            piece = growth.grow(row)
            if piece is not None:
                yield piece
        for growth in growing:
            if growth.finish_reason:
                cache.free(growth.slot)
                free.append(growth.slot)
        growing = [growth for growth in growing if not growth.finish_reason]
