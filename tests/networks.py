"""A small network in NumPy, for what is done with models whoever made them."""

import numpy as np

from strategies import Array, normal

__all__ = ["Dropout"]


class Dropout:
    """Two layers with dropout between them, whose masks follow from seed, sample and row alone."""

    def __init__(self, sizes: tuple[int, int, int] = (4, 32, 3), rate: float = 0.5) -> None:
        self.rate = rate
        self.first = normal(sizes[:2], np.float32, seed=1)
        self.second = normal(sizes[1:], np.float32, seed=2)

    def predict(self, x: Array) -> Array:
        """Return outputs, shape (n, outputs), with nothing left out."""
        return np.maximum(x @ self.first, 0) @ self.second  # type: ignore[no-any-return]

    def monte_carlo(self, x: Array, samples: int, seed: int) -> Array:
        """Return outputs with units left out, shape (samples, n, outputs)."""
        hidden = np.maximum(x @ self.first, 0)
        found = []
        for sample in range(samples):
            rng = np.random.default_rng([seed, sample])
            kept = rng.random(hidden.shape) >= self.rate
            found.append((hidden * kept / (1 - self.rate)) @ self.second)
        return np.stack(found).astype(np.float32)
