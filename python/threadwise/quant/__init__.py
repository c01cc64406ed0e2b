"""Weights in few bits: how they are made, and what they stand for.

`quantize` makes a `QuantizedTensor` of a weight. Its arrays are what files hold, so that it can be
made of memory maps, too.
"""

from threadwise.quant.tensor import QuantizedTensor
from threadwise.quant.weight import quantize

__all__ = ["QuantizedTensor", "quantize"]
