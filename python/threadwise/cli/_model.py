"""What commands that run a model have in common."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadwise.models import Generation

__all__ = ["folder", "plain", "speed"]


def folder(model: Path) -> Path:
    """Return where a model is: `model`, or the sample of that name if there is nothing there."""
    from threadwise import samples

    is_sample = not model.exists() and str(model) in samples.names()
    return samples.path(str(model)) if is_sample else model


def plain(found: "Generation", prompt: str) -> dict[str, Any]:
    """Return what was generated, for JSON."""
    return {"prompt": prompt, **dataclasses.asdict(found)}


def speed(found: "Generation") -> str:
    """Say how fast a text was."""
    times, new = found.timings, len(found.token_ids)
    first = f"{found.prompt_tokens} tokens read, the first written after "
    first += f"{times.time_to_first_token * 1e3:.1f} ms"
    rate = times.tokens_per_second
    rest = "" if rate is None else f", the others at {rate:.0f} a second"
    return f"{first}; {new} tokens in {times.seconds:.2f} s{rest} ({found.finish_reason})"
