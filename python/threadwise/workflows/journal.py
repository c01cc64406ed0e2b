"""A journal: one line of JSON for each result, so that work goes on where it ended."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from threadwise.errors import FormatError, StorageError

__all__ = ["Journal"]


class Journal:
    """Lines of JSON in a file that is only ever added to.

    A line is written by one call of the system, and synced, so that it is there or not. What a
    killed process left of a last one is cut off. The first line says whose journal it is.

    Raises
    ------
    FormatError
        If the file is not such a journal.
    StorageError
        If it cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike[str], kind: str) -> None:
        self.path = Path(path)
        self.records: list[dict[str, Any]] = []
        self._guard = threading.Lock()
        header = _line({"threadwise": kind, "version": 1})
        try:
            before = self.path.read_bytes() if self.path.exists() else b""
            whole = before[: before.rfind(b"\n") + 1]
            if whole:
                self.records = self._parsed(whole, header)
            elif not header.startswith(before):
                raise FormatError(f"{self.path} is no journal of {kind}, expected one, or no file")
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._file = os.open(self.path, flags, 0o666)
            if len(whole) < len(before):
                os.ftruncate(self._file, len(whole))
            if not whole:
                os.write(self._file, header)
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(error.errno, error.strerror, str(self.path)) from error

    def _parsed(self, text: bytes, header: bytes) -> list[dict[str, Any]]:
        first, *lines = text.splitlines(keepends=True)
        if first != header:
            expected = header.decode().strip()
            raise FormatError(f"{self.path}, line 1: expected {expected}, or no file")
        found = []
        for number, line in enumerate(lines, 2):
            try:
                record = json.loads(line)
            except ValueError as error:
                raise FormatError(f"{self.path}, line {number}: {error}") from None
            if not isinstance(record, dict):
                raise FormatError(f"{self.path}, line {number}: expected an object of JSON")
            found.append(record)
        return found

    def write(self, record: dict[str, Any]) -> None:
        """Add a line; nothing after `close`, which a task that was left behind may outlive."""
        with self._guard:
            if self._file < 0:
                return
            try:
                os.write(self._file, _line(record))
                os.fsync(self._file)
            except OSError as error:
                raise StorageError(error.errno, error.strerror, str(self.path)) from error

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            os.close(self._file)
            self._file = -1


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"
