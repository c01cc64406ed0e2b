"""Files that are whole or absent, and what is read from others."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from threadwise.errors import FormatError

__all__ = ["settings", "text", "write"]


def write(path: Path, content: str | bytes) -> None:
    """Write `content` to the file `path`, in place of one that is there.

    At no moment is there a part of it under that name.

    Raises
    ------
    OSError
        If it cannot be written. What was there still is.
    """
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def text(file: str | Path) -> tuple[str, str]:
    """Return the text of a file, and what sentences call it.

    Where `file` begins with a brace it is that text itself.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    if isinstance(file, str) and file.lstrip().startswith("{"):
        return file, "the text"
    return Path(file).read_text("utf-8"), str(file)


def settings(file: Path) -> dict[str, Any]:
    """Return what a file such as ``config.json`` says about a model.

    Raises
    ------
    FormatError
        If it is no object of JSON.
    OSError
        If it cannot be read.
    """
    try:
        found = json.loads(file.read_bytes())
    except ValueError as error:
        raise FormatError(f"{file} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise FormatError(f"{file} is no object of JSON, expected settings of a model")
    return found
