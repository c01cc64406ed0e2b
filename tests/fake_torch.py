"""A library to race against where the real one is not installed."""

from pathlib import Path

__all__ = ["install_torch"]

_TORCH = '''
"""As much of PyTorch as the bench uses, by NumPy."""
import numpy as np

__version__ = "0.0.fake"
float32, float64, float16, int8 = np.float32, np.float64, np.float16, np.int8
bfloat16 = "bfloat16"
OFF = {off}


class Tensor:
    def __init__(self, array):
        self.array = array
        self.dtype = "torch." + str(array.dtype)

    def to(self, dtype):
        if dtype == bfloat16:
            raise RuntimeError("NumPy has no such dtype")
        return Tensor(self.array.astype(dtype))

    def double(self):
        return self.to(np.float64)

    def numpy(self):
        return self.array


class nn:
    class functional:
        @staticmethod
        def linear(x, weight):
            return Tensor(x.array @ weight.array.T)


def from_numpy(array):
    return Tensor(array)


def matmul(a, b):
    return Tensor(a.array @ b.array + a.array.dtype.type(OFF))


def _int_mm(a, b):
    if a.array.shape[0] == 3:
        raise RuntimeError("three rows are too many\\nC++ stack")
    return Tensor(np.matmul(a.array, b.array, dtype=np.int32))


def set_grad_enabled(wanted):
    assert not wanted


def get_num_threads():
    return 7
'''


def install_torch(folder: Path, *, off: float = 0.0) -> str:
    """Write a module ``torch`` into `folder`, whose products are `off`; return the folder."""
    (folder / "torch.py").write_text(_TORCH.format(off=off), "utf-8")
    return str(folder)
