"""How a weight becomes one in few bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from threadwise._arguments import word
from threadwise._threadwise import quantize as _quantize
from threadwise.quant._arguments import METHODS, ZERO_POINTS, bits_of, group_of
from threadwise.quant.tensor import QuantizedTensor

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Method", "ZeroPoint", "quantize"]

Method: TypeAlias = Literal["minmax", "mse"]
"""The names of the ways to find scales."""

ZeroPoint: TypeAlias = Literal["float", "integer"]
"""The names of the kinds of zero points."""


def quantize(
    weight: ArrayLike,
    bits: int = 4,
    *,
    group_size: int = 32,
    symmetric: bool = False,
    zero_point: ZeroPoint = "float",
    method: Method = "mse",
    importance: ArrayLike | None = None,
    threads: int | None = None,
) -> QuantizedTensor:
    r"""Represent a weight by codes of a few bits, in groups that share a scale.

    .. math:: w_{oi} \approx s_{og} \, q_{oi} + m_{og}, \qquad q_{oi} \in \{0, \dots, 2^b - 1\}

    Parameters
    ----------
    weight : ndarray of float32, float16 or bfloat16, shape (..., out_features, in_features)
        A matrix, a stack of them, or one row. Finite numbers. Any strides, also read-only; other
        objects are converted by `numpy.asarray` first.
    bits : {4, 2, 3, 8}
        Bits of a code.
    group_size : {32, 16, 64, 128, 256, -1}
        How many numbers of a row share a scale; the last group of a row may have fewer. -1 is the
        whole row.
    symmetric : bool, default False
        Count codes from their middle, so that there are no zero points, whatever `zero_point`
        says: :math:`w \approx s (q - 2^{b-1})`.
    zero_point : {"float", "integer"}
        What a group stores besides its scale: a minimum of the type of the scale; or the code of
        zero, in as many bits as any: :math:`w \approx s (q - z)`.
    method : {"mse", "minmax"}
        How scales and zero points are found: by least squares among some 30 trials, or from the
        least and the greatest number of the group, which is six to nine times as fast (4 bits,
        ``benches/record``).
    importance : ndarray of float32, optional
        How much the square of an error counts: for each input feature, or for each number, in the
        shape of `weight`. Finite and not negative. ``"mse"`` minimizes the sum weighted so; the
        other method takes no notice.
    threads : int, optional
        How many threads may take part, from 1 to 1024, the calling one included. By default what
        `threadwise.get_num_threads` says. 1 is the plain loop.

    Returns
    -------
    QuantizedTensor
        It owns its arrays. The bits depend neither on the number of threads nor on the CPU.

    Raises
    ------
    ShapeError
        If `weight` has no axes, or `importance` is of another shape.
    DTypeError
        If an array is of another dtype or byte order, or an argument of another type. Nothing is
        cast silently.
    LayoutError
        If an array is misaligned, or being written to by another call.
    DomainError
        If a number of `weight` is not finite: the message has its index, the first of them. If an
        argument is none of those offered, `importance` is negative or not finite, or `threads` or
        an environment variable of threadwise makes no sense.
    MemoryError
        If there is no memory for the result.
    KeyboardInterrupt
        If Ctrl-C is pressed meanwhile.

    See Also
    --------
    QuantizedTensor.dequantize : the way back.

    Notes
    -----
    Scales and minima are float16, so that a group of 32 numbers of 4 bits takes 5 bits a number,
    4.5 if symmetric. Where the largest number of the weight is above :math:`2^{15}` or below
    :math:`2^{-20} (2^b - 1)^2`, float16 would overflow, or add more than a sixteenth of half a step
    of its largest group to some error, and they are float32.

    With ``"minmax"`` a value is off by at most half a step :math:`s`, a whole one where zero points
    are integers, and by what rounding scale and minimum adds: at most :math:`(2^b - 1)
    \max(2^{-11} s, 2^{-25}) + \max(2^{-11} |m|, 2^{-25})` in float16. A group of equal numbers
    comes back as float16 holds its minimum.

    ``"mse"`` tries ranges whose ends are moved inwards and outwards: rounding gives codes, and for
    these the best scale and minimum follow by least squares in closed form [1]_. It begins with
    12 % less at either end, tries eight ranges around the best, four times, at half the distance
    each time, and then twice the range that the best itself gives [2]_. Symmetric ranges have one
    length, tried with either sign; their scale is then lengthened until errors are orthogonal to
    the weights [3]_. At last the codes are rounded again with scale and minimum as they are stored,
    and the result is compared with that of ``"minmax"``: group by group it is never worse.

    References
    ----------
    .. [1] *llama.cpp*, ``make_qkx2_quants`` in ``ggml-quants.c``, MIT license: least squares for
       scale and minimum. Its trials change the length of the range; ours move both ends.
    .. [2] S. P. Lloyd, *Least Squares Quantization in PCM*, IEEE Trans. Inf. Theory 28(2), 1982.
    .. [3] S. Vargaftik et al., *EDEN*, ICML 2022.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> weight = np.array([[0.0, 1.0, 2.0, 3.0]], np.float32)
    >>> q = tw.quant.quantize(weight, bits=2)
    >>> q.codes, q.scales, q.zero_points
    (array([[228]], dtype=uint32), array([[1.]], dtype=float16), array([[0.]], dtype=float16))
    >>> np.asarray(q)
    array([[0., 1., 2., 3.]], dtype=float32)
    """
    group = group_of(group_size)
    word("zero_point", zero_point, ZERO_POINTS)
    kind = "symmetric" if symmetric else zero_point
    words = kind, word("method", method, METHODS)
    size = None if group == -1 else group
    weight = weight if isinstance(weight, np.ndarray) else np.asarray(weight)
    parts = _quantize(weight, bits_of(bits), size, *words, importance, threads)
    return QuantizedTensor(*parts, shape=weight.shape, bits=bits, group_size=group_size)
