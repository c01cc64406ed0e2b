"""What counts as a model: an object that predicts, or a function."""

from collections.abc import Callable
from typing import Any

from threadwise.errors import DTypeError

__all__ = ["predictor"]


def predictor(model: Any, name: str = "model") -> Callable[[Any], Any]:
    """Return what makes the predictions of a model: its method ``predict``, or itself.

    Raises
    ------
    DTypeError
        If it has no such method and cannot be called.
    """
    predict = getattr(model, "predict", model)
    if isinstance(model, type) or not callable(predict):
        what = f"the class {model.__name__}" if isinstance(model, type) else repr(model)
        raise DTypeError(f"{name} is {what}, expected an object with predict, or a function")
    found: Callable[[Any], Any] = predict
    return found
