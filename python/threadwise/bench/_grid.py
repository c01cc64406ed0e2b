"""The shapes that are timed, by class, as data."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from threadwise.bench._cases import Case, DType

__all__ = ["GRID", "QUICK", "chosen", "group_of", "in_dtypes"]


def _plain(*shapes: tuple[int, int, int]) -> list[Case]:
    return [Case(m=m, k=k, n=n) for m, k, n in shapes]


GRID: dict[str, list[Case]] = {
    "squares": _plain(*((2**i, 2**i, 2**i) for i in range(12))),
    # Odd sizes and primes: what no register, tile or cache line divides.
    "odd": _plain(
        (3, 5, 7),
        (17, 31, 13),
        (33, 33, 33),
        (67, 67, 67),
        (100, 100, 100),
        (127, 129, 131),
        (257, 257, 257),
        (333, 777, 555),
        (509, 503, 499),
        (1009, 1013, 1019),
    ),
    # One row, and few: a language model that writes a word at a time, for one or for several.
    "rows": _plain(
        (1, 64, 64),
        (1, 256, 256),
        (1, 1024, 1024),
        (1, 4096, 4096),
        (1, 4096, 11008),
        (1, 11008, 4096),
        (1, 4099, 4093),
        (2, 4096, 4096),
        (3, 1000, 1000),
        (4, 4096, 4096),
        (8, 4096, 4096),
        (16, 4096, 4096),
        (64, 4096, 4096),
    ),
    # Layers of small networks, and of transformers over a sequence.
    "layers": _plain(
        (32, 128, 10),
        (64, 784, 128),
        (256, 784, 128),
        (128, 768, 768),
        (128, 768, 3072),
        (197, 768, 2304),
        (512, 64, 512),
    ),
    # One extent much shorter or much longer than the others.
    "skinny": _plain(
        (1000, 3, 1000),
        (1000, 2, 1000),
        (2048, 16, 2048),
        (4096, 64, 4096),
        (10000, 16, 16),
        (8192, 128, 8),
        (8, 128, 8192),
        (100000, 4, 4),
        (2000, 2000, 3),
        (3, 2000, 2000),
        (16, 100000, 16),
        (64, 65536, 64),
        (4096, 4096, 1),
    ),
    "transposed": [
        Case(m=1, k=4096, n=4096, transposed="b"),
        Case(m=4, k=4096, n=4096, transposed="b"),
        Case(m=64, k=784, n=128, transposed="b"),
        Case(m=256, k=256, n=256, transposed="b"),
        Case(m=1024, k=1024, n=1024, transposed="b"),
        Case(m=64, k=64, n=64, transposed="a"),
        Case(m=784, k=64, n=128, transposed="a"),
        Case(m=1024, k=1024, n=1024, transposed="a"),
        Case(m=4096, k=4096, n=1, transposed="a"),
        Case(m=333, k=777, n=555, transposed="ab"),
    ],
    # Stacks of matrices: attention's heads, and rows against one small matrix.
    "batches": [
        Case(m=32, k=32, n=32, left=(64,), right=(64,)),
        Case(m=4, k=4, n=4, left=(1000,)),
        Case(m=4, k=4, n=4, left=(1000,), right=(1000,)),
        Case(m=197, k=64, n=197, left=(12,), right=(12,)),
        Case(m=197, k=197, n=64, left=(12,), right=(12,)),
        Case(m=197, k=64, n=197, left=(12,), right=(12,), transposed="b"),
        Case(m=1, k=64, n=512, left=(32,), right=(32,), transposed="b"),
        Case(m=128, k=128, n=128, left=(8,), right=(8,)),
        Case(m=16, k=512, n=512, left=(16,)),
    ],
    "vectors": [
        Case(m=1, k=64, n=1, vector="ab"),
        Case(m=1, k=1000, n=1, vector="ab"),
        Case(m=1, k=1_000_000, n=1, vector="ab"),
        Case(m=1000, k=1000, n=1, vector="b"),
        Case(m=1, k=1000, n=1000, vector="a"),
    ],
}

_QUICK = ("16 x 16 x 16", "256 x 256 x 256", "1024 x 1024 x 1024", "17 x 31 x 13",
    "1 x 1024 x 1024", "4 x 4096 x 4096", "64 x 784 x 128", "1000 x 3 x 1000", "10000 x 16 x 16",
    "64 x 784 x 128, B.T", "(64,32,32) @ (64,32,32)", "(1000,1000) @ (1000,)")  # fmt: skip
QUICK: list[Case] = [case for cases in GRID.values() for case in cases if str(case) in _QUICK]
"""A shape or two of each class."""


def chosen(words: str, dtypes: Sequence[DType]) -> list[Case]:
    """Return the cases that `words` name, dtype by dtype.

    Parameters
    ----------
    words : str
        Separated by commas: ``"all"``, the name of a class, or a shape as ``"MxKxN"``.
    dtypes : sequence of str

    Raises
    ------
    ValueError
        If a word is none of these.

    Examples
    --------
    >>> [str(case) for case in chosen("3x5x7", ["float32"])]
    ['3 x 5 x 7']
    """
    return in_dtypes([case for word in words.split(",") for case in _named(word.strip())], dtypes)


def in_dtypes(cases: Iterable[Case], dtypes: Sequence[DType]) -> list[Case]:
    """Return `cases` dtype by dtype, each of them once."""
    once = list(dict.fromkeys(cases))
    return [replace(case, dtype=dtype) for dtype in dtypes for case in once]


def group_of(case: Case) -> str:
    """Return the class of `case`: that of the grid, or ``"others"``."""
    plain = replace(case, dtype="float32")
    return next((group for group, cases in GRID.items() if plain in cases), "others")


def _named(word: str) -> list[Case]:
    if word == "all":
        return [case for cases in GRID.values() for case in cases]
    if word in GRID:
        return GRID[word]
    extents = word.split("x")
    if len(extents) != 3 or not all(extent.isdecimal() and int(extent) for extent in extents):
        names = ", ".join(GRID)
        message = f"there are no shapes called {word!r}: expected all, {names}, or MxKxN like 3x5x7"
        raise ValueError(message)
    m, k, n = map(int, extents)
    return [Case(m=m, k=k, n=n)]
