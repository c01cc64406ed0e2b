"""Types of arguments, for annotations."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FloatArray", "FloatArrayLike"]

FloatArray: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
"""An array of float32 or float64."""

FloatArrayLike: TypeAlias = ArrayLike
"""What `numpy.asarray` turns into a `FloatArray`."""
