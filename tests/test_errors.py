"""The family of exceptions, and that bad arguments get one clear sentence and leave `out` alone."""

import builtins
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import threadwise as tw
from strategies import Array, misaligned, normal, overlapping_views
from threadwise import errors
from threadwise.errors import DomainError, DTypeError, LayoutError, ShapeError

A, B, X, W = normal((2, 3)), normal((3, 4)), normal((2, 3)), normal((4, 3))


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("ShapeError", "ValueError"),
        ("LayoutError", "ValueError"),
        ("DTypeError", "TypeError"),
        ("DomainError", "ValueError"),
    ],
)
def test_each_error_is_ours_and_a_builtin_one(name: str, base: str) -> None:
    error = getattr(errors, name)
    assert issubclass(error, errors.ThreadwiseError)
    assert issubclass(error, getattr(builtins, base))


def _refuses(error: type[Exception], sentence: str, *args: object, **options: object) -> None:
    with pytest.raises(error, match=sentence):
        tw.matmul(*args, **options)  # type: ignore[arg-type]


DTYPES_REFUSED = [
    (np.array([[None]]), "object"),
    (np.ones((1, 1), np.complex64), "complex64"),
    (np.ones((1, 1), np.complex128), "complex128"),
    (np.array([["a"]]), "<U1"),
    (np.array([[b"a"]]), r"\|S1"),
    (np.ones((1, 1), np.int64), "int64"),
    (np.ones((1, 1), np.int16), "int16"),
    (np.ones((1, 1), np.bool_), "bool"),
    (np.ones((1, 1), np.longdouble), np.dtype(np.longdouble).name),
    (np.zeros((1, 1), np.dtype("M8[s]")), r"datetime64\[s\]"),
    (np.zeros((1, 1), [("x", "f4")]), r"\[\('x', '<f4'\)\]"),
    ([[1, 2]], "int64"),
    (1 + 2j, "complex128"),
    ("text", "<U4"),
    (None, "object"),
    ({"a": 1}, "object"),
]


@pytest.mark.parametrize(("bad", "name"), DTYPES_REFUSED)
def test_other_dtypes_are_refused_by_name(bad: Any, name: str) -> None:
    factors = "float32, float64, float16, bfloat16, int8 or uint8"
    sentence = f"has dtype {name}, expected {factors}: nothing is cast silently, pass"
    _refuses(DTypeError, f"^a {sentence}", bad, B)
    _refuses(DTypeError, f"^b {sentence}", A, bad)
    sentence = f"has dtype {name}, expected float32, float64, float16 or bfloat16: nothing is cast"
    with pytest.raises(DTypeError, match=f"^x {sentence}"):
        tw.linear(bad, W)
    with pytest.raises(DTypeError, match=f"^weight {sentence}"):
        tw.linear(X, bad)


@pytest.mark.parametrize(("bad", "name"), DTYPES_REFUSED)
def test_a_bias_of_another_dtype_is_refused_by_name(bad: Any, name: str) -> None:
    if bad is None:
        assert tw.linear(X, W, bad).shape == (2, 4)  # no bias
        return
    with pytest.raises(DTypeError, match=f"^bias has dtype {name}, expected float32, float64,"):
        tw.linear(X, W, bad)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_the_other_byte_order_is_refused_with_the_remedy(dtype: str) -> None:
    swapped = np.ones((3, 3), np.dtype(dtype).newbyteorder("S"))
    sentence = f"has dtype {swapped.dtype.str}, expected .* in the machine's byte order: pass"
    _refuses(DTypeError, f"^a {sentence}", swapped, B)
    _refuses(DTypeError, f"^b {sentence}", A, swapped)
    with pytest.raises(DTypeError, match=f"^weight {sentence}"):
        tw.linear(X, swapped)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [3, 100])
def test_misaligned_operands_are_refused_with_the_remedy(dtype: type, n: int) -> None:
    bad, good = misaligned((n, n), dtype), normal((n, n), dtype)
    sentence = "is not aligned in memory, expected elements at multiples of their size: pass a copy"
    _refuses(LayoutError, f"^a {sentence}", bad, good)
    _refuses(LayoutError, f"^b {sentence}", good, bad)
    _refuses(LayoutError, "^out is not aligned in memory, expected", good, good, out=bad)
    assert_array_equal(bad, 1)
    with pytest.raises(LayoutError, match=f"^bias {sentence}"):
        tw.linear(good, good, misaligned((n,), dtype))


def test_a_field_of_packed_records_is_misaligned() -> None:
    field = np.zeros((3, 3), [("tag", np.int8), ("it", np.float32)])["it"]
    _refuses(LayoutError, "^a is not aligned", field, B)


SHAPES = [
    ((2, 3), (4, 5), r"a has 3 columns \(shape \(2, 3\)\), b has 4 rows \(shape \(4, 5\)\)"),
    ((3,), (4, 5), r"a has 3 elements \(shape \(3,\)\), b has 4 rows"),
    ((2, 3), (4,), r"a has 3 columns .* b has 4 elements \(shape \(4,\)\): they must be equal"),
    ((3,), (4,), r"a has 3 elements .* b has 4 elements"),
    ((2, 0), (1, 2), r"a has 0 columns .* b has 1 rows"),
    ((), (3, 4), r"a has shape \(\), expected at least one axis"),
    ((2, 3), (), r"b has shape \(\), expected at least one axis"),
    ((), (), r"a has shape \(\), expected"),
    ((2, 1, 3), (4, 3, 5), r"the batch axes \(2,\) of a and \(4,\) of b do not broadcast"),
    ((5, 2, 1, 3), (5, 4, 3, 5), r"\(5, 2\) of a and \(5, 4\) of b do not broadcast"),
    ((0, 1, 3), (2, 3, 5), r"\(0,\) of a and \(2,\) of b do not broadcast"),
]


@pytest.mark.parametrize(("a_shape", "b_shape", "sentence"), SHAPES)
def test_shapes_that_do_not_multiply_are_refused(
    a_shape: tuple[int, ...], b_shape: tuple[int, ...], sentence: str
) -> None:
    _refuses(ShapeError, f"^{sentence}|{sentence}", np.ones(a_shape), np.ones(b_shape))


LAYERS = [
    ((2, 3), (4, 5), None, r"^x has 3 features \(shape \(2, 3\)\), weight has 5 in_features"),
    ((2, 3), (3,), None, r"^weight has shape \(3,\), expected .*\(out_features, in_features\)"),
    ((2, 3), (1, 4, 3), None, r"^weight has shape \(1, 4, 3\), expected two axes"),
    ((), (4, 3), None, r"^x has shape \(\), expected at least one axis, the features"),
    ((2, 3), (4, 3), (3,), r"^bias has 3 elements \(shape \(3,\)\), weight has 4 out_features"),
    ((2, 3), (4, 3), (1, 4), r"^bias has .*shape \(1, 4\)"),
    ((2, 3), (4, 3), (), r"^bias has .*shape \(\)"),
]


@pytest.mark.parametrize(("x", "weight", "bias", "sentence"), LAYERS)
def test_layers_that_do_not_fit_are_refused(
    x: tuple[int, ...], weight: tuple[int, ...], bias: tuple[int, ...] | None, sentence: str
) -> None:
    shift = None if bias is None else np.ones(bias)
    with pytest.raises(ShapeError, match=sentence):
        tw.linear(np.ones(x), np.ones(weight), shift)


def test_a_sentence_does_not_contradict_itself() -> None:
    with pytest.raises(ShapeError) as caught:
        tw.linear(X, W, np.ones((1, 4), np.float32))
    # Equal counts with "they must be equal" would leave the reader without an answer.
    assert "bias has 4 elements" not in str(caught.value)


@pytest.mark.skipif(
    int(np.__version__.split(".")[0]) < 2, reason="needs arrays of NumPy 2's 64 axes"
)
def test_more_axes_than_can_be_borrowed_are_refused() -> None:
    deep = np.ones((1,) * 33, np.float32)
    sentence = "has 33 axes, expected at most 32: join some with reshape"
    _refuses(ShapeError, f"^a {sentence}", deep, B)
    _refuses(ShapeError, f"^b {sentence}", A, deep)
    _refuses(ShapeError, "^out has ", np.ones((1, 1)), np.ones((1, 1)), out=np.ones((1,) * 33))


def test_a_result_beyond_memory_is_refused() -> None:
    tall = np.broadcast_to(np.float32(1), (2**40, 1))
    sentence = r"^the result would have shape \(\d+, \d+\), which is more than memory can hold"
    _refuses(ShapeError, sentence, tall, tall.T)


OUTS: list[tuple[Any, type[Exception], str]] = [
    (np.ones((4, 2), np.float32), ShapeError, r"^out has shape \(4, 2\), expected \(2, 4\)"),
    (np.ones((2, 4, 1), np.float32), ShapeError, r"^out has shape \(2, 4, 1\), expected \(2, 4\)"),
    (np.ones(8, np.float32), ShapeError, r"^out has shape \(8,\), expected \(2, 4\)"),
    (np.ones((), np.float32), ShapeError, r"^out has shape \(\), expected \(2, 4\)"),
    (np.ones((2, 4), np.float64), DTypeError, "^out has dtype <f8, expected float32"),
    (np.ones((2, 4), ">f4"), DTypeError, "^out has dtype >f4, expected float32"),
    (np.ones((2, 4), np.complex64), DTypeError, "^out has dtype <c8, expected float32"),
    (np.ones((2, 4), object), DTypeError, r"^out has dtype \|O, expected float32"),
    ([[0.0] * 4] * 2, DTypeError, "^out is a list, expected a numpy.ndarray or None"),
    (1.5, DTypeError, "^out is a float, expected a numpy.ndarray or None"),
    (
        np.broadcast_to(np.ones(4, np.float32), (2, 4)),
        LayoutError,
        "^out is read-only, expected a writable array",
    ),
    (
        np.lib.stride_tricks.as_strided(np.ones(4, np.float32), (2, 4), (0, 4)),
        LayoutError,
        "^out repeats elements",
    ),
    (
        np.lib.stride_tricks.as_strided(np.ones(8, np.float32), (2, 4), (4, 4)),
        LayoutError,
        "^out .*expected one place for each element",
    ),
]


@pytest.mark.parametrize(("out", "error", "sentence"), OUTS)
def test_places_that_cannot_hold_the_result_are_refused_untouched(
    out: Any, error: type[Exception], sentence: str
) -> None:
    before = np.array(out, copy=True)
    with pytest.raises(error, match=sentence):
        tw.matmul(A, B, out)
    with pytest.raises(error, match=sentence):
        tw.linear(X, W, out=out)
    assert_array_equal(np.asarray(out), before)


@pytest.mark.parametrize("n", [4, 100])
@pytest.mark.parametrize("case", overlapping_views(4))
def test_an_out_that_overlaps_an_operand_is_refused_untouched(case: str, n: int) -> None:
    operand, out = overlapping_views(n)[case]
    other = np.ones((n, n), np.float32)
    sentence = "^out overlaps {} in memory, expected separate arrays: pass a copy"
    _refuses(LayoutError, sentence.format("a"), operand, other, out=out)
    _refuses(LayoutError, sentence.format("b"), other, operand, out=out)
    with pytest.raises(LayoutError, match=sentence.format("weight")):
        tw.linear(other, operand, out=out)
    with pytest.raises(LayoutError, match=sentence.format("bias")):
        tw.linear(other, other, operand[-1], out=out)
    assert_array_equal(out, 1)


ARGUMENTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"threads": 0}, DomainError, "^threads is 0, expected a whole number from 1 to 1024 or None"),
    ({"threads": -3}, DomainError, "^threads is -3, expected"),
    ({"threads": 2000}, DomainError, "^threads is 2000, expected"),
    ({"threads": 10**30}, DomainError, "^threads is 1000000000000000000000000000000, expected"),
    ({"threads": "2"}, DTypeError, r"^threads is '2' \(a str\), expected a whole number"),
    ({"threads": 1.5}, DTypeError, r"^threads is 1.5 \(a float\), expected"),
    ({"threads": True}, DTypeError, r"^threads is True \(a bool\), expected"),
    ({"activation": "tanh"}, DomainError, "^activation is 'tanh', expected None or one of 'relu'"),
    ({"activation": ""}, DomainError, "^activation is '', expected None or one of"),
    ({"activation": 3}, DTypeError, r"^activation is 3 \(a int\), expected None or one of 'relu'"),
    ({"activation": len}, DTypeError, r"^activation is <built-in function len> \(a builtin_"),
]


@pytest.mark.parametrize(("bad", "error", "sentence"), ARGUMENTS)
@pytest.mark.parametrize("n", [3, 100])
def test_other_arguments_that_make_no_sense_are_refused_and_out_is_untouched(
    bad: dict[str, Any], error: type[Exception], sentence: str, n: int
) -> None:
    square, out = np.ones((n, n)), np.full((n, n), 7.0)
    with pytest.raises(error, match=sentence):
        tw.linear(square, square, out=out, **bad)
    if "threads" in bad:
        _refuses(error, sentence, square, square, out=out, **bad)
        _refuses(error, sentence, square, square, **bad)
    assert_array_equal(out, 7)


def test_what_numpy_cannot_make_an_array_of_raises_what_numpy_raises() -> None:
    ragged: list[Any] = [[1.0], [1.0, 2.0]]
    with pytest.raises(ValueError, match="inhomogeneous"):
        tw.matmul(ragged, B)


def test_an_array_that_interrupts_its_own_conversion_is_heard() -> None:
    class Refuses:
        def __array__(self, *_: object, **__: object) -> Array:
            message = "not today"
            raise LookupError(message)

    with pytest.raises(LookupError, match="not today"):
        tw.matmul(Refuses(), B)
