"""What the estimators have in common: settings, and how a network is trained with them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from threadwise._arguments import whole, word
from threadwise.errors import DomainError
from threadwise.train import MLP, SGD, AdamW, EarlyStopping, Huber, fit

__all__ = ["Network"]

SOLVERS = ("adamw", "sgd")


class Network(BaseEstimator):  # type: ignore[misc] # untyped
    """Settings of a network, and its training."""

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
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
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.momentum = momentum
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.dtype = dtype
        self.threads = threads

    def _train(self, x: Any, y: Any, outputs: int, loss: str | Huber) -> None:
        """Train a network of so many outputs, and keep what came of it."""
        word("dtype", self.dtype, ("float32", "float64"))
        epochs = whole("max_iter", self.max_iter, 1)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        hidden = self.hidden_layer_sizes
        layers = [hidden] if isinstance(hidden, int | np.integer) else [*hidden]
        sizes = [x.shape[1], *(whole("hidden_layer_sizes", size, 1) for size in layers), outputs]
        network = MLP(sizes, self.activation, self.dropout, seed, self.dtype)
        history = fit(
            network,
            (x, y),
            self._optimizer(),
            epochs=epochs,
            batch_size=self._batch_size(len(x)),
            loss=loss,
            validation=self.validation_fraction if self.early_stopping else None,
            shuffle=self.shuffle,
            seed=seed,
            early_stopping=EarlyStopping(
                patience=whole("n_iter_no_change", self.n_iter_no_change, 1),
                min_delta=self.tol,
                restore_best=self.early_stopping,
            ),
            threads=self.threads,
        )
        self.model_ = network
        self.seed_ = seed
        self.loss_curve_ = history.losses
        self.loss_ = self.loss_curve_[-1]
        self.n_iter_ = len(self.loss_curve_)
        self.validation_losses_ = (
            [report.validation_loss for report in history.epochs] if self.early_stopping else None
        )
        if self.n_iter_ == epochs and not history.stopped_early:
            warnings.warn(
                f"the loss still fell after {epochs} epochs: raise max_iter, or tol",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _optimizer(self) -> SGD | AdamW:
        word("solver", self.solver, SOLVERS)
        if self.solver == "sgd":
            return SGD(self.learning_rate_init, momentum=self.momentum, weight_decay=self.alpha)
        return AdamW(self.learning_rate_init, weight_decay=self.alpha)

    def _batch_size(self, rows: int) -> int:
        if isinstance(self.batch_size, str):
            if self.batch_size != "auto":
                expected = "expected a whole number or 'auto'"
                raise DomainError(f"batch_size is {self.batch_size!r}, {expected}")
            return min(200, rows)
        return min(whole("batch_size", self.batch_size, 1), rows)

    def _rows(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        """Return rows as the network takes them."""
        check_is_fitted(self)
        return validate_data(self, X, reset=False, dtype=self.dtype)

    def _outputs(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        rows = self._rows(X)
        return self.model_.predict(rows, threads=self.threads)
