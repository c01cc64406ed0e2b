"""Products of bfloat16, float16 and eight-bit integers: types, values, layouts, bits, refusals."""

from collections.abc import Callable
from functools import partial
from hashlib import sha256

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import definitions
import threadwise as tw
from bounds import assert_within, narrow_bound
from interpreters import run
from strategies import (
    LAYOUTS,
    LONG,
    WRITABLE_LAYOUTS,
    Array,
    Shape,
    linear_shapes,
    matmul_shapes,
    normal,
    windows,
)
from threadwise.errors import DTypeError, LayoutError, ShapeError
from threadwise.linalg import Activation

BFLOAT16 = ml_dtypes.bfloat16
FLOATS = (BFLOAT16, np.float16)
INTEGERS = ((np.int8, np.int8), (np.uint8, np.int8))
PAIRS = ((BFLOAT16, BFLOAT16), (np.float16, np.float16), *INTEGERS)

layouts = st.sampled_from(sorted(LAYOUTS)).map(LAYOUTS.__getitem__)
SHORT = ((1000, 3, 70), (300, 8, 9), (2, 1, 300), (16, 16, 16), (64, 64, 2), (600, 200, 3))
FEW = ((1, 3000, 700), (4, 700, 1300), (8, 900, 260), (9, 900, 260), (1200, 800, 1), (3, 40, 5000))


def filled(shape: Shape, dtype: type, seed: int = 0) -> Array:
    """Integers over their whole range, its ends often; else numbers of the normal distribution."""
    if not np.issubdtype(dtype, np.integer):
        return normal(shape, dtype, seed)
    rng, info = np.random.default_rng([seed, *shape]), np.iinfo(dtype)
    plain = rng.integers(info.min, info.max + 1, shape)
    ends = rng.choice([info.min, info.max], shape)
    return np.where(rng.random(shape) < 0.3, ends, plain).astype(dtype)


def expect(c: Array, a: Array, b: Array) -> None:
    """Hold a product to its definition: integers modulo 2**32, floats to their bound."""
    if np.issubdtype(a.dtype, np.integer):
        exact = np.matmul(a.astype(np.int64), b.astype(np.int64))
        assert c.dtype == np.int32
        assert_array_equal(c, exact.astype(np.int32))
    else:
        assert_within(c, definitions.matmul(a, b), narrow_bound(a, b, c.dtype))


@given(st.data(), matmul_shapes(), st.sampled_from(PAIRS))
def test_agrees_with_the_definition(
    data: st.DataObject, shapes: tuple[Shape, Shape], pair: tuple[type, type]
) -> None:
    seed = data.draw(st.integers(0, 999))
    a = data.draw(layouts)(filled(shapes[0], pair[0], seed))
    b = data.draw(layouts)(filled(shapes[1], pair[1], seed + 1))
    before = a.copy(), b.copy()
    c = tw.matmul(a, b)
    expect(c, a, b)
    assert np.shape(c) == np.matmul(np.ones(shapes[0]), np.ones(shapes[1])).shape
    assert c.dtype == (np.int32 if pair in INTEGERS else pair[0])
    assert_array_equal(a, before[0])
    assert_array_equal(b, before[1])


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize(("m", "k", "n"), [*LONG, *FEW, *SHORT, (13, 600, 2100)])
@pytest.mark.parametrize("way", [(1, "C"), (3, "C"), (1, "F"), (3, "F")])
def test_agrees_around_the_edges_of_blocks(
    m: int, k: int, n: int, pair: tuple[type, type], way: tuple[int, str]
) -> None:
    threads, order = way
    a, b = filled((m, k), pair[0]), filled((k, n), pair[1], seed=1)
    expect(tw.matmul(a, np.array(b, order=order), threads=threads), a, b)  # type: ignore[call-overload]


@pytest.mark.parametrize("pair", PAIRS)
def test_passes_over_k_are_added(pair: tuple[type, type]) -> None:
    a, b = filled((70, 5000), pair[0]), filled((5000, 90), pair[1], seed=1)
    expect(tw.matmul(a, b, threads=2), a, b)


@pytest.mark.parametrize(("left", "right"), INTEGERS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (30, 40)])
def test_integers_wrap_as_numpys_do(left: type, right: type, shape: tuple[int, int]) -> None:
    m, n = shape
    a: Array = np.full((m, 140_000), np.iinfo(left).min or 255, left)
    b: Array = np.full((140_000, n), -128, right)
    expected = int(a[0, 0]) * -128 * 140_000
    assert not -(2**31) <= expected < 2**31
    for order in ("C", "F"):
        c = tw.matmul(a, np.array(b, order=order))
        assert_array_equal(c, (expected + 2**31) % 2**32 - 2**31)


def test_the_largest_k_without_overflow_is_as_documented() -> None:
    b = np.full(131_071, -128, np.int8)
    assert tw.matmul(b, b) == 131_071 * 2**14
    a = np.full(65_793, 255, np.uint8)
    assert tw.matmul(a, b[:65_793]) == -255 * 128 * 65_793


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("m", "k", "n"), [(3, 4, 5), (1, 300, 400), (70, 80, 90), (200, 2500, 90)])
@pytest.mark.parametrize("layout", WRITABLE_LAYOUTS)
def test_the_sums_may_be_had_unrounded(m: int, k: int, n: int, dtype: type, layout: str) -> None:
    a, b = filled((m, k), dtype), filled((k, n), dtype, seed=1)
    out = WRITABLE_LAYOUTS[layout](np.full((m, n), np.nan, np.float32))
    assert tw.matmul(a, b, out, threads=2) is out
    assert_within(out, definitions.matmul(a, b), narrow_bound(a, b, np.float32))
    assert_array_equal(out.astype(dtype), tw.matmul(a, b))


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("layout", WRITABLE_LAYOUTS)
@pytest.mark.parametrize(
    "shapes",
    [
        ((7, 70), (70, 37)),
        ((1, 8), (8, 1)),
        ((5,), (5,)),
        ((9, 5), (5,)),
        ((3, 1, 4, 5), (2, 5, 6)),
        ((300, 90), (90, 100)),
        ((2, 200, 210), (210, 190)),
        ((3, 0), (0, 4)),
        ((0, 3), (3, 4)),
    ],
)
def test_writes_what_it_would_return(
    shapes: tuple[Shape, Shape], pair: tuple[type, type], layout: str
) -> None:
    a, b = filled(shapes[0], pair[0]), filled(shapes[1], pair[1], seed=1)
    expected = tw.matmul(a, b, threads=1)
    out = WRITABLE_LAYOUTS[layout](np.ones(np.shape(expected), np.asarray(expected).dtype))
    assert tw.matmul(a, b, out, threads=3) is out
    assert_array_equal(out, expected)


@given(st.data(), linear_shapes(), st.sampled_from(FLOATS))
def test_a_layer_is_its_formula(
    data: st.DataObject, shapes: tuple[Shape, Shape], dtype: type
) -> None:
    seed = data.draw(st.integers(0, 999))
    x = data.draw(layouts)(filled(shapes[0], dtype, seed))
    weight = data.draw(layouts)(filled(shapes[1], dtype, seed + 1))
    kind = data.draw(st.sampled_from([None, dtype, np.float32]))
    bias = None if kind is None else data.draw(layouts)(filled(shapes[1][:1], kind, seed + 2))
    activation: Activation | None = data.draw(st.sampled_from(list(definitions.ACTIVATIONS)))
    y = tw.linear(x, weight, bias, activation=activation)
    expected = definitions.linear(x, weight, bias, activation)
    assert y.dtype == dtype
    assert_within(y, expected, narrow_bound(x, weight.T, dtype, bias, activation))


def _digest(array: Array) -> str:
    return sha256(np.ascontiguousarray(array).view(np.uint8).tobytes()).hexdigest()


def _same(product: Callable[[int], Array]) -> bool:
    return len({_digest(product(threads)) for threads in (1, 2, 3, 4)}) == 1


# Of the pieces of such a product, threads take rows from one another.
HELPED = (1500, 500, 400)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_same_bits_for_any_number_of_threads(pair: tuple[type, type], order: str) -> None:
    rng = np.random.default_rng(20_261_121)
    extents = np.exp(rng.uniform(np.log(20), np.log(900), (25, 3))).astype(int).tolist()
    different = []
    for m, k, n in [*extents, *FEW, *LONG, *SHORT, (290, 3000, 600), (30, 9000, 30), HELPED]:
        a, b = filled((m, k), pair[0]), filled((k, n), pair[1], seed=1)
        b = np.array(b, order=order)  # type: ignore[call-overload]
        if not _same(lambda threads, a=a, b=b: tw.matmul(a, b, threads=threads)):  # type: ignore[misc]
            different.append((m, k, n))
    assert different == []


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_layer_has_the_same_bits_for_any_number_of_threads(dtype: type) -> None:
    for m, k, n in [(300, 400, 500), (2, 3000, 900), (40, 5000, 60), HELPED]:
        x, weight, bias = filled((m, k), dtype), filled((n, k), dtype), normal((n,))
        assert _same(partial(_layer, x, weight, bias))


def _layer(x: Array, weight: Array, bias: Array, threads: int) -> Array:
    return np.asarray(tw.linear(x, weight, bias, activation="silu", threads=threads))


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize(
    ("m", "k", "n"), [(15, 6, 7), (65, 400, 33), (150, 2160, 170), (20, 700, 2100)]
)
def test_layouts_do_not_change_a_bit_of_many_rows(
    m: int, k: int, n: int, pair: tuple[type, type]
) -> None:
    a, b = filled((m, k), pair[0]), filled((k, n), pair[1], seed=1)
    expected = _digest(tw.matmul(a, b))
    for left in LAYOUTS.values():
        for right in LAYOUTS.values():
            assert _digest(tw.matmul(left(a), right(b), threads=2)) == expected


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize(
    ("m", "k", "n"), [(4, 4, 4), (1, 9, 1), (17, 31, 13), (40, 70, 33), (5, 300, 2), (200, 64, 197)]
)
def test_a_batch_has_the_bits_of_its_products(
    m: int, k: int, n: int, pair: tuple[type, type]
) -> None:
    a, b = filled((9, m, k), pair[0]), filled((9, k, n), pair[1], seed=1)
    columns = np.ascontiguousarray(b.swapaxes(1, 2)).swapaxes(1, 2)
    for right in (b, columns):
        products = [tw.matmul(x, y) for x, y in zip(a, right, strict=True)]
        for threads in (1, 3):
            batch = tw.matmul(a, right, threads=threads)
            assert _digest(batch) == _digest(np.stack(products))


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize(("m", "k", "n"), [(300, 40, 70), (96, 33, 5), (70, 131, 129), (20, 5, 4)])
def test_rows_and_columns_of_a_that_are_not_whole_units(
    m: int, k: int, n: int, pair: tuple[type, type]
) -> None:
    a, b = filled((m, k), pair[0]), filled((k, n), pair[1], seed=1)
    expect(tw.matmul(np.asfortranarray(a), b), a, b)
    wide = np.concatenate([np.zeros_like(a), a], axis=1)
    expect(tw.matmul(wide[:, k:], b, threads=1), a, b)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("seed", range(3))
def test_not_a_number_and_infinity_spread_as_in_the_definition(dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rare = rng.choice([np.nan, np.inf, -np.inf], (2, 67, 67))
    plain = rng.integers(-3, 4, (2, 67, 67))  # small whole numbers: every sum is exact
    a, b = np.where(rng.random((2, 67, 67)) < 0.002, rare, plain).astype(dtype)
    with np.errstate(invalid="ignore"):
        expected = definitions.matmul(a, b)
    assert np.isnan(expected).any()
    assert np.isinf(expected).any()
    rounded = expected.astype(dtype).astype(np.float64)
    assert_array_equal(tw.matmul(a, b).astype(np.float64), rounded)


def test_what_is_too_large_for_float16_is_infinite_but_its_sums_are_not() -> None:
    a = np.full((3, 3), 60_000, np.float16)
    assert_array_equal(tw.matmul(a, a), np.full((3, 3), np.inf, np.float16))
    sums = tw.matmul(a, a, out=np.empty((3, 3), np.float32))
    assert_array_equal(sums, 3 * float(a[0, 0]) ** 2)


MIXED = [
    (BFLOAT16, np.float32),
    (np.float64, BFLOAT16),
    (np.float16, np.float32),
    (np.float16, BFLOAT16),
    (np.int8, np.uint8),
    (np.uint8, np.uint8),
    (np.int8, np.float32),
]


@pytest.mark.parametrize(("left", "right"), MIXED)
def test_other_mixtures_are_refused(left: type, right: type) -> None:
    a: Array = np.ones((2, 3), left)
    b: Array = np.ones((3, 2), right)
    names = f"a has dtype {np.dtype(left).name}, b has dtype {np.dtype(right).name}, expected"
    with pytest.raises(DTypeError, match=f"^{names} .* nothing is cast silently, pass"):
        tw.matmul(a, b)


def test_layers_of_integers_or_mixtures_are_refused() -> None:
    x, weight = np.ones((2, 3), np.int8), np.ones((4, 3), np.int8)
    expected = "expected float32, float64, float16 or bfloat16: nothing is cast silently, pass"
    with pytest.raises(DTypeError, match=f"^x has dtype int8, {expected}"):
        tw.linear(x, weight)
    half = x.astype(np.float16)
    with pytest.raises(DTypeError, match=r"^x has dtype float16, weight has dtype float32"):
        tw.linear(half, weight.astype(np.float32))
    with pytest.raises(DTypeError, match=r"^x has .*, bias has dtype float64, expected"):
        tw.linear(half, weight.astype(np.float16), np.ones(4))


@pytest.mark.parametrize("pair", PAIRS)
def test_a_bad_out_is_refused_and_untouched(pair: tuple[type, type]) -> None:
    a, b = filled((2, 3), pair[0]), filled((3, 4), pair[1])
    result = np.dtype(np.int32 if pair in INTEGERS else pair[0])
    wrong = np.full((2, 4), 7, np.float64)
    with pytest.raises(DTypeError, match=f"^out has dtype <f8, expected {result.name}, the dtype"):
        tw.matmul(a, b, wrong)
    with pytest.raises(ShapeError, match=r"^out has shape \(3, 4\), expected \(2, 4\)"):
        tw.matmul(a, b, np.zeros((3, 4), result))
    memory = np.zeros(200, np.uint8)
    square = memory[:9].view(pair[0]) if pair[0] == pair[1] == np.int8 else None
    if square is not None:
        view = square.reshape(3, 3)
        with pytest.raises(LayoutError, match=r"^out overlaps a in memory"):
            tw.matmul(view, np.ones((3, 2), np.int8), memory[:24].view(np.int32).reshape(3, 2))
    assert_array_equal(wrong, 7)


def test_an_out_that_shares_memory_of_another_type_is_refused() -> None:
    memory = np.zeros(64, np.float32)
    a, out = memory[:8].view(np.float16).reshape(4, 4), memory[4:20].reshape(4, 4)
    with pytest.raises(LayoutError, match=r"^out overlaps a in memory"):
        tw.matmul(a, np.ones((4, 4), np.float16), out)
    with pytest.raises(LayoutError, match=r"^out overlaps b in memory"):
        tw.matmul(np.ones((4, 4), np.float16), a, out)


@given(windows(axes=2), windows(axes=2))
def test_windows_of_one_memory_as_narrow_numbers(a: Array, b: Array) -> None:
    shape = (a.shape[0], b.shape[1])
    if a.shape[1] != b.shape[0]:
        with pytest.raises(ShapeError):
            tw.matmul(a.astype(BFLOAT16), b.astype(BFLOAT16))
        return
    assert_array_equal(
        tw.matmul(a.astype(BFLOAT16), b.astype(BFLOAT16)), np.full(shape, a.shape[1])
    )


def test_all_but_bfloat16_works_without_ml_dtypes() -> None:
    program = """
        import sys
        sys.modules["ml_dtypes"] = None
        import numpy as np
        import threadwise as tw
        a = np.ones((2, 3), np.float16)
        print(tw.matmul(a, a.T).dtype, tw.matmul(a.astype("i1"), a.T.astype("i1")).dtype)
        try:
            tw.matmul(a.view("V2"), a.view("V2").T)
        except tw.errors.DTypeError as error:
            print(str(error)[:19])
    """
    assert run(program).splitlines() == ["float16 int32", "a has dtype |V2, ex"]


def test_importing_loads_no_ml_dtypes() -> None:
    assert run("import sys, threadwise; print('ml_dtypes' in sys.modules)") == "False"
