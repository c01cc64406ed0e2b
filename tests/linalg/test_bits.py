"""The same bits for any number of threads, any layout, alone or in a batch."""

from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np
import pytest

import threadwise as tw
from definitions import ACTIVATIONS
from strategies import DTYPES, LAYOUTS, Array, normal
from threadwise.linalg import Activation


def _digest(array: Array) -> str:
    return sha256(array.tobytes()).hexdigest()


def _matmul(a: Array, b: Array, threads: int) -> Array:
    return np.asarray(tw.matmul(a, b, threads=threads))


def _linear(
    x: Array, weight: Array, bias: Array, activation: Activation | None, threads: int
) -> Array:
    return np.asarray(tw.linear(x, weight, bias, activation=activation, threads=threads))


def _random_extents(count: int) -> Iterator[tuple[int, int, int]]:
    rng = np.random.default_rng(20_240_607)
    for _ in range(count):
        # To some hundreds, evenly in size: about half are worth two threads or more.
        m, k, n = np.exp(rng.uniform(np.log(20), np.log(900), 3)).astype(int).tolist()
        yield m, k, n


def _threads_matter(product: Callable[[int], Array]) -> bool:
    return len({_digest(product(threads)) for threads in (1, 2, 3, 4)}) > 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_has_the_same_bits_for_any_number_of_threads(dtype: type) -> None:
    different, worth_threads = [], 0
    for m, k, n in _random_extents(50):
        a, b = normal((m, k), dtype), normal((k, n), dtype, seed=1)
        if _threads_matter(partial(_matmul, a, b)):
            different.append((m, k, n))
        worth_threads += m * k * n > 4_000_000
    assert different == []
    assert worth_threads >= 15


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 5, 64, 100, 128, 300, 1000])
def test_small_products_have_the_bits_of_the_general_way(k: int, dtype: type) -> None:
    for m, n in [
        (1, 1),
        (1, 70),
        (1, 200),
        (2, 200),
        (3, 150),
        (4, 200),
        (7, 130),
        (30, 30),
        (64, 1),
        (64, 2),
        (24, 4),
        (63, 2),
        (100, 8),
        (113, 9),
        (33, 33),
        (40, 75),
        (65, 65),
    ]:
        a, b = normal((m, k), dtype), normal((k, n), dtype, seed=1)
        place: np.ndarray = np.empty((m, n), dtype)
        tw.matmul(a, b, out=place)
        assert _digest(np.asarray(tw.matmul(a, b))) == _digest(place), (m, k, n)
        if m == 1:
            row = np.asarray(tw.matmul(a[0], b))
            assert _digest(row) == _digest(place[0]), "a vector is a matrix of one row"


@pytest.mark.parametrize("threads", [0, 1.5, True])
def test_small_products_refuse_numbers_of_threads_that_make_no_sense(threads: Any) -> None:
    one, matrix = np.ones(3), np.ones((3, 3))
    for a, b in [(one, one), (one, matrix), (matrix, one), (matrix, matrix), (matrix.T, matrix)]:
        with pytest.raises((tw.errors.DTypeError, tw.errors.DomainError), match="threads is"):
            tw.matmul(a, b, threads=threads)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_linear_has_the_same_bits_for_any_number_of_threads(
    activation: Activation | None, dtype: type
) -> None:
    different = []
    for m, k, n in _random_extents(50):
        x, weight, bias = normal((m, k), dtype), normal((n, k), dtype), normal((n,), dtype)
        if _threads_matter(partial(_linear, x, weight, bias, activation)):
            different.append((m, k, n))
    assert different == []


@pytest.mark.parametrize("shape", [(6, 30, 40), (3, 200, 210), (500, 9, 8), (40, 60, 70)])
def test_a_batch_has_the_same_bits_for_any_number_of_threads(shape: tuple[int, int, int]) -> None:
    a, b = normal(shape), normal(shape, seed=1).swapaxes(-1, -2)
    assert not _threads_matter(partial(_matmul, a, b))


@pytest.mark.parametrize(("m", "k", "n"), [(15, 6, 7), (65, 400, 33), (150, 160, 170)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts_do_not_change_a_bit_of_many_rows(m: int, k: int, n: int, dtype: type) -> None:
    a, b = normal((m, k), dtype), normal((k, n), dtype, seed=1)
    digests = {
        (left, right): _digest(tw.matmul(LAYOUTS[left](a), LAYOUTS[right](b), threads=2))
        for left in LAYOUTS
        for right in LAYOUTS
    }
    assert {pair for pair, digest in digests.items() if digest != _digest(tw.matmul(a, b))} == set()


def test_neighbours_do_not_change_a_bit() -> None:
    a, b = normal((9, 40, 50)), normal((50, 60), seed=1)
    alone = [_digest(tw.matmul(matrix, b)) for matrix in a]
    assert [_digest(matrix) for matrix in tw.matmul(a, b)] == alone
    rows = np.concatenate([tw.matmul(a[0][i : i + 1], b) for i in range(40)])
    assert _digest(rows) == alone[0]


def test_a_layer_without_bias_is_the_product_with_the_transposed_weight() -> None:
    x, weight = normal((70, 80)), normal((90, 80), seed=1)
    assert _digest(tw.linear(x, weight)) == _digest(tw.matmul(x, weight.T))
