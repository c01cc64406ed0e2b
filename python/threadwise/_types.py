"""Types of arguments, for annotations."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FactorArrayLike", "FloatArray", "FloatArrayLike", "ProductArray"]

FloatArray: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
"""An array of float32 or float64."""

FloatArrayLike: TypeAlias = ArrayLike
"""What `numpy.asarray` turns into a `FloatArray`."""

FactorArrayLike: TypeAlias = ArrayLike
"""What `numpy.asarray` turns into a factor of a product: see `threadwise.matmul`."""

ProductArray: TypeAlias = NDArray[Any]
"""An array of what a product may be: floating-point numbers, among them `ml_dtypes`', or int32."""
