"""The libraries that are timed: how each holds operands, and what its user would call.

Nothing here imports threadwise itself before it is asked to: the workers of other libraries run
this file too, perhaps in a Python where threadwise is not installed.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from threadwise.bench._cases import Case, DType, draw

__all__ = ["PEERS", "Name", "NumPy", "RefusedError", "Threadwise", "Torch", "open_library"]

Name: TypeAlias = Literal["threadwise", "numpy", "torch"]
PEERS: tuple[Name, ...] = ("numpy", "torch")

Call: TypeAlias = Callable[[Any, Any], Any]


class RefusedError(Exception):
    """A library does not do this, or is not there; the text is for people."""


class NumPy:
    """``numpy.matmul``, made to give the dtype of threadwise's result."""

    refusals: tuple[type[Exception], ...] = (RefusedError, TypeError)
    """What it raises where it does not take a dtype or a shape."""

    def __init__(self) -> None:
        self.version = np.__version__

    def threads(self) -> int | None:
        """Return how many it may use, where that is known."""
        if find_spec("threadpoolctl") is None:
            return None
        import threadpoolctl  # noqa: PLC0415 - optional

        pools = [
            cast("int | None", pool["num_threads"])
            for pool in threadpoolctl.threadpool_info()
            if pool["internal_api"] != "threadwise"
        ]
        return next(iter(pools), None)

    def operands(self, case: Case) -> tuple[Any, Any]:
        """Return the operands of `case` as this library has them."""
        left, right = draw(case)
        dtype = _numpy_dtype(case.dtype)
        return left.astype(dtype, copy=False), right.astype(dtype, copy=False)

    def product(self, case: Case) -> Call:
        """Return what a user would call with the operands of `case`."""
        if case.operation == "linear":
            return lambda x, weight: x @ weight.T
        if case.dtype == "int8":  # without a dtype, sums would wrap around at 127
            return lambda a, b: np.matmul(a, b, dtype=np.int32)
        if case.dtype == "bfloat16":  # NumPy multiplies it as float32
            dtype = _numpy_dtype(case.dtype)
            return lambda a, b: np.matmul(a, b).astype(dtype, copy=False)
        return np.matmul

    def widened(self, array: Any) -> NDArray[Any]:
        """Return `array` in float64."""
        return np.asarray(array).astype(np.float64)

    def dtype(self, array: Any) -> str:
        """Return the name of the dtype of `array`."""
        return str(array.dtype)


class Threadwise(NumPy):
    """``threadwise.matmul`` and ``threadwise.linear``."""

    def __init__(self) -> None:
        import threadwise as tw  # noqa: PLC0415 - see above

        self._tw = tw
        self.refusals = (RefusedError, tw.errors.DTypeError)
        self.version = tw.__version__

    def threads(self) -> int | None:
        """Return how many it may use."""
        return self._tw.get_num_threads()

    def product(self, case: Case) -> Call:
        """Return what a user would call with the operands of `case`."""
        return self._tw.linear if case.operation == "linear" else self._tw.matmul


class Torch(NumPy):
    """``torch.matmul`` without gradients, and for int8 ``torch._int_mm``."""

    def __init__(self) -> None:
        try:
            import torch  # noqa: PLC0415 - optional
        except ImportError as error:
            message = (
                f"PyTorch is left out: {error} in this Python (pip install torch, or name another "
                "Python that has it with --python torch=PATH)"
            )
            raise RefusedError(message) from None
        torch.set_grad_enabled(False)
        self.refusals = (RefusedError, RuntimeError)
        self._torch: Any = torch
        self.version = torch.__version__

    def threads(self) -> int | None:
        """Return how many it may use."""
        return cast("int", self._torch.get_num_threads())

    def operands(self, case: Case) -> tuple[Any, Any]:
        """Return the operands of `case` as tensors."""
        left, right = (self._torch.from_numpy(array) for array in draw(case))
        dtype = getattr(self._torch, case.dtype)
        return left.to(dtype), right.to(dtype)

    def product(self, case: Case) -> Call:
        """Return what a user would call with the operands of `case`."""
        if case.operation == "linear":
            return cast("Call", self._torch.nn.functional.linear)
        if case.dtype != "int8":
            return cast("Call", self._torch.matmul)
        if case.left or case.right or case.vector:
            message = "PyTorch multiplies int8 into int32 only for two matrices"
            raise RefusedError(message)
        return cast("Call", self._torch._int_mm)  # noqa: SLF001 - there is no public one

    def widened(self, array: Any) -> NDArray[Any]:
        """Return `array` in float64."""
        return cast("NDArray[Any]", array.double().numpy())

    def dtype(self, array: Any) -> str:
        """Return the name of the dtype of `array`."""
        return str(array.dtype).removeprefix("torch.")


def open_library(name: Name) -> NumPy:
    """Return the library of that name.

    Raises
    ------
    RefusedError
        If it is not there.
    """
    return {"threadwise": Threadwise, "numpy": NumPy, "torch": Torch}[name]()


def _numpy_dtype(name: DType) -> Any:
    if name != "bfloat16":
        return np.dtype(name)
    if find_spec("ml_dtypes") is None:
        message = "bfloat16 arrays need ml_dtypes: pip install ml_dtypes"
        raise RefusedError(message)
    import ml_dtypes  # noqa: PLC0415 - optional

    return np.dtype(ml_dtypes.bfloat16)
