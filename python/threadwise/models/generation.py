"""What a model has written, and how long it took."""

from dataclasses import dataclass
from typing import Self

__all__ = ["Generation", "Piece", "Timings"]


@dataclass(frozen=True, kw_only=True)
class Timings:
    """How long a text took, from the call on."""

    time_to_first_token: float
    """Seconds, which include reading the prompt."""
    seconds: float
    """To the last token."""
    prompt_tokens_per_second: float
    """The prompt, over the time to the first token."""
    tokens_per_second: float | None
    """New tokens after the first, over the time after it; None if there is but one."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What a model has written after a prompt."""

    text: str
    """Without what stopped it; empty if the model has no tokenizer."""
    token_ids: list[int]
    """The new tokens, up to and with the one that ended the text."""
    finish_reason: str
    """``"stop"``, if the text came to an end, by a token or by a string of `stop`; ``"length"``, if
    there were enough tokens."""
    prompt_tokens: int
    """How many tokens the prompt has."""
    seed: int | None
    """What tokens were drawn with; None if the likeliest were taken."""
    timings: Timings
    """How long it took."""


class Piece(str):
    """A piece of a text, as soon as it is sure: a string that knows whose it is.

    Parameters
    ----------
    text : str
        The piece.
    prompt : int
        Which prompt it belongs to, from 0 on.
    token_ids : list of int
        The tokens that came since the last piece of this text.
    """

    __slots__ = ("prompt", "token_ids")

    prompt: int
    """Which prompt it belongs to, from 0 on."""
    token_ids: list[int]
    """The tokens that came since the last piece of this text."""

    def __new__(cls, text: str, *, prompt: int, token_ids: list[int]) -> Self:
        """Return `text` with what is known of it."""
        piece = super().__new__(cls, text)
        piece.prompt, piece.token_ids = prompt, token_ids
        return piece
