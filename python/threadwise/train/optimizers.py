"""Optimizers: settings, what they remember, and steps in one pass over parameters."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from threadwise import _threadwise
from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.train.schedules import ConstantRate, Schedule, schedule

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "optimizer"]

Arrays = Mapping[str, NDArray[Any]]


class Optimizer:
    """What `SGD`, `Adam` and `AdamW` have in common: a learning rate, a count of steps, a memory.

    An optimizer belongs to the parameters that it stepped first: what it remembers of them,
    `state`, has their names and shapes.
    """

    _slots: ClassVar[int] = 0

    def __init__(self, lr: float | Schedule, weight_decay: float, clip_norm: float | None) -> None:
        if isinstance(lr, bool) or not isinstance(lr, float | int | Schedule):
            raise DTypeError(f"lr is {lr!r}, expected a number or a Schedule")
        self.schedule: Schedule = lr if isinstance(lr, Schedule) else ConstantRate(float(lr))
        self.weight_decay = _least("weight_decay", weight_decay, 0)
        if clip_norm is not None and not clip_norm > 0:
            raise DomainError(f"clip_norm is {clip_norm}, expected a positive number or None")
        self.clip_norm = clip_norm
        self.steps = 0
        self._state: dict[str, list[NDArray[Any]]] = {}
        self._stepped: Arrays | None = None

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self.schedule(self.steps)

    @property
    def state(self) -> dict[str, list[NDArray[Any]]]:
        """What it remembers: arrays of each parameter's shape; nothing before the first step."""
        return self._state

    def step(
        self,
        parameters: Arrays,
        gradients: Arrays | Sequence[Arrays],
        *,
        weights: Sequence[float] | None = None,
        threads: int | None = None,
    ) -> float | None:
        """Step all parameters in place, with a gradient or with the mean of several shards'.

        Reduction, clipping and step are one pass: no aggregated gradient is written.

        Parameters
        ----------
        parameters : mapping of str to ndarray of float32 or float64
            All of one dtype, writable, contiguous by rows.
        gradients : mapping, or sequence of mappings
            For each parameter an array of its shape and dtype, by its name; from several shards,
            the mapping of each.
        weights : sequence of float, optional
            How much each shard counts, for instance its rows; by default the same.
        threads : int, optional
            As for `threadwise.matmul`. Bits do not depend on it.

        Returns
        -------
        float or None
            The norm of all gradients together, before they were clipped; None without `clip_norm`.

        Raises
        ------
        ShapeError
            If a gradient is missing, or has another shape than its parameter.
        DTypeError
            If dtypes differ.
        LayoutError
            If a parameter is read-only or in use by another call.
        """
        shards = [gradients] if isinstance(gradients, Mapping) else list(gradients)
        shares, factor = _shares(weights, len(shards))
        names = list(parameters)
        for i, shard in enumerate(shards):
            if set(shard) != set(names):
                raise ShapeError(
                    f"gradients[{i}] has the names {sorted(shard)}, expected those of the "
                    f"parameters, {sorted(names)}"
                )
        self.remember(parameters)
        dtypes = {a.dtype for m in [parameters, *shards] for a in m.values()}
        if len(dtypes) > 1:
            found = sorted(map(str, dtypes))
            raise DTypeError(f"parameters and gradients have dtypes {found}, expected one dtype")
        norm = _threadwise.optimizer_step(
            [parameters[name] for name in names],
            [self._state[name] for name in names],
            [[shard[name] for shard in shards] for name in names],
            shares,
            factor,
            self.clip_norm,
            self.settings(),
            threads,
        )
        self.steps += 1
        return norm

    def remember(self, parameters: Arrays) -> None:
        """Make zeros for what is remembered of these parameters, where there is nothing yet.

        Raises
        ------
        ShapeError
            If the optimizer belongs to parameters of other names or shapes.
        """
        if parameters is self._stepped:
            return
        if not self._state:
            self._state = {
                name: [np.zeros_like(array, order="C") for _ in range(self._slots)]
                for name, array in parameters.items()
            }
        ours = {name: [a.shape for a in arrays] for name, arrays in self._state.items()}
        if ours != {name: [a.shape] * self._slots for name, a in parameters.items()}:
            raise ShapeError(
                "the optimizer has stepped parameters of other names or shapes, expected those "
                "that it stepped first: make a new one for each model"
            )
        self._stepped = parameters

    def restore(self, other: "Optimizer") -> None:
        """Take over the count of steps and the memory of `other`, which has the same settings."""
        self.steps = other.steps
        self._state = other.state
        self._stepped = None

    def settings(self) -> tuple[str, list[float], bool, int]:
        """Return the settings of the next step, as the engine takes them."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """Return all but `state`, with the name under "kind": what a checkpoint keeps of it."""
        own = {k: v for k, v in vars(self).items() if k[0] != "_" and k != "schedule"}
        return {"kind": type(self).__name__, "lr": self.schedule.describe(), **own}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(lr={self.lr:g}, steps={self.steps})"


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum, Nesterov's if wanted, and weight decay.

    As PyTorch defines it: ``g += weight_decay * w``, ``v = momentum * v + g``,
    ``w -= lr * v``, with Nesterov's momentum ``w -= lr * (g + momentum * v)``.

    Parameters
    ----------
    lr : float or Schedule
        Learning rate, 0 or more.
    momentum : float, default 0
        From 0 to less than 1. With 0 nothing is remembered.
    nesterov : bool, default False
        Whether momentum is Nesterov's; needs a momentum.
    weight_decay : float, default 0
        0 or more.
    clip_norm : float, optional
        If the norm of all gradients together is larger, they are scaled down to it.

    Raises
    ------
    DomainError
        If a setting is out of its range.

    References
    ----------
    I. Sutskever and others, *On the importance of initialization and momentum in deep learning*,
    ICML 2013.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> parameters = {"w": np.array([1.0, 2.0])}
    >>> tw.train.SGD(0.1).step(parameters, {"w": np.array([1.0, -1.0])})
    >>> parameters["w"]
    array([0.9, 2.1])
    """

    def __init__(
        self,
        lr: float | Schedule,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, clip_norm)
        self.momentum = _least("momentum", momentum, 0, 1)
        if nesterov and not momentum:
            raise DomainError("nesterov is True and momentum 0, expected a positive momentum")
        self.nesterov = bool(nesterov)

    @property
    def _slots(self) -> int:  # type: ignore[override]
        return int(self.momentum != 0)

    def settings(self) -> tuple[str, list[float], bool, int]:
        """Return the settings of the next step, as the engine takes them."""
        numbers = [self.lr, self.momentum, self.weight_decay]
        return "sgd", numbers, self.nesterov, self.steps + 1


class Adam(Optimizer):
    """Adam: steps of the mean gradient over the root of the mean square, both corrected for bias.

    Parameters
    ----------
    lr : float or Schedule, default 1e-3
        Learning rate, 0 or more.
    betas : pair of float, default (0.9, 0.999)
        What is kept of both means at each step, from 0 to less than 1.
    eps : float, default 1e-8
        Added to the root; positive.
    weight_decay : float, default 0
        Added to the gradient times the weight; 0 or more.
    clip_norm : float, optional
        If the norm of all gradients together is larger, they are scaled down to it.

    Raises
    ------
    DomainError
        If a setting is out of its range.

    References
    ----------
    D. Kingma, J. Ba, *Adam: A Method for Stochastic Optimization*, ICLR 2015, arXiv:1412.6980.
    """

    _slots = 2
    _decoupled = False

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, clip_norm)
        one, two = betas
        self.betas = (_least("betas[0]", one, 0, 1), _least("betas[1]", two, 0, 1))
        if not eps > 0:
            raise DomainError(f"eps is {eps}, expected a positive number")
        self.eps = float(eps)

    def settings(self) -> tuple[str, list[float], bool, int]:
        """Return the settings of the next step, as the engine takes them."""
        numbers = [self.lr, *self.betas, self.eps, self.weight_decay]
        return "adam", numbers, self._decoupled, self.steps + 1


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: ``w *= 1 - lr * weight_decay`` at each step.

    Parameters
    ----------
    lr : float or Schedule, default 1e-3
        Learning rate, 0 or more.
    betas : pair of float, default (0.9, 0.999)
        What is kept of both means at each step, from 0 to less than 1.
    eps : float, default 1e-8
        Added to the root; positive.
    weight_decay : float, default 0.01
        What the weight loses at each step, times the learning rate; 0 or more.
    clip_norm : float, optional
        If the norm of all gradients together is larger, they are scaled down to it.

    Raises
    ------
    DomainError
        If a setting is out of its range.

    References
    ----------
    I. Loshchilov, F. Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019, arXiv:1711.05101.
    """

    _decoupled = True

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay, clip_norm)


def optimizer(description: Mapping[str, Any]) -> Optimizer:
    """Return the optimizer that `Optimizer.describe` said this of, with nothing in its memory."""
    settings = dict(description)
    kinds: dict[str, type[SGD | Adam]] = {"SGD": SGD, "Adam": Adam, "AdamW": AdamW}
    kind, steps = kinds[settings.pop("kind")], settings.pop("steps")
    made = kind(schedule(settings.pop("lr")), **settings)
    made.steps = steps
    return made


def _least(name: str, value: float, least: float, end: float = math.inf) -> float:
    if not least <= value < end:
        expected = f"{least} or more" if end == math.inf else f"from {least} to less than {end}"
        raise DomainError(f"{name} is {value}, expected a number {expected}")
    return float(value)


def _shares(weights: Sequence[float] | None, count: int) -> tuple[list[float], float]:
    """Return what each shard is multiplied by, and their sum, for a mean."""
    if count == 0:
        raise ShapeError("gradients has no shards, expected at least one")
    if weights is None:
        return [1.0] * count, 1 / count
    shares = [float(weight) for weight in weights]
    if len(shares) != count:
        raise ShapeError(f"weights has {len(shares)} numbers, gradients has {count} shards")
    bad = next((i for i, w in enumerate(shares) if not (w >= 0 and math.isfinite(w))), None)
    if bad is not None:
        raise DomainError(f"weights[{bad}] is {shares[bad]}, expected a finite number, 0 or more")
    if not sum(shares) > 0:
        raise DomainError("weights are all 0, expected one that is positive")
    return shares, 1 / sum(shares)
