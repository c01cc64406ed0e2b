"""Quantization: weights in 2, 3, 4 or 8 bits.

Imported when it is first asked for, and so is each of its modules.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

if _TYPE_CHECKING:
    from threadwise.quant.config import QuantConfig
    from threadwise.quant.loading import QuantizedModel, load_quantized
    from threadwise.quant.model import quantize_model
    from threadwise.quant.progress import Progress, ProgressBar
    from threadwise.quant.report import QuantReport, TensorReport
    from threadwise.quant.tensor import QuantizedTensor
    from threadwise.quant.validation import validate
    from threadwise.quant.weight import quantize

__all__ = [
    "Progress",
    "ProgressBar",
    "QuantConfig",
    "QuantReport",
    "QuantizedModel",
    "QuantizedTensor",
    "TensorReport",
    "load_quantized",
    "quantize",
    "quantize_model",
    "validate",
]

_LATE = {
    "config": ("QuantConfig",),
    "loading": ("QuantizedModel", "load_quantized"),
    "model": ("quantize_model",),
    "progress": ("Progress", "ProgressBar"),
    "report": ("QuantReport", "TensorReport"),
    "tensor": ("QuantizedTensor",),
    "validation": ("validate",),
    "weight": ("quantize",),
}


def __getattr__(name: str) -> _Any:
    for module, names in _LATE.items():
        if name in names:
            found = getattr(_import_module(f"threadwise.quant.{module}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module 'threadwise.quant' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
