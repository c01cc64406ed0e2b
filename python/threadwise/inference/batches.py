"""`predict_batches`: what a model says of many batches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from threadwise._mapped import Mapped, mapped
from threadwise._models import predictor
from threadwise._progress import Progress
from threadwise.errors import ShapeError
from threadwise.parallel.calls import Failure

__all__ = ["Predictions", "predict_batches"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Predictions(Mapped):
    """What `predict_batches` found: a sequence with the prediction of each batch."""

    def concatenate(self) -> Any:
        """Return the predictions of all batches as one array, row below row.

        Returns
        -------
        ndarray
            A new array. Batches that failed are left out.

        Raises
        ------
        ShapeError
            If there is none, or they differ in more than their rows.
        """
        found = [np.asarray(each) for each in self.values if not isinstance(each, Failure)]
        if not found:
            raise ShapeError("there are no predictions, expected those of at least one batch")
        for index, each in enumerate(found):
            if each.shape[1:] != found[0].shape[1:] or each.ndim == 0:
                raise ShapeError(
                    f"prediction {index} has shape {each.shape}, prediction 0 has "
                    f"{found[0].shape}: they may differ in the first axis alone"
                )
        return np.concatenate(found)


def predict_batches(
    model: Any,
    batches: Iterable[Any],
    *,
    threads: int | None = None,
    progress: Progress = None,
    on_error: Literal["raise", "collect"] = "raise",
) -> Predictions:
    """Return what a model predicts for each batch, in their order.

    Parameters
    ----------
    model : model or callable
        An object with a method ``predict``, a function of a batch, or a language model, whose
        ``forward`` is called. Several threads may call it at once.
    batches : iterable
        Also a generator, or a `threadwise.data.DataLoader`; taken from by one thread at a time.
    threads : int, optional
        How many batches at a time, from 1 to 1024. By default what `threadwise.get_num_threads`
        says.
    progress : bool or callable, optional
        True for a bar, or a function called as ``progress(done, total)`` on the calling thread;
        `total` is ``None`` where batches have no length.
    on_error : {"raise", "collect"}, default "raise"
        Whether the first error is raised, with a note that tells the batch, or a
        `threadwise.parallel.Failure` stands in the place of the prediction.

    Returns
    -------
    Predictions
        The predictions in the order of the batches, threads used.

    Raises
    ------
    DTypeError
        If `model` is neither a model nor a function, or an argument is of another type.
    DomainError
        If an argument is out of range.

    Notes
    -----
    Models of threadwise compute without Python's lock. They use threads within a batch, too; the
    batches share the budget where several at a time are faster (`threadwise.parallel.map`), and
    the bits are the same.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> found = tw.inference.predict_batches(np.negative, [np.ones(2), np.ones(1)])
    >>> found[1], found.concatenate()
    (array([-1.]), array([-1., -1., -1.]))
    """
    found = mapped(predictor(model), batches, threads, progress, on_error)
    return Predictions(
        values=found.values, threads=found.threads, cap=found.cap, seconds=found.seconds
    )
