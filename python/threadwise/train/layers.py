"""The layers of a network: sizes, functions, parameters."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from threadwise.errors import DomainError, DTypeError

__all__ = ["ACTIVATIONS", "Layers"]

ACTIVATIONS = ("relu", "gelu", "gelu_tanh", "silu", "tanh", "logistic", "identity")
"""The functions of hidden layers."""


class Layers:
    """What a network is, without what it computes: see `threadwise.train.MLP`."""

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "relu",
        dropout: float | Sequence[float] = 0.0,
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self._sizes = tuple(int(size) for size in sizes)
        if len(self._sizes) < 2 or min(self._sizes) < 1:
            raise DomainError(
                f"sizes is {list(sizes)}, expected at least two positive numbers: inputs, units of "
                "hidden layers, outputs"
            )
        if activation not in ACTIVATIONS:
            known = ", ".join(repr(name) for name in ACTIVATIONS)
            raise DomainError(f"activation is {activation!r}, expected one of {known}")
        self._activation = activation
        hidden = len(self._sizes) - 2
        rates = [dropout] * hidden if isinstance(dropout, float | int) else list(dropout)
        self._dropout = tuple(float(rate) for rate in rates)
        within = isinstance(dropout, Sequence) or 0 <= dropout < 1
        if len(rates) != hidden or not within or not all(0 <= p < 1 for p in self._dropout):
            raise DomainError(
                f"dropout is {dropout}, expected a number from 0 to less than 1, or one for each "
                f"of {hidden} hidden layers"
            )
        if not 0 <= seed < 2**64:
            raise DomainError(f"seed is {seed}, expected 0 to 2**64 - 1")
        self._seed = int(seed)
        self._dtype = np.dtype(dtype)
        if self._dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise DTypeError(f"dtype is {self._dtype}, expected float32 or float64")
        self._parameters = self._first()

    def _first(self) -> dict[str, NDArray[Any]]:
        rng = np.random.Generator(np.random.Philox(key=np.array([self._seed, 0], np.uint64)))
        kin = self._activation in ("relu", "gelu", "gelu_tanh", "silu")
        made: dict[str, NDArray[Any]] = {}
        for i, (inputs, outputs) in enumerate(zip(self._sizes, self._sizes[1:], strict=False)):
            limit = (6 / (inputs if kin else inputs + outputs)) ** 0.5
            weight = rng.uniform(-limit, limit, (outputs, inputs))
            made[f"{i}.weight"] = weight.astype(self._dtype)
            made[f"{i}.bias"] = np.zeros(outputs, self._dtype)
        return made

    @property
    def sizes(self) -> tuple[int, ...]:
        """Inputs, units of hidden layers, outputs."""
        return self._sizes

    @property
    def activation(self) -> str:
        """The function of hidden layers."""
        return self._activation

    @property
    def dropout(self) -> tuple[float, ...]:
        """The share of each hidden layer that is left out."""
        return self._dropout

    @property
    def seed(self) -> int:
        """What first weights and masks are functions of."""
        return self._seed

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of parameters, inputs and outputs."""
        return self._dtype

    @property
    def parameters(self) -> Mapping[str, NDArray[Any]]:
        """The arrays themselves: "0.weight" of (outputs, inputs), "0.bias" of (outputs,), ...

        To change a parameter, write into its array.
        """
        return MappingProxyType(self._parameters)

    def copy(self) -> Self:
        """Return a model with the same settings and parameters, in memory of its own."""
        other = type(self)(self._sizes, self._activation, self._dropout, self._seed, self._dtype)
        for name, array in other.parameters.items():
            array[...] = self._parameters[name]
        return other

    def describe(self) -> dict[str, Any]:
        """Return the arguments that make such a model: what a checkpoint keeps of it."""
        return {
            "sizes": list(self._sizes),
            "activation": self._activation,
            "dropout": list(self._dropout),
            "seed": self._seed,
            "dtype": self._dtype.name,
        }

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v!r}" for k, v in self.describe().items() if k != "sizes")
        return f"MLP({list(self._sizes)}, {settings})"

    def _description(self) -> tuple[list[int], str, list[float], int]:
        return list(self._sizes), self._activation, list(self._dropout), self._seed

    def _arrays(self) -> list[NDArray[Any]]:
        return list(self._parameters.values())
