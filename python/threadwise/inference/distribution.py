"""Distributions over classes: from logits, and how uncertain they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from threadwise.errors import DomainError, ShapeError

__all__ = ["entropies", "probabilities"]

TOLERANCE = 1e-3
"""How far from 1 the sum of probabilities may be, which were rounded to float16 perhaps."""


def probabilities(samples: Any, outputs: str) -> Any:
    """Return what samples are, or their softmax, as floating-point numbers.

    Raises
    ------
    ShapeError
        If distributions have not at least two classes along the last axis.
    DomainError
        If probabilities are negative, NaN, or do not add up to 1.
    """
    if samples.dtype.kind != "f":
        samples = samples.astype(np.float64)
    if outputs == "values":
        return samples
    if samples.ndim < 3 or samples.shape[-1] < 2:
        raise ShapeError(
            f"answers have shape {samples.shape[1:]}, expected at least 2 classes along the last "
            "axis"
        )
    if outputs == "logits":
        wide = samples.astype(np.float64)
        wide = np.exp(wide - wide.max(axis=-1, keepdims=True))
        return (wide / wide.sum(axis=-1, keepdims=True)).astype(samples.dtype)
    sums = samples.sum(axis=-1, dtype=np.float64)
    if not ((samples >= 0).all() and (abs(sums - 1) <= TOLERANCE).all()):
        raise DomainError(
            "the model's answers are no probabilities, expected numbers of at least 0 that add up "
            "to 1 along the last axis; outputs='logits' makes probabilities of any"
        )
    return samples


def entropies(samples: Any, dtype: Any) -> tuple[Any, Any]:
    """Return the entropy of the mean distribution, and its mutual information with the model."""
    entropy = _entropy(samples.mean(axis=0))
    expected = _entropy(samples).mean(axis=0)
    # It is never negative but by rounding.
    return entropy.astype(dtype), np.maximum(entropy - expected, 0).astype(dtype)


def _entropy(p: Any) -> Any:
    logarithms = np.log(p, where=p > 0, out=np.zeros_like(p))
    return -(p * logarithms).sum(axis=-1)
