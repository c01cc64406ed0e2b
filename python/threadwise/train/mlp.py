"""A network of layers: a product, a bias and a function each."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from threadwise import _threadwise
from threadwise.errors import DomainError, DTypeError, ShapeError
from threadwise.train.layers import Layers
from threadwise.train.losses import LossLike, Wanted, wanted
from threadwise.train.optimizers import Optimizer

__all__ = ["MLP", "Gradients"]


class Gradients(dict[str, NDArray[Any]]):
    """Derivatives of a mean loss by each parameter, by its name.

    Parameters
    ----------
    arrays : mapping of ndarray
        The derivatives.
    loss : float
        The mean loss of the rows.
    rows : int
        How many rows there were.
    """

    loss: float
    """The mean loss of the rows."""
    rows: int
    """How many rows there were: what these gradients count beside those of other shards."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], loss: float, rows: int) -> None:
        super().__init__(arrays)
        self.loss, self.rows = loss, rows


class MLP(Layers):
    r"""A multilayer perceptron with exact gradients, computed outside of Python's lock.

    Layer l gives :math:`h_l = d_l \odot f(h_{l-1} W_l^T + b_l)`, with dropout masks :math:`d_l` in
    training and in sampling only; the last layer has neither function nor mask.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, units of each hidden layer, outputs: at least two numbers, each positive.
    activation : str, default "relu"
        The function of hidden layers: "relu", "gelu", "gelu_tanh", "silu", "tanh", "logistic" or
        "identity".
    dropout : float or sequence of float, default 0
        The share of hidden units that is left out, for all hidden layers or for each; from 0 to
        less than 1. What is kept is scaled by 1/(1 - p).
    seed : int, default 0
        What first weights and masks are functions of; from 0 to 2**64 - 1.
    dtype : dtype, default float32
        float32 or float64: of parameters, inputs and outputs.

    Raises
    ------
    DomainError
        If a size, a share or the seed is out of its range, or there is no such function.
    DTypeError
        If the dtype is another one.

    Notes
    -----
    First weights are uniform with variance 2/inputs for relu and its kin (K. He and others, ICCV
    2015), 2/(inputs + outputs) for the others (X. Glorot, Y. Bengio, AISTATS 2010); biases are 0.

    Masks are functions of seed, step, layer, row and unit by a counter-based generator (J. Salmon
    and others, SC 2011), so neither threads nor the order of computation matter. Sums over a batch
    are made in the order of its rows: 1, 2 and 4 threads train the same bits. An output of
    `predict` has the same bits in whatever batch its row is.

    A call that computes releases Python's lock. Calls that only read may run side by side, on
    the same model; a step is refused while another one runs. If Ctrl-C ends a step, some
    parameters have made it and others have not.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> x = np.random.default_rng(0).standard_normal((200, 2), np.float32)
    >>> y = (x[:, 0] > x[:, 1]).astype(np.int64)
    >>> model = tw.train.MLP([2, 16, 2])
    >>> optimizer = tw.train.AdamW(0.01)
    >>> losses = [model.train_step(x, y, optimizer) for _ in range(200)]
    >>> bool(losses[-1] < 0.1)
    True
    """

    def predict(
        self, x: ArrayLike, *, out: NDArray[Any] | None = None, threads: int | None = None
    ) -> NDArray[Any]:
        """Return the outputs for each row of `x`, without masks.

        Parameters
        ----------
        x : ndarray of the model's dtype, or float32, shape (rows, inputs)
            Any strides.
        out : ndarray, shape (rows, outputs), optional
            Where they go; contiguous by rows.
        threads : int, optional
            How many threads may take part. Bits depend on them no more than on the other rows.

        Returns
        -------
        ndarray, shape (rows, outputs)
            What the last layer gives: logits, where the loss is a cross entropy.

        Raises
        ------
        ShapeError
            If `x` has not two axes, or other columns than the model has inputs.
        DTypeError
            If `x` is of another dtype; nothing is cast silently.
        """
        return self._forward(x, None, out, threads)

    def sample(
        self,
        x: ArrayLike,
        number: int,
        *,
        seed: int = 0,
        first_row: int = 0,
        threads: int | None = None,
    ) -> NDArray[Any]:
        """Return the outputs for each row of `x` with the dropout masks of sample `number`.

        It is one whole pass; `monte_carlo` gives the same bits for many, sooner. `x`, `seed`,
        `first_row`, `threads` and errors are those of `monte_carlo`.
        """
        return self._forward(x, (seed, number, first_row), None, threads)

    def _forward(
        self,
        x: ArrayLike,
        sample: tuple[int, int, int] | None,
        out: NDArray[Any] | None,
        threads: int | None,
    ) -> NDArray[Any]:
        made: NDArray[Any] = _threadwise.network_forward(
            self._description(), self._arrays(), self._inputs(x), sample, out, threads
        )
        return made

    def monte_carlo(
        self,
        x: ArrayLike,
        samples: int = 50,
        seed: int = 0,
        *,
        first_row: int = 0,
        threads: int | None = None,
    ) -> NDArray[Any]:
        """Return the outputs of many samples, each with dropout masks of its own.

        What comes before the first mask is computed once. Without dropout all samples are the same.

        Parameters
        ----------
        x : ndarray of the model's dtype, or float32, shape (rows, inputs)
            Any strides.
        samples : int, default 50
            How many; 0 or more.
        seed : int, default 0
            What masks are functions of, with the number of the sample, of the layer, of the row
            and of the unit; from 0 to 2**64 - 1.
        first_row : int, default 0
            The number of the first row: a batch that is computed in parts has the masks that it
            has as a whole, if each part says where it begins.
        threads : int, optional
            How many threads may take part; bits do not depend on it.

        Returns
        -------
        ndarray, shape (samples, rows, outputs)
            Sample i is ``self.sample(x, i, seed=seed, first_row=first_row)``, bit for bit.

        Raises
        ------
        ShapeError, DTypeError
            As `predict`.
        DomainError
            If `samples`, `seed` or `first_row` is out of its range.

        References
        ----------
        Y. Gal, Z. Ghahramani, *Dropout as a Bayesian Approximation*, ICML 2016.
        """
        if samples < 0 or first_row < 0 or not 0 <= seed < 2**64:
            raise DomainError(
                f"samples is {samples}, first_row {first_row} and seed {seed}, expected 0 or more, "
                "and a seed below 2**64"
            )
        x = self._inputs(x)
        made: NDArray[Any] = _threadwise.network_monte_carlo(
            self._description(), self._arrays(), x, samples, seed, first_row, threads
        )
        return made.reshape(samples, len(x), self._sizes[-1])

    def gradients(
        self, x: ArrayLike, y: ArrayLike, loss: LossLike = None, *, threads: int | None = None
    ) -> Gradients:
        """Return the derivatives of the mean loss by all parameters, without masks.

        Parameters
        ----------
        x : ndarray of the model's dtype, or float32, shape (rows, inputs)
            At least one row.
        y : ndarray of int, shape (rows,); or of float, shape (rows, outputs)
            Labels from 0, for the cross entropy; or a number for each output: with the cross
            entropy its share, with "bce" 0 to 1. With one output the second axis may be missing.
        loss : {"cross_entropy", "mse", "huber", "bce"} or Huber, optional
            The first takes the softmax of the outputs, "bce" the logistic function of each. By
            default "cross_entropy" for labels, "mse" for numbers. It is a mean over the rows, and
            but for the first over the outputs, too.
        threads : int, optional
            How many threads may take part; bits do not depend on it.

        Returns
        -------
        Gradients
            A dict of arrays by the parameters' names, with the mean loss as its attribute `loss`.

        Raises
        ------
        ShapeError
            If `x` or `y` does not fit, or there are no rows.
        DTypeError
            If a dtype is another one.
        DomainError
            If a label is not the number of an output, or there is no such loss.
        """
        x, target = self._operands(x, y, loss)
        value, arrays = _threadwise.network_gradients(
            self._description(), self._arrays(), x, target, threads
        )
        return Gradients(dict(zip(self._parameters, arrays, strict=True)), value, len(x))

    def sample_gradients(
        self, x: ArrayLike, y: ArrayLike, loss: LossLike = None, *, threads: int | None = None
    ) -> dict[str, NDArray[Any]]:
        """Return the derivatives of each row's own loss by all parameters, without masks.

        `x`, `y`, `loss`, `threads` and errors are those of `gradients`. Each array has an axis for
        the rows before those of its parameter; their mean over it is what `gradients` returns, but
        for rounding.
        """
        x, target = self._operands(x, y, loss)
        arrays = _threadwise.network_each_gradient(
            self._description(), self._arrays(), x, target, threads
        )
        return dict(zip(self._parameters, arrays, strict=True))

    def train_step(
        self,
        x: ArrayLike,
        y: ArrayLike,
        optimizer: Optimizer,
        loss: LossLike = None,
        *,
        threads: int | None = None,
    ) -> float:
        """Make a step with one batch, and return its mean loss before the step.

        Parameters but `optimizer`, and errors, are those of `gradients`. Gradients of each part of
        a weight become a step while they are in the cache; only if the optimizer clips, all of them
        are written first.

        Parameters
        ----------
        x, y : ndarray
            The batch.
        optimizer : Optimizer
            One that has stepped no other model.
        loss : str or Huber, optional
            What is made small.
        threads : int, optional
            How many threads may take part; bits do not depend on it.

        Returns
        -------
        float
            The mean loss, with the masks of this step.

        Raises
        ------
        LayoutError
            If another call is training the model.
        """
        (value,) = self.train_batches(x, y, optimizer, loss, threads=threads)
        return value

    def train_batches(
        self,
        x: ArrayLike,
        y: ArrayLike,
        optimizer: Optimizer,
        loss: LossLike = None,
        *,
        rows: NDArray[np.int64] | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
    ) -> list[float]:
        """Make a step with each batch of rows, in one call, and return their losses.

        Parameters but those below, and errors, are those of `train_step`.

        Parameters
        ----------
        x, y : ndarray
            All rows.
        optimizer : Optimizer
            As for `train_step`.
        loss : str or Huber, optional
            As for `train_step`.
        rows : ndarray of int, shape (n,), optional
            The numbers of the rows of the first batch, of the second, and so on. By default all
            rows of `x` are one batch.
        batch_size : int, optional
            How many rows a batch has; the last has those that are left. By default all are one
            batch.
        threads : int, optional
            How many threads may take part; bits do not depend on it.

        Returns
        -------
        list of float
            The mean loss of each batch before its step.

        Raises
        ------
        DomainError
            If there is no such row, or `batch_size` is not positive.
        """
        x, target = self._operands(x, y, loss)
        if rows is None and batch_size is not None:
            rows = np.arange(len(x))
        count = len(x) if rows is None else len(rows)
        batch = count if batch_size is None else batch_size
        if batch < 1:
            raise DomainError(f"there are {count} rows in batches of {batch}, expected 1 or more")
        optimizer.remember(self._parameters)
        first = optimizer.steps
        rates = [optimizer.schedule(first + i) for i in range(-(-count // batch))]
        states = list(zip(*(optimizer.state[name] for name in self._parameters), strict=True))
        losses: list[float] = _threadwise.network_train(
            self._description(),
            self._arrays(),
            [list(state) for state in states],
            x,
            target,
            (rows, batch, optimizer.settings(), rates, optimizer.clip_norm, first),
            threads,
        )
        optimizer.steps += len(losses)
        return losses

    def _inputs(self, x: ArrayLike) -> NDArray[Any]:
        x = np.asarray(x)
        if x.ndim != 2 or x.shape[1] != self._sizes[0]:
            raise ShapeError(
                f"x has shape {x.shape}, expected (rows, {self._sizes[0]}), a column for each input"
            )
        if x.dtype.kind == "f" and x.dtype.itemsize > self._dtype.itemsize:
            raise DTypeError(
                f"x has dtype {x.dtype}, expected {self._dtype} like the model: nothing is cast "
                f"silently, pass x.astype({self._dtype.name!r}), or make a model of float64"
            )
        return x

    def _operands(self, x: ArrayLike, y: ArrayLike, loss: LossLike) -> tuple[NDArray[Any], Wanted]:
        x, target = self._inputs(x), wanted(y, loss, self._sizes[-1], self._dtype)
        if len(x) != len(target.y):
            raise ShapeError(f"x has {len(x)} rows, y has {len(target.y)}: they must be equal")
        if not len(x):
            raise ShapeError("x has no rows, expected at least one")
        return x, target
