"""Random numbers that depend on what they are for: not on threads, nor on what was drawn before."""

from enum import IntEnum

import numpy as np

__all__ = ["Purpose", "generator"]


class Purpose(IntEnum):
    """What numbers are for. Each purpose has its own streams, so that one seed serves them all."""

    ORDER = 0
    """The order of a data set in an epoch."""
    ITEM = 1
    """What a loader's transform does to an item in an epoch."""
    VARIANT = 2
    """A variant of an item."""
    SAMPLE = 3
    """A sample of what a random model predicts for a batch."""
    FOLDS = 4
    """Which rows are in which fold."""


def generator(seed: int, purpose: Purpose, *where: int) -> np.random.Generator:
    """Return the generator for a purpose and a place: the same numbers wherever it is made.

    It is Philox [1]_, keyed by NumPy's hash of all arguments, so that streams are independent.

    References
    ----------
    .. [1] J. K. Salmon et al., *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011.
    """
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence(seed, spawn_key=(purpose, *where)))
    )
