"""Weights in few bits."""

from threadwise.quant.tensor import QuantizedTensor, quantize

__all__ = ["QuantizedTensor", "quantize"]
