"""Which token comes next: the likeliest, or one that is drawn.

What is drawn depends on the logits, the seed and the position alone. So a sequence goes on in the
same way whatever it shares a batch with, on however many threads, and also if it is stopped and
continued later.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from threadwise.errors import DomainError
from threadwise.models._arguments import number, whole

__all__ = ["Sampling", "drawn", "likely", "penalized", "uniform"]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are chosen; `CausalLM.generate` says what each setting means.

    Raises
    ------
    DTypeError
        If a setting is no number.
    DomainError
        If one makes no sense.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        number("temperature", self.temperature, 0)
        number("repetition_penalty", self.repetition_penalty, 0, above=True)
        if self.top_k is not None:
            whole("top_k", self.top_k, 1)
        if self.top_p is not None:
            number("top_p", self.top_p, 0, 1, above=True)
        if self.min_p is not None:
            number("min_p", self.min_p, 0, 1)

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is taken, and none drawn."""
        return self.temperature == 0

    def choose(
        self, logits: NDArray[np.float32], seen: NDArray[np.bool_] | None, seed: int, position: int
    ) -> int:
        """Return the token at `position`, the number of those before it.

        Parameters
        ----------
        logits : ndarray of float32, shape (v,)
        seen : ndarray of bool, shape (v,), optional
            Which tokens are in the sequence, where there is a penalty for repetition.
        seed, position : int
            What the random number is of.
        """
        if seen is not None:
            logits = penalized(logits, seen, self.repetition_penalty)
        likeliest = int(logits.argmax())
        if not np.isfinite(logits[likeliest]):
            raise DomainError(
                f"the logits at position {position} are not finite: the weights are broken, or "
                "activations are too large for the model's numbers"
            )
        if self.is_greedy:
            return likeliest
        tokens, p = likely(logits, self)
        return int(tokens[drawn(p, uniform(seed, position))])


def penalized(
    logits: NDArray[np.float32], seen: NDArray[np.bool_], penalty: float
) -> NDArray[np.float32]:
    """Make tokens that were there less likely: positive logits are divided, others multiplied.

    N. Keskar and others, *CTRL*, 2019, arXiv:1909.05858, section 4.1.
    """
    factor = np.float32(penalty)
    changed = np.where(logits > 0, logits / factor, logits * factor)
    return np.where(seen, changed, logits)


def likely(
    logits: NDArray[np.float32], sampling: Sampling
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the tokens that may be drawn, in their order, and how likely each is.

    They are those that filters leave, in this order: the temperature; the `top_k` likeliest and
    those as likely as the last of them; of what is left, the likeliest up to where they make up
    `top_p`, and those as likely as the last; of what is left, those of at least `min_p` times the
    likelihood of the likeliest.
    """
    tokens = np.arange(len(logits))
    if sampling.top_k is not None and sampling.top_k < len(logits):
        last = np.partition(logits, -sampling.top_k)[-sampling.top_k]
        tokens = np.flatnonzero(logits >= last)
        logits = logits[tokens]
    x = logits.astype(np.float64)
    x -= x.max()
    with np.errstate(over="ignore"):  # what is infinitely unlikely may be
        x /= sampling.temperature
    p: NDArray[np.float64] = np.exp(x)
    p /= p.sum()
    if sampling.top_p is not None and sampling.top_p < 1:
        # All of less than that together are less than what is left out: they need no sorting.
        falling = np.sort(p[p >= (1 - sampling.top_p) / len(p)])[::-1]
        last = min(int(np.searchsorted(falling.cumsum(), sampling.top_p)), len(falling) - 1)
        tokens, p = _kept(tokens, p, falling[last])
    if sampling.min_p:
        tokens, p = _kept(tokens, p, sampling.min_p * p.max())
    return tokens, p


def _kept(
    tokens: NDArray[np.intp], p: NDArray[np.float64], least: float
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the tokens that are at least so likely."""
    kept = p >= least
    p = p[kept]
    return tokens[kept], p / p.sum()


def drawn(p: NDArray[np.float64], u: float) -> int:
    """Return the first place up to which the probabilities are more than `u`, from 0 to 1."""
    total = p.cumsum()
    last = int(np.searchsorted(total, total[-1]))  # of those that have any
    return min(int(np.searchsorted(total, u * total[-1], side="right")), last)


def uniform(seed: int, position: int) -> float:
    """Return the number from 0 to 1, without 1, that belongs to a seed and a position.

    Philox is a function, not a sequence: J. Salmon and others, *Parallel Random Numbers: As Easy
    as 1, 2, 3*, 2011.
    """
    word: Any = np.random.Philox(key=seed, counter=position).random_raw()
    return float(int(word) >> 11) * 2.0**-53
