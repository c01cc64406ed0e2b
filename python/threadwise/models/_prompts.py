"""What models read: texts or tokens, of one sequence or of several."""

import secrets
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.models._arguments import whole
from threadwise.models._engine import Ids

__all__ = ["ids_of", "prompts", "rows_of", "seeds"]


def prompts(given: Any) -> tuple[list[Any], bool]:
    """Return prompts, texts as they are and others as tokens, and whether there is but one."""
    if isinstance(given, str):
        return [given], True
    rows = _listed("prompt", given)
    if any(isinstance(row, str) for row in rows):
        return [each if isinstance(each, str) else ids_of("prompt", each) for each in rows], False
    ids, kind = rows_of("prompt", given)
    return list(ids), kind == "one"


def rows_of(name: str, given: Any) -> tuple[list[Ids], Literal["one", "even", "ragged"]]:
    """Return the tokens of each sequence, and whether these have one length."""
    if isinstance(given, np.ndarray) and given.ndim not in (1, 2):
        raise ShapeError(
            f"{name} has {given.ndim} axes, expected tokens of one sequence or of several"
        )
    rows = _listed(name, given)
    if not rows:
        raise DomainError(f"{name} is empty, expected at least one token")
    if np.ndim(rows[0]) == 0:
        return [ids_of(name, given)], "one"
    found = [ids_of(f"{name}[{i}]", row) for i, row in enumerate(rows)]
    return found, "even" if len({len(row) for row in found}) == 1 else "ragged"


def _listed(name: str, given: Any) -> list[Any]:
    try:
        return list(given)
    except TypeError:
        kind = type(given).__name__
        raise DTypeError(f"{name} is {given!r} (a {kind}), expected tokens") from None


def ids_of(name: str, given: Any) -> Ids:
    """Return the tokens of one sequence."""
    found = np.asarray(given)
    if found.ndim != 1:
        raise ShapeError(f"{name} has {found.ndim} axes, expected the tokens of a sequence")
    if not len(found):
        raise DomainError(f"{name} is empty, expected at least one token")
    if found.dtype.kind not in "iu":
        raise DTypeError(f"{name} is of {found.dtype}, expected integers: tokens")
    return np.ascontiguousarray(found, np.int64)


def seeds(seed: Any, count: int) -> list[int]:
    """Return a seed for each of `count` prompts."""
    if seed is None:
        return [secrets.randbits(64)] * count
    if not isinstance(seed, (Sequence, np.ndarray)):
        return [whole("seed", seed, 0, 2**64 - 1)] * count
    if len(seed) != count:
        raise ShapeError(f"seed has {len(seed)} numbers, there are {count} prompts")
    return [whole("seed", each, 0, 2**64 - 1) for each in seed]
