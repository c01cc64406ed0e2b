"""Tokens as text: read from prompts, written as they come, stopped where a string says so."""

import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from threadwise.errors import DTypeError, FormatError

__all__ = ["Text", "load_tokenizer", "stop_strings"]

_CONTEXT = 6
"""Tokens of the prompt that say how the first new one is written: whether a space belongs to it."""

_INCOMPLETE = "\ufffd"
"""What stands for bytes that are no character, or not yet."""


def load_tokenizer(folder: Path) -> Any:
    """Return the `tokenizers.Tokenizer` of a model.

    Raises
    ------
    FormatError
        If there is none in the directory, or it cannot be read.
    ModuleNotFoundError
        If the package that reads it is not installed.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise FormatError(f"{folder} has no tokenizer.json: pass token ids, text needs one")
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'text needs tokenizers: pip install "threadwise[hf]", or pass token ids',
            name="tokenizers",
        ) from None
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # noqa: BLE001 - it raises nothing more particular
        raise FormatError(f"{file} is no tokenizer: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def stop_strings(stop: Any) -> tuple[str, ...]:
    """Return strings that end a text, in a tuple."""
    stops: tuple[Any, ...] = () if stop is None else (stop,) if isinstance(stop, str) else (*stop,)
    for each in stops:
        if not isinstance(each, str) or not each:
            raise DTypeError(f"stop has {each!r}, expected strings that are not empty")
    return stops


class Text:
    """The text of tokens that come one by one, up to a string that stops it.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
    prompt : sequence of int
        What the tokens follow.
    stops : tuple of str
        The text ends before the first of them.
    """

    def __init__(self, tokenizer: Any, prompt: Sequence[int], stops: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._ids = [operator.index(token) for token in prompt[-_CONTEXT:]]
        # Tokens from `_begin` to `_end` are written, and say how those after them are.
        self._begin, self._end = 0, len(self._ids)
        self._stops = stops
        self._held = ""
        self.is_stopped = False
        """Whether one of the strings has come."""

    def add(self, token: int) -> str:
        """Return what is sure to be in the text, now that this token is."""
        self._ids.append(token)
        text = self._written()
        if text.endswith(_INCOMPLETE):
            return ""
        self._begin, self._end = self._end, len(self._ids)
        return self._release(text)

    def rest(self) -> str:
        """Return what is left when no more tokens come."""
        text = self._written()
        self._begin = self._end = len(self._ids)
        piece = self._release(text)
        if self.is_stopped:
            return piece
        held, self._held = self._held, ""
        return piece + held

    def _written(self) -> str:
        """Return what the tokens after `_end` add."""
        before = self._decode(self._ids[self._begin : self._end])
        return self._decode(self._ids[self._begin :])[len(before) :]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def _release(self, text: str) -> str:
        """Return the text that no stop can begin in, and hold the rest."""
        if not self._stops:
            return text
        text = self._held + text
        found = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if found:
            self.is_stopped, self._held = True, ""
            return text[: min(found)]
        length = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - length :]
        return text[: len(text) - length]


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of `text` begin `stop`."""
    lengths = range(min(len(stop) - 1, len(text)), 0, -1)
    return next((length for length in lengths if text.endswith(stop[:length])), 0)
