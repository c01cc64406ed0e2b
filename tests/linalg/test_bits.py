"""The same bits for any number of threads, any layout, alone or in a batch."""

from collections.abc import Callable, Iterator
from hashlib import sha256

import numpy as np
import pytest
from definitions import ACTIVATIONS
from strategies import DTYPES, LAYOUTS, Array, normal

import threadwise as tw
from threadwise.linalg import Activation


def _digest(array: Array) -> str:
    return sha256(array.tobytes()).hexdigest()


def _random_extents(count: int) -> Iterator[tuple[int, int, int]]:
    rng = np.random.default_rng(20_240_607)
    for _ in range(count):
        # To some hundreds, evenly in size: about half are worth two threads or more.
        m, k, n = np.exp(rng.uniform(np.log(20), np.log(900), 3)).astype(int).tolist()
        yield m, k, n


def _digests(product: Callable[[int], Array]) -> list[str]:
    return [_digest(product(threads)) for threads in (1, 2, 3, 4)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_has_the_same_bits_for_any_number_of_threads(dtype: type) -> None:
    different, worth_threads = [], 0
    for m, k, n in _random_extents(50):
        a, b = normal((m, k), dtype), normal((k, n), dtype, seed=1)
        one, *others = _digests(lambda threads, a=a, b=b: tw.matmul(a, b, threads=threads))
        different += [(m, k, n)] * (others != [one] * 3)
        worth_threads += m * k * n > 4_000_000
    assert different == []
    assert worth_threads >= 15


@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_has_the_same_bits_for_any_number_of_threads(dtype: type) -> None:
    different = []
    activations: list[Activation | None] = [None, "relu", "gelu", "gelu_tanh", "silu"]
    for i, (m, k, n) in enumerate(_random_extents(50)):
        x, weight, bias = normal((m, k), dtype), normal((n, k), dtype), normal((n,), dtype)
        activation = activations[i % len(activations)]

        def product(
            threads: int,
            args: tuple[Array, Array, Array] = (x, weight, bias),
            activation: Activation | None = activation,
        ) -> Array:
            return np.asarray(tw.linear(*args, activation=activation, threads=threads))

        one, *others = _digests(product)
        different += [(m, k, n)] * (others != [one] * 3)
    assert different == []


@pytest.mark.parametrize("shape", [(6, 30, 40), (3, 200, 210), (500, 9, 8)])
def test_a_batch_has_the_same_bits_for_any_number_of_threads(shape: tuple[int, int, int]) -> None:
    a, b = normal(shape), normal(shape, seed=1).swapaxes(-1, -2)
    one, *others = _digests(lambda threads: np.asarray(tw.matmul(a, b, threads=threads)))
    assert others == [one] * 3


@pytest.mark.parametrize(("m", "k", "n"), [(5, 6, 7), (65, 400, 33), (150, 160, 170)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts_do_not_change_a_bit(m: int, k: int, n: int, dtype: type) -> None:
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
    assert set(ACTIVATIONS) >= {None}
    assert _digest(tw.linear(x, weight)) == _digest(tw.matmul(x, weight.T))
