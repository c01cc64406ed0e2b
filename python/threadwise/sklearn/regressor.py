"""`MLPRegressor`: numbers by a network, for scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from threadwise._arguments import whole, word
from threadwise.inference import predict_with_uncertainty
from threadwise.sklearn.network import Network

__all__ = ["MLPRegressor"]


class MLPRegressor(RegressorMixin, Network):  # type: ignore[misc] # untyped
    """A network that tells numbers, and how sure it is, as an estimator of scikit-learn.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (100,)
        Units of each hidden layer.
    activation : str, default "relu"
        The function of hidden layers, as of `threadwise.train.MLP`.
    loss : {"mse", "huber"}, default "mse"
        What is made small.
    samples : int, default 50
        Of Monte Carlo dropout, for ``predict(X, return_std=True)``.
    dropout, solver, alpha, batch_size, learning_rate_init, momentum, max_iter, shuffle : optional
        As of `MLPClassifier`.
    random_state, tol, n_iter_no_change, early_stopping, validation_fraction : optional
        As of `MLPClassifier`.
    dtype, threads : optional
        As of `MLPClassifier`.

    Attributes
    ----------
    model_ : threadwise.train.MLP
        The network.
    n_iter_ : int
        Epochs.
    loss_curve_ : list of float
        The loss of each.
    loss_ : float
        The last one.
    validation_losses_ : list of float or None
        The losses of the rows that were set aside.
    n_features_in_ : int
        Columns.

    Examples
    --------
    >>> import numpy as np
    >>> from threadwise.sklearn import MLPRegressor
    >>> x = np.random.default_rng(0).normal(size=(300, 2))
    >>> y = x[:, 0] - x[:, 1]
    >>> model = MLPRegressor(
    ...     (64,), dropout=0.1, learning_rate_init=0.01, tol=1e-2, random_state=0
    ... ).fit(x, y)
    >>> mean, std = model.predict(x, return_std=True)
    >>> mean.shape, std.shape, bool((std > 0).all())
    ((300,), (300,), True)
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        loss: Literal["mse", "huber"] = "mse",
        samples: int = 50,
        dropout: float | Sequence[float] = 0.0,
        solver: Literal["adamw", "sgd"] = "adamw",
        alpha: float = 1e-4,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate_init: float = 1e-3,
        momentum: float = 0.9,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        dtype: Literal["float32", "float64"] = "float32",
        threads: int | None = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            activation,
            dropout=dropout,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate_init=learning_rate_init,
            momentum=momentum,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            dtype=dtype,
            threads=threads,
        )
        self.loss = loss
        self.samples = samples

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - scikit-learn's name
        """Train with rows and their numbers.

        Parameters
        ----------
        X : array_like, shape (n, features)
            Rows.
        y : array_like, shape (n,) or (n, outputs)
            Numbers.

        Returns
        -------
        MLPRegressor
            Itself.

        Raises
        ------
        ValueError
            If rows and numbers do not fit, or a setting makes no sense.
        """
        word("loss", self.loss, ("mse", "huber"))
        X, y = validate_data(  # noqa: N806 - scikit-learn's name
            self, X, y, dtype=self.dtype, multi_output=True, y_numeric=True
        )
        y = np.asarray(y, self.dtype)
        self._is_flat = y.ndim == 1
        self._train(X, y, 1 if y.ndim == 1 else y.shape[1], self.loss)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:  # noqa: N803 - scikit-learn's name
        """Return the numbers for each row, and how sure the network is.

        Parameters
        ----------
        X : array_like, shape (n, features)
            Rows.
        return_std : bool, default False
            Whether to return mean and standard deviation of `samples` predictions with hidden units
            left out at random (Monte Carlo dropout), which needs `dropout` above 0. Which ones
            follows from `random_state` and the number of the row.

        Returns
        -------
        ndarray of float64, shape (n,) or (n, outputs), or two of them
            The numbers; with `return_std` mean and deviation.

        Raises
        ------
        DomainError
            If deviations are asked for and nothing in the network is random.
        """
        if not return_std:
            return self._shaped(self._outputs(X))
        rows, samples = self._rows(X), whole("samples", self.samples, 2)
        found = predict_with_uncertainty(
            self.model_, rows, samples=samples, seed=self.seed_, threads=self.threads
        )
        return self._shaped(found.mean), self._shaped(found.std)

    def _shaped(self, values: Any) -> Any:
        wide = values.astype(np.float64)  # as scikit-learn wants it
        return wide[:, 0] if self._is_flat else wide

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
