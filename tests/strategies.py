"""The inputs of the tests: shapes that multiply, numbers, and every way they can lie in memory."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import DTypeLike, NDArray

__all__ = [
    "DTYPES",
    "LAYOUTS",
    "LONG",
    "WRITABLE_LAYOUTS",
    "Array",
    "Shape",
    "any_arrays",
    "any_floats",
    "arrays",
    "dtypes",
    "linear_shapes",
    "matmul_shapes",
    "misaligned",
    "normal",
    "overlapping_views",
    "repeated",
    "windows",
    "writable_layouts",
]

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
Cut: TypeAlias = tuple[Any, ...]  # slices, and an ellipsis that keeps an array without axes one

DTYPES = (np.float32, np.float64)
"""The types that operations compute in."""

LONG = (
    (1, 1000, 1),
    (1, 385, 700),
    (13, 384, 67),
    (13, 512, 67),
    (30, 1025, 40),
    (65, 769, 130),
    (193, 400, 515),
    (300, 301, 302),
    (1025, 40, 17),
)
"""Extents (m, k, n) around the edges of blocks, passes and pieces, and large enough for threads."""


def normal(shape: Shape, dtype: DTypeLike = np.float32, seed: int = 0) -> Array:
    """Numbers of the normal distribution; the same for the same seed."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def _around(shape: list[int], dtype: np.dtype[Any]) -> Array:
    """Fill with what shows if it is touched: NaN, or the largest integer."""
    is_integer = np.issubdtype(dtype, np.integer)
    return np.full(shape, np.iinfo(dtype).max if is_integer else np.nan, dtype)


def _stepped(values: Array) -> Array:
    around = _around([2 * n + 1 for n in values.shape], values.dtype)
    cut: Cut = (*(slice(1, 2 * n + 1, 2) for n in values.shape), ...)
    view: Array = around[cut]
    view[...] = values
    return view


def _sliced(values: Array) -> Array:
    around = _around([n + 3 for n in values.shape], values.dtype)
    cut: Cut = (*(slice(2, n + 2) for n in values.shape), ...)
    view: Array = around[cut]
    view[...] = values
    return view


def _backwards(values: Array) -> Array:
    reverse: Cut = (*[slice(None, None, -1)] * values.ndim, ...)
    return np.asarray(values[reverse]).copy()[reverse]


def _axes_moved(values: Array) -> Array:
    if values.ndim < 2:
        return values.copy()
    return np.moveaxis(np.moveaxis(values, -1, 0).copy(), 0, -1)


def _last_axes_swapped(values: Array) -> Array:
    return values.copy() if values.ndim < 2 else values.swapaxes(-1, -2).copy().swapaxes(-1, -2)


def _field_of_records(values: Array) -> Array:
    records = np.zeros(values.shape, [("before", values.dtype), ("it", values.dtype), ("x", "V16")])
    records["it"] = values
    return records["it"]


def _odd_strides_of_lone_axes(values: Array) -> Array:
    # Along an axis of extent 1 no step is ever taken: NumPy calls the array aligned whatever it is.
    copy = values.copy()
    strides = [
        step + 1 if n == 1 else step for n, step in zip(copy.shape, copy.strides, strict=True)
    ]
    return np.lib.stride_tricks.as_strided(copy, strides=strides)


def _read_only(values: Array) -> Array:
    copy = values.copy()
    copy.flags.writeable = False
    return copy


WRITABLE_LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "rows": lambda values: values.copy(order="C"),
    "columns": lambda values: values.copy(order="F"),
    "last axes swapped": _last_axes_swapped,
    "axes moved": _axes_moved,
    "stepped": _stepped,
    "sliced": _sliced,
    "backwards": _backwards,
    "field of records": _field_of_records,
}
"""Each gives an array of the same values that lies in memory in another way; what lies between its
elements is NaN, or the largest integer, so that it shows if it is touched."""

LAYOUTS = WRITABLE_LAYOUTS | {
    "read-only": _read_only,
    "odd strides of lone axes": _odd_strides_of_lone_axes,
}

dtypes = st.sampled_from(DTYPES)
writable_layouts = st.sampled_from(sorted(WRITABLE_LAYOUTS)).map(WRITABLE_LAYOUTS.__getitem__)
_layouts = st.sampled_from(sorted(LAYOUTS)).map(LAYOUTS.__getitem__)
_extents = st.one_of(st.integers(0, 9), st.integers(0, 70))


def repeated(values: Array, axis: int) -> Array:
    """Put the first values along `axis` in the place of all: a view of stride 0."""
    first = values.take([0] if values.shape[axis] else [], axis=axis)
    return np.broadcast_to(first, values.shape)


@st.composite
def arrays(draw: st.DrawFn, shape: Shape, dtype: DTypeLike) -> Array:
    """Arrays of a shape: numbers of any scale that squares stay finite for, in any layout."""
    scale = 10.0 ** draw(st.integers(-6, 6))
    values = (normal(shape, np.float64, draw(st.integers(0, 999))) * scale).astype(dtype)
    if shape and draw(st.integers(0, 9)) == 9:
        return repeated(values, draw(st.integers(0, len(shape) - 1)))
    return draw(_layouts)(values)


@st.composite
def matmul_shapes(draw: st.DrawFn) -> tuple[Shape, Shape]:
    """Shapes that multiply: with and without batch axes to broadcast, with one axis, empty."""
    m, k, n = draw(_extents), draw(_extents), draw(_extents)
    batch = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, min_side=0, max_side=3)
    left, right = draw(batch).input_shapes
    kind = draw(st.sampled_from(["matrices", "batches", "row", "column", "both"]))
    if kind == "matrices":
        return (m, k), (k, n)
    return (
        (k,) if kind in ("row", "both") else (*left, m, k),
        (k,) if kind in ("column", "both") else (*right, k, n),
    )


@st.composite
def linear_shapes(draw: st.DrawFn) -> tuple[Shape, Shape]:
    """Shapes of an input of one to four axes and of a weight that go together."""
    features, outputs = draw(_extents), draw(_extents)
    rows = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6))
    return (*rows, features), (outputs, features)


def misaligned(shape: Shape, dtype: DTypeLike = np.float32) -> Array:
    """Ones that lie one byte beside where they should."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    array = np.zeros(size + 1, np.uint8)[1:].view(dtype).reshape(shape)
    array[...] = 1
    return array


_any_shapes = st.one_of(
    st.sampled_from([(2, 2), (3, 3), (2,), (), (0, 2), (2, 0), (1, 2, 2), (90, 90), (3, 90, 90)]),
    hnp.array_shapes(min_dims=0, max_dims=6, min_side=0, max_side=4),
)

any_arrays = hnp.arrays(
    st.one_of(hnp.scalar_dtypes(), hnp.array_dtypes(max_size=2), dtypes), _any_shapes
)
"""Arrays of any dtype but object, whose elements would run code of their own."""


@st.composite
def any_floats(draw: st.DrawFn) -> Array:
    """Arrays of our types, in layouts that are taken and in some that are not."""
    values = normal(draw(_any_shapes), draw(dtypes))
    kind = draw(st.sampled_from([*LAYOUTS, "misaligned", "repeated", "swapped", "many axes"]))
    if kind == "misaligned":
        return misaligned(values.shape, values.dtype)
    if kind == "repeated":
        return repeated(values, 0) if values.ndim else values
    if kind == "swapped":
        return values.astype(values.dtype.newbyteorder("S"))
    if kind == "many axes":
        return values.reshape(*values.shape, *[1] * (32 - values.ndim - draw(st.integers(0, 2))))
    return LAYOUTS[kind](values)


_memory = st.shared(dtypes.map(lambda dtype: np.ones(400, dtype)), key="memory")


@st.composite
def windows(draw: st.DrawFn, axes: int | None = None) -> Array:
    """View one memory by any strides: the views overlap one another, and themselves."""
    memory = draw(_memory)
    few, many = axes or 1, axes or 3
    shape = draw(hnp.array_shapes(min_dims=few, max_dims=many, min_side=0, max_side=5))
    steps = draw(st.lists(st.integers(-8, 8), min_size=len(shape), max_size=len(shape)))
    strides = [step * memory.itemsize for step in steps]
    return np.lib.stride_tricks.as_strided(memory[200:], shape, strides)


def overlapping_views(n: int, dtype: DTypeLike = np.float32) -> dict[str, tuple[Array, Array]]:
    """Pairs of n by n arrays of ones that share elements, by what they are."""
    shifted = np.ones(n * n + 3, dtype)
    wide = np.ones((2 * n, 2 * n), dtype)
    same = np.ones((n, n), dtype)
    return {
        "the same": (same, same),
        "transposed": (same, same.T),
        "shifted": (shifted[: n * n].reshape(n, n), shifted[3:].reshape(n, n)),
        "a corner": (wide[:n, :n], wide[n - 1 : 2 * n - 1, n - 1 : 2 * n - 1]),
    }
