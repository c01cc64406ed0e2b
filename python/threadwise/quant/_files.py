"""Files of weights: what their headers say, and their tensors as arrays that are mapped."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from threadwise import _file, _threadwise
from threadwise.errors import FormatError

__all__ = ["Stored", "WeightFile", "configuration", "read"]

_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "C64": "complex64",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
}
"""What NumPy calls them itself."""

_EXTRA = {
    "BF16": "bfloat16",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}
"""What ml_dtypes calls them."""


@dataclass(frozen=True)
class Stored:
    """A tensor as the header of its file has it."""

    file: "WeightFile" = field(repr=False)
    name: str
    dtype: str
    """As safetensors calls it."""
    shape: tuple[int, ...]
    begin: int
    """From the beginning of the data, in bytes."""
    end: int

    @property
    def nbytes(self) -> int:
        """What it takes."""
        return self.end - self.begin

    def array(self) -> NDArray[Any]:
        """Return its elements, mapped: what nobody looks at is not read.

        Raises
        ------
        FormatError
            If NumPy has no such elements.
        ModuleNotFoundError
            If only ml_dtypes has, and is not installed.
        """
        data = self.file.mapped[self.file.data + self.begin : self.file.data + self.end]
        return data.view(self._numpy()).reshape(self.shape)

    def _numpy(self) -> np.dtype[Any]:
        if self.dtype in _DTYPES:
            return np.dtype(_DTYPES[self.dtype]).newbyteorder("<")
        if self.dtype not in _EXTRA:
            raise FormatError(
                f"{self.file.path}: tensor {self.name!r} has dtype {self.dtype}, of which NumPy "
                "has no arrays"
            )
        try:
            import ml_dtypes  # noqa: PLC0415 - an extra
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                f'arrays of {self.dtype} need ml_dtypes: pip install "threadwise[hf]"',
                name="ml_dtypes",
            ) from None
        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, _EXTRA[self.dtype]))
        return found


@dataclass(frozen=True)
class WeightFile:
    """A safetensors file."""

    path: Path
    data: int
    """Where the data begin, in bytes."""
    metadata: dict[str, str]
    tensors: list[Stored] = field(default_factory=list)
    """In the order in which they lie."""

    @cached_property
    def mapped(self) -> NDArray[np.uint8]:
        """All of its bytes."""
        return np.memmap(self.path, np.uint8, "r").view(np.ndarray)


def read(path: str | Path) -> list[WeightFile]:
    """Return the files of a model, of which only headers are read.

    Parameters
    ----------
    path : str or Path
        A safetensors file, or a directory with one, or with several and their index.

    Raises
    ------
    FormatError
        If a file is not what it should be.
    StorageError
        If one cannot be read.
    """
    files = []
    for where, data, metadata, tensors in _threadwise.weights(path):
        file = WeightFile(Path(where), data, metadata)
        file.tensors.extend(Stored(file, *tensor) for tensor in tensors)
        files.append(file)
    return files


def configuration(path: str | Path) -> dict[str, Any]:
    """Return the configuration of the model at `path`, empty if it has none.

    Raises
    ------
    FormatError
        If it is no object of JSON.
    OSError
        If it cannot be read.
    """
    file = Path(path) / "config.json"
    return _file.settings(file) if file.is_file() else {}
