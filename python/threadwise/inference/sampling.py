"""Samples of a random function: each batch and each sample with a generator of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from threadwise._mapped import mapped
from threadwise._progress import Progress
from threadwise._random import Purpose, generator
from threadwise.errors import DTypeError, ShapeError

__all__ = ["sampled"]


def sampled(
    model: Any, x: Any, *, samples: int, seed: int, size: int, threads: int, progress: Progress
) -> tuple[Any, int, int]:
    """Return the samples, shape ``(samples, n, ...)``, the threads that made them, and their cap.

    Each call of the function has `size` rows and a generator of its own.

    Raises
    ------
    DTypeError
        If `model` is no function.
    ShapeError
        If answers differ in shape, or have not a row for each of `x`.
    """
    if isinstance(model, type) or not callable(model) or hasattr(model, "predict"):
        what = f"the class {model.__name__}" if isinstance(model, type) else repr(model)
        raise DTypeError(
            f"model is {what}, expected one with monte_carlo, which has dropout, or a function of "
            "a batch and a generator"
        )
    starts = range(0, max(len(x), 1), size)

    def call(number: int) -> Any:
        sample, batch = divmod(number, len(starts))
        rows = x[starts[batch] : starts[batch] + size]
        answer = np.asarray(model(rows, generator(seed, Purpose.SAMPLE, batch, sample)))
        if answer.ndim == 0 or len(answer) != len(rows):
            raise ShapeError(f"model answers with shape {answer.shape} for {len(rows)} rows")
        return answer

    found = mapped(call, range(samples * len(starts)), threads, progress)
    for number, answer in enumerate(found.values):
        if answer.shape[1:] != found.values[0].shape[1:]:
            sample, batch = divmod(number, len(starts))
            raise ShapeError(
                f"sample {sample} of batch {batch} has shape {answer.shape}, that of sample 0 of "
                f"batch 0 {found.values[0].shape}: they may differ in the first axis alone"
            )
    stacked = np.concatenate(found.values) if len(x) else np.stack(found.values)
    shape = (samples, len(x), *found.values[0].shape[1:])
    return stacked.reshape(shape), found.threads, found.cap
