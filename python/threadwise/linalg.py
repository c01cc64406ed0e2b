"""Products of matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from threadwise._threadwise import PackedWeight
from threadwise._threadwise import linear as _linear
from threadwise._threadwise import matmul as _matmul
from threadwise._threadwise import pack as _pack
from threadwise._types import FactorArrayLike, ProductArray

if TYPE_CHECKING:
    from threadwise.quant.products import Products
    from threadwise.work import WorkDistribution

__all__ = ["Activation", "PackedWeight", "linear", "matmul", "pack"]

Activation: TypeAlias = Literal["relu", "gelu", "gelu_tanh", "silu"]
"""The names of the activations that `linear` applies."""


def matmul(
    a: FactorArrayLike | Products,
    b: FactorArrayLike | PackedWeight,
    /,
    out: ProductArray | None = None,
    *,
    threads: int | None = None,
    distribution: WorkDistribution | None = None,
) -> Any:
    r"""Multiply matrices: ``a @ b``, with NumPy's rules and on all cores.

    .. math:: c_{\dots ij} = \sum_k a_{\dots ik} \, b_{\dots kj}

    Parameters
    ----------
    a : ndarray, shape (..., m, k) or (k,), or QuantizedTensor
        float32 or float64, float16, bfloat16 (of the package ml_dtypes), int8 or uint8. Any
        strides, also read-only. Other objects are converted by `numpy.asarray` first. Or a
        quantized weight, beside a `b` that `linear` would take, transposed, as its `x`.
    b : ndarray, shape (..., k, n) or (k,)
        float32 or float64 beside such, float16 beside float16, bfloat16 beside bfloat16, int8
        beside int8 or uint8. Axes before the last two are broadcast against
        those of `a`. Or what `pack` made of a weight: the product is then that with the transposed
        weight, ``a @ weight.T``, of shape (..., out_features).
    out : ndarray, optional
        Where the result goes: of exactly its shape and dtype, writable, sharing no memory with `a`
        or `b`. For float16 and bfloat16 it may be of float32, which holds the sums unrounded.
        Fastest where its rows or its columns are contiguous.
    threads : int, optional
        How many threads may take part, from 1 to 1024, the calling one included. By default what
        `threadwise.get_num_threads` says. 1 is the plain loop.
    distribution : WorkDistribution, optional
        How the rows of the result are cut into pieces, in whole tiles of the kernel, and where the
        threads should be. Of few rows, it is the columns that are cut; of a result whose columns
        are contiguous, too. Small products of a batch are not cut, but shared out by so many rows.
        By default the plan chooses.

    Returns
    -------
    ndarray, shape (..., m, n), or a scalar
        `out`, or a new array that owns its memory. The axes of one-axis operands are missing, as in
        NumPy, and the product of two such operands is a scalar. float64 if either operand is,
        float32 for float32; float16 for float16 and bfloat16 for bfloat16, summed in float32 and
        rounded once; int32 for integers. The bits depend neither on the number of
        threads nor on `distribution`.

    Raises
    ------
    ShapeError
        If the operands' shapes do not fit each other, or `out` has another shape than the result.
    DTypeError
        If an operand is of another dtype or byte order, or the two do not go together. Nothing is
        cast silently, but for float32 beside float64. If `distribution` is no
        `WorkDistribution`.
    LayoutError
        If an operand is misaligned; if `out` is read-only, misaligned, overlaps an operand or is in
        use by another call.
    DomainError
        If `threads`, or an environment variable of threadwise, makes no sense, or `distribution`
        names a memory node on which this process may use no CPU.
    MemoryError
        If there is no memory for the result or for packed operands.
    KeyboardInterrupt
        If Ctrl-C is pressed meanwhile. After this and after `MemoryError`, `out` may be incomplete;
        after any other error it is untouched.

    See Also
    --------
    linear : the product with a transposed weight, a bias and an activation.
    numpy.matmul : the same by NumPy.

    Notes
    -----
    Operands are borrowed as they lie, whatever their strides; only float32 beside float64, and
    elements that do not lie in whole steps of their size, are copied.

    Each element is a sum in an order that depends on shapes and layouts alone: along k, in passes
    of at most 512 terms, or, where rows or columns are few, in one pass, or each lane of a vector
    by itself and then the lanes; fused where the CPU fuses. Where k is long and the result small,
    chunks of k of at least 2048 terms (256 of narrower numbers) are summed apart and then added in
    their order. The error is at most :math:`\gamma_{k+k/512} \sum_k |a_{ik} b_{kj}|` [1]_.

    float16 and bfloat16 are widened to float32, which holds the product of two of them exactly, so
    that the same bound holds with the unit roundoff of float32; rounding the sum to the result's
    dtype adds at most half a unit of its last place. Where the CPU multiplies bfloat16 by itself
    (AMX; AVX-512 BF16 on AMD), it takes subnormal numbers for zero, as factors and as sums: each
    term may then be off by a further :math:`2^{-126} (1 + |a_{ik}| + |b_{kj}|)`.

    Integers are exact modulo :math:`2^{32}`, as NumPy's int32 is. A sum can leave the range of
    int32 from k = 131 072 on for int8, and from k = 65 794 on for uint8 beside int8.

    Products above half a million multiply-adds, or of as many bytes written or 750 000 read, run
    without Python's lock; no other thread may write to the arrays meanwhile. Memory for packed
    operands, at most some 3 MiB a thread and 16 MiB for all together, is kept for the next call.
    An `out` with neither contiguous rows nor contiguous columns is filled from a copy of its size.

    References
    ----------
    .. [1] N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., 2002, section
       3.1.
    .. [2] K. Goto, R. van de Geijn, *Anatomy of High-Performance Matrix Multiplication*, ACM TOMS
       34(3), 2008: the method.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> a = np.arange(6, dtype=np.float32).reshape(2, 3)
    >>> tw.matmul(a, a.T)
    array([[ 5., 14.],
           [14., 50.]], dtype=float32)
    """
    return _matmul(a, b, out, threads, distribution)


def linear(
    x: FactorArrayLike,
    weight: FactorArrayLike | PackedWeight | Products,
    bias: FactorArrayLike | None = None,
    *,
    activation: Activation | None = None,
    activations: Literal["int8", "float"] | None = None,
    out: ProductArray | None = None,
    threads: int | None = None,
    distribution: WorkDistribution | None = None,
) -> Any:
    r"""Apply a layer: ``activation(x @ weight.T + bias)`` in one pass.

    .. math:: y_{\dots o} = f\Big( \sum_i x_{\dots i} \, w_{oi} + b_o \Big)

    Parameters
    ----------
    x : ndarray, shape (..., in_features)
        float32 or float64, float16, or bfloat16 (of the package ml_dtypes). Any strides, also
        read-only. Other objects are converted by `numpy.asarray` first.
    weight : ndarray, shape (out_features, in_features), PackedWeight or QuantizedTensor
        The same: float32 or float64 beside such, else the dtype of `x`. Or what `pack` made of it:
        it is not converted, so no other argument may be wider. Or what `threadwise.quant` made of
        it, beside an `x` of float32, float16 or bfloat16.
    bias : ndarray, shape (out_features,), optional
        Added to each row of the product. The same, or float32 beside float16 and bfloat16.
    activation : {None, "relu", "gelu", "gelu_tanh", "silu"}, optional
        Applied to each element while it is in the nearest cache. ``"gelu"`` is
        :math:`x \Phi(x)` [1]_, ``"gelu_tanh"`` its approximation
        :math:`\frac x2 (1 + \tanh(\sqrt{2/\pi} (x + 0.044715 x^3)))`, ``"silu"`` is
        :math:`x / (1 + e^{-x})` [2]_. NaN stays NaN.
    activations : {None, "int8", "float"}, optional
        What is multiplied with a quantized weight: ``"int8"``, which None stands for, lets `x` be
        rounded, ``"float"`` takes it as it is, which is slower. Other weights take None alone.
    out : ndarray, optional
        Where the result goes: of exactly its shape and dtype, writable, sharing no memory with the
        other arguments. For float16 and bfloat16 it may be of float32, which is not rounded to.
    threads : int, optional
        How many threads may take part, from 1 to 1024, the calling one included. By default what
        `threadwise.get_num_threads` says. 1 is the plain loop.
    distribution : WorkDistribution, optional
        How the rows of the result are cut into pieces, in whole tiles of the kernel, and where the
        threads should be. Of few rows, it is the columns that are cut; of a result whose columns
        are contiguous, too. By default the plan chooses.

    Returns
    -------
    ndarray, shape (..., out_features)
        `out`, or a new array that owns its memory. float64 if any argument is, else the dtype of
        `x`. The bits depend neither on the number of threads nor on
        `distribution`.

    Raises
    ------
    ShapeError
        If `weight` has not two axes, the features of `x`, `weight` and `bias` do not match, or
        `out` has another shape than the result.
    DTypeError
        If an array is of another dtype or byte order, or they do not go together, `activation`
        or `activations` is not a string, or `distribution` no `WorkDistribution`. Integers have no
        layers: their scale is missing.
    LayoutError
        If an argument is misaligned; if `out` is read-only, misaligned, overlaps an argument or is
        in use by another call.
    DomainError
        If `activation`, `activations` or `threads`, or an environment variable of threadwise, makes
        no sense, `activations` is given beside a weight that is not quantized, or `distribution`
        names a memory node on which this process may use no CPU.
    MemoryError
        If there is no memory for the result or for packed operands.
    KeyboardInterrupt
        If Ctrl-C is pressed meanwhile. After this and after `MemoryError`, `out` may be incomplete;
        after any other error it is untouched.

    See Also
    --------
    matmul : the product alone.
    pack : copy a weight once for many calls.

    Notes
    -----
    The product is that of `matmul`, whose notes hold here too. An activation adds an error of at
    most ten roundings of its argument. For float16 and bfloat16, bias and activation are computed
    in float32, before the one rounding to the result.

    A weight is quantized: :math:`w_{oi} = s c_{oi} + z` with a code, and a scale and what code 0
    stands for of its group. Codes are read packed as they are. ``"int8"`` rounds each run of 32
    inputs of a row to bytes with a scale: :math:`x_i` is then off by at most :math:`t_i`, the
    largest magnitude of its run over 253; numbers below :math:`2^{-100}` count as zeros, and a run
    that is not finite makes its row NaN. Of more than 32 rows, CPUs that multiply bfloat16 faster
    than float32 round `x` and the weight to it instead, so that each term is off by at most
    :math:`(2^{-7} + 2^{-16}) |w_{oi} x_i|`; of more than 256, others do not round. The rest, and
    all of the error of ``"float"``, is at most
    :math:`\gamma_{k+k/512+24} \sum_i (|s c_{oi}| + |z|)(|x_i| + t_i)` [3]_.
    The bits depend neither on the number of threads nor on `distribution`.

    References
    ----------
    .. [1] D. Hendrycks, K. Gimpel, *Gaussian Error Linear Units*, 2016, arXiv:1606.08415.
    .. [2] S. Elfwing, E. Uchibe, K. Doya, *Sigmoid-Weighted Linear Units*, 2017, arXiv:1702.03118.
    .. [3] N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., 2002, section
       3.1.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> x = np.array([[1.0, -2.0]])
    >>> weight = np.array([[3.0, 1.0], [1.0, 1.0], [0.0, 1.0]])
    >>> tw.linear(x, weight, np.array([0.5, 0.0, 0.0]), activation="relu")
    array([[1.5, 0. , 0. ]])
    """
    return _linear(x, weight, bias, activation, activations, out, threads, distribution)


def pack(weight: FactorArrayLike, *, threads: int | None = None) -> PackedWeight:
    """Copy a layer's weight into the order in which products read it, once for all of them.

    `linear` and `matmul` take the result in place of the weight. They then need not pack it
    themselves, as they do in every call of more than a few rows.

    Parameters
    ----------
    weight : ndarray, shape (out_features, in_features)
        float32, float64, float16, bfloat16 (of the package ml_dtypes), or int8, which `matmul`
        alone takes, beside int8 or uint8. Any strides, also read-only. Other objects are converted
        by `numpy.asarray` first. It is copied, so it may change or go away afterwards.
    threads : int, optional
        How many threads may copy, from 1 to 1024, the calling one included. By default what
        `threadwise.get_num_threads` says.

    Returns
    -------
    PackedWeight
        It never changes, owns its memory, and may be used by any number of threads at the same
        time. It has `shape`, `dtype`, `nbytes` and `unpack()`, which returns the weight bit for
        bit, as `numpy.asarray` does. Two are equal if their shapes, dtypes and elements are. It
        can be pickled.

    Raises
    ------
    ShapeError
        If `weight` has not two axes.
    DTypeError
        If `weight` is of another dtype or byte order.
    LayoutError
        If `weight` is misaligned, or is being written to by another call.
    DomainError
        If `threads`, or an environment variable of threadwise, makes no sense.
    MemoryError
        If there is no memory for the copy.
    KeyboardInterrupt
        If Ctrl-C is pressed meanwhile.

    See Also
    --------
    linear : the layer.

    Notes
    -----
    The copy takes the memory of the weight, rounded up to whole tiles: out_features to the next
    multiple of 64 where vectors have 512 bits, 32 for float64 and for bfloat16 and int8 with AMX;
    of 16 (8 for float64) where vectors have 256 bits, and of 8 (4) elsewhere.

    The error bound is that of `matmul`, and bits do not depend on the number of threads. The sums
    of float32 and float64 may be taken in another order than with the weight as it lies, so bits
    may differ between the two. Those of narrower numbers do not, where arrays are contiguous by
    rows.

    References
    ----------
    .. [1] K. Goto, R. van de Geijn, *Anatomy of High-Performance Matrix Multiplication*, ACM TOMS
       34(3), 2008: the order.

    Examples
    --------
    >>> import numpy as np
    >>> import threadwise as tw
    >>> weight = np.array([[3.0, 1.0], [1.0, 1.0], [0.0, 1.0]])
    >>> packed = tw.pack(weight)
    >>> packed.shape
    (3, 2)
    >>> tw.linear(np.array([[1.0, -2.0]]), packed, activation="relu")
    array([[1., 0., 0.]])
    >>> tw.matmul(np.array([1.0, -2.0]), packed)
    array([ 1., -1., -2.])
    """
    return _pack(weight, threads)
