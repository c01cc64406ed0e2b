"""Keys and values of tokens that a model has read."""

from typing import Any

__all__ = ["KvCache"]


class KvCache:
    """Keys and values of tokens that a model has read, for several sequences.

    `CausalLM.cache` makes one. Memory is taken as sequences grow; in layers with a sliding window
    what nobody sees any more makes room for what comes. One call uses it at a time.
    """

    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts
        """That of each engine that has some of the layers."""

    @property
    def sequences(self) -> int:
        """How many sequences it is for."""
        return int(self.parts[0].sequences)

    @property
    def max_context(self) -> int:
        """How many tokens each may have."""
        return int(self.parts[0].max_context)

    @property
    def dtype(self) -> str:
        """In what its numbers are: ``"float32"``, ``"float16"`` or ``"int8"``."""
        return str(self.parts[0].dtype)

    @property
    def nbytes(self) -> int:
        """What it takes now, in bytes."""
        return sum(part.nbytes for part in self.parts)

    def length(self, sequence: int = 0, /) -> int:
        """Return how many tokens of a sequence it has.

        Raises
        ------
        DomainError
            If there is no such sequence.
        """
        return int(self.parts[0].length(sequence))

    def truncate(self, length: int, sequence: int = 0, /) -> None:
        """Forget the tokens of a sequence from `length` on.

        Raises
        ------
        DomainError
            If there is no such sequence, or it is shorter, or in a layer with a sliding window
            what the next token would see is gone.
        """
        for part in self.parts:
            part.truncate(sequence, length)

    def free(self, sequence: int = 0, /) -> None:
        """Forget a sequence, and give its memory back.

        Raises
        ------
        DomainError
            If there is no such sequence.
        """
        for part in self.parts:
            part.free(sequence)

    def __repr__(self) -> str:
        sequences = "1 sequence" if self.sequences == 1 else f"{self.sequences} sequences"
        return (
            f"<{self.dtype} keys and values for {sequences} of up to {self.max_context} tokens: "
            f"{self.nbytes} bytes>"
        )
