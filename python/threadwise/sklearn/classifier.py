"""`MLPClassifier`: classes by a network, for scikit-learn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from threadwise.sklearn.network import Network

__all__ = ["MLPClassifier"]


class MLPClassifier(ClassifierMixin, Network):  # type: ignore[misc] # untyped
    """A network that tells classes, as an estimator of scikit-learn.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (100,)
        Units of each hidden layer.
    activation : str, default "relu"
        The function of hidden layers, as of `threadwise.train.MLP`.
    dropout : float or sequence of float, default 0
        The share of hidden units that is left out in training.
    solver : {"adamw", "sgd"}, default "adamw"
        Which optimizer.
    alpha : float, default 1e-4
        Its weight decay.
    batch_size : int or "auto", default "auto"
        Rows of a batch; "auto" is 200, or all if there are less.
    learning_rate_init : float, default 1e-3
        The learning rate.
    momentum : float, default 0.9
        Of "sgd".
    max_iter : int, default 200
        The most epochs.
    shuffle : bool, default True
        Whether each epoch has an order of its own.
    random_state : int, RandomState or None, default None
        What first weights, orders and masks depend on.
    tol : float, default 1e-4
        By how much the loss must fall to count as falling.
    n_iter_no_change : int, default 10
        Epochs in which the loss does not fall, after which training stops.
    early_stopping : bool, default False
        Whether the loss is that of rows that are set aside, and the best weights are kept.
    validation_fraction : float, default 0.1
        Their share.
    dtype : {"float32", "float64"}, default "float32"
        In which the network computes; rows are converted.
    threads : int, optional
        How many threads may take part. By default what `threadwise.get_num_threads` says. They
        change no bit.

    Attributes
    ----------
    classes_ : ndarray
        The labels.
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
    >>> from threadwise.sklearn import MLPClassifier
    >>> x = np.random.default_rng(0).normal(size=(300, 2))
    >>> y = np.where(x[:, 0] > x[:, 1], "right", "left")
    >>> model = MLPClassifier((32,), learning_rate_init=0.01, tol=1e-2, random_state=0).fit(x, y)
    >>> model.score(x, y) > 0.9
    True
    """

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - scikit-learn's name
        """Train with rows and their labels.

        Parameters
        ----------
        X : array_like, shape (n, features)
            Rows.
        y : array_like, shape (n,)
            Labels.

        Returns
        -------
        MLPClassifier
            Itself.

        Raises
        ------
        ValueError
            If rows and labels do not fit, or a setting makes no sense.
        """
        X, y = validate_data(self, X, y, dtype=self.dtype)  # noqa: N806 - scikit-learn's name
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._train(X, codes.astype(np.int64), len(self.classes_), "cross_entropy")
        return self

    def predict_proba(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        """Return the probability of each class.

        Parameters
        ----------
        X : array_like, shape (n, features)
            Rows.

        Returns
        -------
        ndarray, shape (n, classes)
            In the order of `classes_`.
        """
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        """Return the logarithms of ``predict_proba(X)``, which are right where those are 0."""
        logits = self._outputs(X).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    def predict(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        """Return the likeliest label of each row.

        Parameters
        ----------
        X : array_like, shape (n, features)
            Rows.

        Returns
        -------
        ndarray, shape (n,)
            Of `classes_`.
        """
        best = self._outputs(X).argmax(axis=1)
        return self.classes_[best]
