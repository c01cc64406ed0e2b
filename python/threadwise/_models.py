"""What counts as a model: an object that predicts, a function, or a network's pass forwards."""

from collections.abc import Callable
from typing import Any

from threadwise.errors import DTypeError

__all__ = ["predictor"]


def predictor(model: Any, name: str = "model") -> Callable[[Any], Any]:
    """Return what makes predictions: the method ``predict``, the model itself, or ``forward``.

    Raises
    ------
    DTypeError
        If it has none of them.
    """
    predict = getattr(model, "predict", model)
    if not callable(predict):
        predict = getattr(model, "forward", None)
    if isinstance(model, type) or not callable(predict):
        what = f"the class {model.__name__}" if isinstance(model, type) else repr(model)
        raise DTypeError(f"{name} is {what}, expected an object with predict, or a function")
    found: Callable[[Any], Any] = predict
    return found
