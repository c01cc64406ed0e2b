"""What `bench train` times: steps of networks, and means of gradients; and how NumPy does them.

Nothing here imports threadwise: the workers of other libraries run this file too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["AGGREGATES", "QUICK", "STEPS", "Network", "TrainCase", "gradients"]

RATE = 1e-3
DECAY = 0.01
BETAS = (0.9, 0.999)
TINY = 1e-8


@dataclass(frozen=True, kw_only=True)
class TrainCase:
    """A step of a network with ReLU and cross entropy, or the mean of the gradients of shards."""

    operation: Literal["train step", "aggregate"] = "train step"
    optimizer: Literal["", "sgd", "adamw"] = ""
    sizes: tuple[int, ...] = ()
    """Of the network: inputs, hidden units, outputs."""
    batch: int = 0
    shards: int = 0
    length: int = 0
    """Elements of the gradient of each shard."""
    dtype: str = "float32"

    def __post_init__(self) -> None:
        # As JSON brings them, they are a list.
        object.__setattr__(self, "sizes", tuple(self.sizes))

    @property
    def flops(self) -> int:
        """Multiplications and additions of the products, or additions."""
        if self.operation == "aggregate":
            return self.shards * self.length
        pairs = list(zip(self.sizes[:-1], self.sizes[1:], strict=True))
        products = 3 * sum(i * o for i, o in pairs) - pairs[0][0] * pairs[0][1]
        return 2 * self.batch * products

    def __str__(self) -> str:
        if self.operation == "aggregate":
            return f"{self.shards} gradients of {self.length / 1e6:g} million"
        return f"{'-'.join(map(str, self.sizes))}, batch {self.batch}, {self.optimizer}"


def _steps(*nets: tuple[tuple[int, ...], int]) -> list[TrainCase]:
    return [
        TrainCase(optimizer=optimizer, sizes=sizes, batch=batch)
        for sizes, batch in nets
        for optimizer in ("sgd", "adamw")
    ]


STEPS = _steps(((784, 128, 10), 64), ((784, 512, 256, 10), 256), ((1024, 2048, 2048, 1000), 512))
AGGREGATES = [
    TrainCase(operation="aggregate", shards=4, length=1_000_000),
    TrainCase(operation="aggregate", shards=8, length=10_000_000),
]
QUICK = [*STEPS[:4], AGGREGATES[0]]


def gradients(case: TrainCase) -> list[NDArray[np.float32]]:
    """Return the gradients of each shard, the same each time."""
    return [
        np.random.default_rng(shard).standard_normal(case.length, np.float32)
        for shard in range(case.shards)
    ]


class Network:
    """The network of a case, as one writes it in NumPy: in float32 a peer, in float64 the truth."""

    def __init__(self, case: TrainCase, dtype: Any = np.float32) -> None:
        random = np.random.default_rng(0)
        pairs = list(zip(case.sizes[:-1], case.sizes[1:], strict=True))
        weights = [
            random.standard_normal((o, i), np.float32) * np.float32((2 / i) ** 0.5)
            for i, o in pairs
        ]
        self.x = random.standard_normal((case.batch, case.sizes[0]), np.float32).astype(dtype)
        self.y = random.integers(0, case.sizes[-1], case.batch)
        self.parameters = [
            array.astype(dtype)
            for weight in weights
            for array in (weight, np.zeros(len(weight), np.float32))
        ]
        """Weight and bias of the first layer, of the second, and so on."""
        self._adam = case.optimizer == "adamw"
        self._moments = [[np.zeros_like(each) for each in self.parameters] for _ in range(2)]
        self._count = 0

    def step(self) -> float:
        """Make a step with the batch; return the loss before it."""
        inputs = [self.x]
        for i in range(0, len(self.parameters), 2):
            weight, bias = self.parameters[i : i + 2]
            outputs = inputs[-1] @ weight.T + bias
            inputs.append(np.maximum(outputs, 0) if i + 2 < len(self.parameters) else outputs)
        logits = inputs.pop()
        logits -= logits.max(1, keepdims=True)
        shares = np.exp(logits)
        shares /= shares.sum(1, keepdims=True)
        rows = np.arange(len(self.y))
        loss = float(-np.log(shares[rows, self.y]).mean())
        shares[rows, self.y] -= 1
        shares /= len(self.y)
        self._count += 1
        for i in range(len(self.parameters) - 2, -1, -2):
            below = inputs.pop()
            derivatives = [shares.T @ below, shares.sum(0)]
            if i:
                shares = shares @ self.parameters[i]
                shares *= below > 0
            for number, gradient in enumerate(derivatives, i):
                self._update(number, gradient)
        return loss

    def _update(self, number: int, gradient: NDArray[Any]) -> None:
        w = self.parameters[number]
        if not self._adam:
            w -= RATE * gradient
            return
        m, v = (moments[number] for moments in self._moments)
        m *= BETAS[0]
        m += (1 - BETAS[0]) * gradient
        v *= BETAS[1]
        v += (1 - BETAS[1]) * gradient * gradient
        w *= 1 - RATE * DECAY
        size = np.sqrt(v / (1 - BETAS[1] ** self._count)) + TINY
        w -= RATE / (1 - BETAS[0] ** self._count) * m / size


def losses_and_change(network: Any, before: Sequence[NDArray[Any]], steps: int) -> Any:
    """Make steps; return their losses, and by how much all parameters changed, in float64."""
    losses = [network.step() for _ in range(steps)]
    after = [np.asarray(each, np.float64) for each in network.parameters]
    changes = [(a - b).ravel() for a, b in zip(after, before, strict=True)]
    return np.array(losses), np.concatenate(changes)
