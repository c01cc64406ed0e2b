"""Models of random weights: what jobs on files are timed with."""

import json
import math
import os
import shutil
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from threadwise.errors import DomainError
from threadwise.parallel import ThreadExecutor
from threadwise.quant._report_text import size

__all__ = ["NAMED", "Model", "expect_room", "model", "write"]

CHUNK = 1 << 22
"""Weights that are drawn at a time."""

MARGIN = 64 << 20
"""Bytes of the disk that are left alone."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """So many equal layers, each a matrix."""

    name: str
    """What it was asked for as."""
    layers: int
    rows: int
    columns: int

    @property
    def weights(self) -> int:
        """How many there are, whatever the name says."""
        return self.layers * self.rows * self.columns

    @property
    def bytes(self) -> int:
        """What they take in float16."""
        return 2 * self.weights

    @property
    def label(self) -> str:
        """The name, and how many weights that really are."""
        return f"{self.name} ({many(self.weights)}: {self.layers} x {self.rows} x {self.columns})"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the tensors' names and shapes."""
        return {f"layers.{i}.weight": (self.rows, self.columns) for i in range(self.layers)}


NAMED = {
    "100M": Model(name="100M", layers=50, rows=512, columns=4096),
    "600M": Model(name="600M", layers=100, rows=1024, columns=6144),
    "7B": Model(name="7B", layers=417, rows=2048, columns=8192),
}
"""The usual sizes, within five in a hundred; labels tell how many weights they really have."""


def many(weights: int) -> str:
    """Return a number of weights with three digits.

    Examples
    --------
    >>> [many(count) for count in (6_996_099_072, 104_857_600, 65_536)]
    ['7.00 billion weights', '105 million weights', '65,536 weights']
    """
    for unit, word in ((1e9, "billion "), (1e6, "million ")):
        if weights >= unit:
            value = weights / unit
            digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:.{digits}f} {word}weights"
    return f"{weights:,} weights"


def model(word: str) -> Model:
    """Return the model that `word` names: a usual size, or layers, rows and columns as LxRxC.

    Raises
    ------
    DomainError
        If it is neither.
    """
    if word in NAMED:
        return NAMED[word]
    extents = word.split("x")
    if len(extents) != 3 or not all(extent.isdecimal() and int(extent) for extent in extents):
        names = ", ".join(NAMED)
        raise DomainError(f"--sizes has {word!r}, expected {names}, or LxRxC like 50x512x4096")
    layers, rows, columns = map(int, extents)
    return Model(name=word, layers=layers, rows=rows, columns=columns)


def expect_room(what: str, needed: int, folder: Path) -> None:
    """Refuse work that does not fit on the disk of `folder`.

    Raises
    ------
    DomainError
        If there is too little room.
    """
    free = shutil.disk_usage(folder).free - MARGIN
    if needed > free:
        raise DomainError(
            f"{what} needs {size(needed)} on the disk of {folder}, where {size(max(free, 0))} are "
            "free: make room, or name another place with --folder"
        )


def write(directory: Path, shapes: Mapping[str, tuple[int, ...]], *, sparse: bool = False) -> int:
    """Write one file of float16 weights, normal and 0.02 in size; return how many there are.

    `sparse` leaves out the numbers: the file has its size, and no blocks on the disk.
    """
    directory.mkdir(parents=True, exist_ok=True)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    with (directory / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        if sparse:
            file.truncate(len(text) + 8 + end)
        else:
            for numbers in _numbers(end // 2):
                file.write(numbers.view(np.uint8).data)
        file.flush()
        os.fsync(file.fileno())  # or writing it would go on while something is timed
    return end // 2


def _numbers(count: int) -> Iterator[NDArray[np.float16]]:
    """Yield `count` weights, the same each time; threads draw them."""
    with ThreadExecutor() as executor:
        yield from executor.map(partial(_draw, count), range(-(-count // CHUNK)))


def _draw(count: int, chunk: int) -> NDArray[np.float16]:
    # New numbers for each piece: disks may compress what repeats.
    random = np.random.default_rng([0, chunk])
    numbers = random.standard_normal(min(CHUNK, count - chunk * CHUNK), np.float32)
    numbers *= np.float32(0.02)
    return numbers.astype(np.float16)
