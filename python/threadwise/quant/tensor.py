"""Arrays of weights in few bits, and how they are made."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from threadwise._threadwise import dequantize as _dequantize
from threadwise.errors import DTypeError, ShapeError
from threadwise.quant._arguments import bits_of, group_of
from threadwise.quant.products import Products

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = ["QuantizedTensor"]

_DTYPES = ("float32", "float16", "bfloat16")


class QuantizedTensor(Products):
    """A weight whose numbers are codes of a few bits, in groups that share a scale.

    `threadwise.quant.quantize` makes it of a weight; the constructor makes it of arrays, such as
    memory maps of a file. It never changes the arrays, and copies none that is aligned.

    Parameters
    ----------
    codes : ndarray of uint32 or int32, shape (..., out_features, words)
        Of each row a dense stream of bits, least significant first: code j lies in its bits
        ``[j * bits, (j + 1) * bits)``. There are ``ceil(in_features * bits / 32)`` words in a row,
        and the bits after the last code are zero.
    scales : ndarray of float16, bfloat16 or float32, shape (..., out_features, groups)
        One for each group of a row.
    zero_points : ndarray or None
        ``None``: a value is ``(code - 2**(bits - 1)) * scale``. Floating-point numbers, of the
        shape of `scales`: minima, and a value is ``code * scale + minimum``. uint32 or int32, shape
        (..., ceil(out_features * bits / 32), groups): codes, packed as `codes` are, but along the
        rows; a value is ``(code - zero_point) * scale``.
    shape : sequence of int
        The shape of the weight, (..., out_features, in_features). One axis is one row.
    bits : {2, 3, 4, 8}
        Bits of a code.
    group_size : {16, 32, 64, 128, 256, -1}
        How many numbers of a row share a scale; the last group of a row may have fewer. -1 is the
        whole row.

    Raises
    ------
    ShapeError
        If an array has another shape than belongs to `shape`, `bits` and `group_size`.
    DTypeError
        If an array is of another dtype or byte order, or an argument of another type.
    DomainError
        If `bits` or `group_size` is a number that is not offered, or an extent is negative.

    See Also
    --------
    quantize : make one of a weight.
    threadwise.linear : a layer with it as the weight; ``q @ x`` is the product from the left.

    Notes
    -----
    Values are computed in float32, with one rounding: a minimum is added in the same step. Then
    they are rounded to the dtype that is wanted.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> codes, scales = np.array([[0x89]], np.uint32), np.array([[0.5]], np.float16)
    >>> q = tw.quant.QuantizedTensor(codes, scales, None, shape=(1, 2), bits=4, group_size=32)
    >>> np.asarray(q)
    array([[0.5, 0. ]], dtype=float32)
    """

    __slots__ = ("_bits", "_codes", "_group_size", "_scales", "_shape", "_zero_points")

    def __init__(
        self,
        codes: ArrayLike,
        scales: ArrayLike,
        zero_points: ArrayLike | None = None,
        *,
        shape: Sequence[int],
        bits: int,
        group_size: int,
    ) -> None:
        self._bits, self._group_size = bits_of(bits), group_of(group_size)
        self._shape = _extents(shape)
        self._codes = _words("codes", codes)
        self._scales = _numbers("scales", scales)
        self._zero_points: NDArray[Any] | None = None
        *leading, columns = self._shape
        groups = -(-columns // self._group) if columns else 0
        words = -(-columns * self._bits // 32)
        _expect("codes", self._codes, (*leading, words))
        _expect("scales", self._scales, (*leading, groups))
        if zero_points is None:
            return
        given = np.asanyarray(zero_points)
        if given.dtype.kind in "iu":
            self._zero_points = _words("zero_points", given)
            rows = leading.pop() if leading else 1
            _expect(
                "zero_points", self._zero_points, (*leading, -(-rows * self._bits // 32), groups)
            )
        else:
            self._zero_points = _numbers("zero_points", given)
            _expect("zero_points", self._zero_points, (*leading, groups))

    @property
    def codes(self) -> NDArray[np.uint32]:
        """The streams of codes, shape (..., out_features, words)."""
        return self._codes

    @property
    def scales(self) -> NDArray[Any]:
        """The scales, shape (..., out_features, groups)."""
        return self._scales

    @property
    def zero_points(self) -> NDArray[Any] | None:
        """What codes are counted from: minima, packed codes, or their middle."""
        return self._zero_points

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the weight."""
        return self._shape

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self._shape)

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return int(np.prod(self._shape, dtype=np.int64))

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return self._bits

    @property
    def group_size(self) -> int:
        """How many numbers share a scale; -1 is the whole row."""
        return self._group_size

    @property
    def zero_point(self) -> Literal["symmetric", "float", "integer"]:
        """The kind of its zero points."""
        if self._zero_points is None:
            return "symmetric"
        return "integer" if self._zero_points.dtype == np.uint32 else "float"

    @property
    def symmetric(self) -> bool:
        """Whether codes are counted from their middle."""
        return self._zero_points is None

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        zeros = 0 if self._zero_points is None else self._zero_points.nbytes
        return self._codes.nbytes + self._scales.nbytes + zeros

    @property
    def bits_per_weight(self) -> float:
        """Bits that its arrays take for each number; NaN if there is none."""
        return 8 * self.nbytes / self.size if self.size else float("nan")

    def dequantize(
        self,
        out: NDArray[Any] | None = None,
        *,
        dtype: DTypeLike | None = None,
        threads: int | None = None,
    ) -> NDArray[Any]:
        """Compute the values.

        Parameters
        ----------
        out : ndarray of float32, float16 or bfloat16, optional
            Where they go: of the shape of the weight, writable, sharing no memory with its arrays.
        dtype : dtype, optional
            What they are rounded to: float32, float16 or bfloat16. By default that of `out`, or
            float32.
        threads : int, optional
            How many threads may take part, from 1 to 1024, the calling one included. By default
            what `threadwise.get_num_threads` says.

        Returns
        -------
        ndarray
            `out`, or a new array. The bits do not depend on the number of threads.

        Raises
        ------
        ShapeError
            If `out` has another shape.
        DTypeError
            If `dtype` or that of `out` is another, or they differ.
        LayoutError
            If `out` is read-only, misaligned, overlaps an array of this, or is in use.
        DomainError
            If `threads`, or an environment variable of threadwise, makes no sense.
        MemoryError
            If there is no memory for the result.
        KeyboardInterrupt
            If Ctrl-C is pressed meanwhile; `out` may then be incomplete.
        """
        if dtype is not None:
            name = _name(dtype)
        else:
            given = getattr(out, "dtype", None)
            name = given.name if given is not None and given.name in _DTYPES else "float32"
        group = None if self._group_size == -1 else self._group_size
        parts = (self._codes, self._scales, self._zero_points)
        made: NDArray[Any] = _dequantize(*parts, self._shape, self._bits, group, name, out, threads)
        return made

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            sentence = "a quantized tensor has no array to share, expected copy=None or True"
            raise ValueError(sentence)
        if dtype is not None and np.dtype(dtype).name not in _DTYPES:
            return self.dequantize().astype(dtype)
        return self.dequantize(dtype=dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (self._codes, self._scales, self._zero_points)
        return _rebuilt, (*parts, self._shape, self._bits, self._group_size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QuantizedTensor):
            return NotImplemented
        ours, theirs = self._key, other._key
        if ours != theirs or not np.array_equal(self._codes, other._codes):
            return False
        return _same_bits(self._scales, other._scales) and _same_bits(
            self._zero_points, other._zero_points
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shape = ", ".join(map(str, self._shape)) + ("," if self.ndim == 1 else "")
        return (
            f"QuantizedTensor(shape=({shape}), bits={self._bits}, group_size={self._group_size}, "
            f"zero_point={self.zero_point!r}, scales={self._scales.dtype}, nbytes={self.nbytes})"
        )

    @property
    def _group(self) -> int:
        return self._group_size if self._group_size > 0 else max(self._shape[-1], 1)

    @property
    def _key(self) -> tuple[Any, ...]:
        kind = self.zero_point, self._scales.dtype
        return (self._shape, self._bits, self._group_size, *kind)


def _rebuilt(  # noqa: PLR0917 - what a pickle holds
    codes: Any, scales: Any, zeros: Any, shape: tuple[int, ...], bits: int, group_size: int
) -> QuantizedTensor:
    return QuantizedTensor(codes, scales, zeros, shape=shape, bits=bits, group_size=group_size)


def _same_bits(one: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    """Whether two arrays hold the same bits, so that NaN is like itself."""
    if one is None or other is None:
        return one is other
    if one.dtype != other.dtype:
        return False
    unsigned = f"u{one.dtype.itemsize}"
    return np.array_equal(_adjacent(one).view(unsigned), _adjacent(other).view(unsigned))


def _adjacent(array: NDArray[Any]) -> NDArray[Any]:
    # Not `ascontiguousarray`, which gives an array without axes one.
    return array if array.flags.c_contiguous else array.copy(order="C")


def _extents(shape: Any) -> tuple[int, ...]:
    try:
        extents = tuple(index(extent) for extent in shape)
    except TypeError:
        kind = type(shape).__name__
        sentence = f"shape is {shape!r} (a {kind}), expected a sequence of whole numbers"
        raise DTypeError(sentence) from None
    if not extents or min(extents) < 0:
        raise ShapeError(f"shape is {extents}, expected at least one extent, none negative")
    return extents


def _words(name: str, given: ArrayLike) -> NDArray[np.uint32]:
    array = np.asanyarray(given)
    if array.dtype.kind not in "iu" or array.dtype.itemsize != 4 or not array.dtype.isnative:
        raise DTypeError(f"{name} has dtype {array.dtype.str}, expected uint32 or int32")
    return np.require(array.view(np.uint32), requirements="A")


def _numbers(name: str, given: ArrayLike) -> NDArray[Any]:
    array = np.asanyarray(given)
    if array.dtype.name not in _DTYPES or not array.dtype.isnative:
        expected = "float16, bfloat16 or float32"
        raise DTypeError(f"{name} has dtype {array.dtype}, expected {expected}")
    return np.require(array, requirements="A")


def _expect(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ShapeError(f"{name} has shape {array.shape}, expected {shape}")


def _name(dtype: DTypeLike) -> str:
    """Name one of the dtypes that values are computed in."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = repr(dtype)
    if name not in _DTYPES:
        raise DTypeError(f"dtype is {name}, expected float32, float16 or bfloat16")
    return name
