"""Gradients of shards made one."""

import threading
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import threadwise as tw
from threadwise.train import (
    MLP,
    GradientAccumulator,
    aggregate_gradients,
    clip_by_global_norm,
    parallel_gradients,
)

DTYPES: list[Any] = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]
UNITS = {"float32": 2.0**-24, "float64": 2.0**-53, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def shards(count: int, shape: Any, dtype: Any) -> list[NDArray[Any]]:
    rng = np.random.default_rng(count)
    return [rng.standard_normal(shape).astype(dtype) for _ in range(count)]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("shape", [(), (0,), (67,), (300, 401)])
def test_means_and_sums_are_those_of_numpy_within_the_bound(
    dtype: Any, count: int, shape: Any
) -> None:
    gradients = shards(count, shape, dtype)
    weights = [1 + i / 2 for i in range(count)]
    wide = [g.astype(np.float64) for g in gradients]
    sums: Any = sum(w * g for w, g in zip(weights, wide, strict=True))
    sizes: Any = sum(w * abs(g) for w, g in zip(weights, wide, strict=True))
    name = np.dtype(dtype).name
    in_sum = UNITS["float64" if name == "float64" else "float32"]
    for method, factor in [("sum", 1.0), ("mean", 1 / sum(weights))]:
        made = aggregate_gradients(gradients, weights=weights, method=method)  # type: ignore[arg-type]
        assert made.dtype == dtype
        assert made.shape == shape
        bound = ((count + 2) * in_sum * sizes + 1.01 * UNITS[name] * abs(sums)) * factor
        error = abs(made.astype(np.float64) - sums * factor)
        assert np.all(error <= bound + 1e-7 * (name == "float16"))
        same = [
            aggregate_gradients(gradients, weights=weights, method=method, threads=n).tobytes()  # type: ignore[arg-type]
            for n in (1, 2, 4)
        ]
        assert set(same) == {made.tobytes()}


def test_entries_may_be_lists_and_dicts_in_any_layout() -> None:
    entries = [
        {"w": [a, np.asfortranarray(b)], "b": (a[::2],)}
        for a, b in zip(shards(3, (8,), float), shards(3, (5, 7), float), strict=True)
    ]
    made = aggregate_gradients(entries)
    assert set(made) == {"w", "b"}
    assert_allclose(made["w"][1], np.mean([e["w"][1] for e in entries], axis=0), rtol=1e-14)
    assert_allclose(made["b"][0], np.mean([e["b"][0] for e in entries], axis=0), rtol=1e-14)
    out = {"w": [np.full(8, np.nan), np.full((7, 5), np.nan).T], "b": [np.full(4, np.nan)]}
    assert aggregate_gradients(entries, out=out) is out
    assert_array_equal(out["w"][1], made["w"][1])
    assert_array_equal(out["b"][0], made["b"][0])


def test_refuses_shards_that_differ() -> None:
    a = np.ones(3)
    cases: list[tuple[Any, Any, str]] = [
        ([], tw.errors.ShapeError, "gradients has no shards"),
        ([a, np.ones(4)], tw.errors.ShapeError, r"shard 1 of gradients has shape \(4,\)"),
        ([a, a.astype(np.float32)], tw.errors.DTypeError, "shard 1 of gradients has dtype float32"),
        ([[a], [a, a]], tw.errors.ShapeError, "shard 1 of gradients has 2 arrays"),
        ([{"w": a}, {"v": a}], tw.errors.ShapeError, r"expected the names \['w'\] as in shard 0"),
        ([{"w": a}, {"w": np.ones(4)}], tw.errors.ShapeError, r"shard 1 of gradients\['w'\]"),
        ([np.ones(3, int)], tw.errors.DTypeError, "gradients has dtype int64, expected float32"),
    ]
    for gradients, error, match in cases:
        with pytest.raises(error, match=match):
            aggregate_gradients(gradients)
    with pytest.raises(tw.errors.DomainError, match="method is 'median', expected 'mean' or 'sum'"):
        aggregate_gradients([a], method="median")  # type: ignore[arg-type]
    out = np.full(4, np.nan)
    with pytest.raises(tw.errors.ShapeError, match=r"out has shape \(4,\), expected \(3,\)"):
        aggregate_gradients([a, a], out=out)
    assert np.isnan(out).all()
    with pytest.raises(tw.errors.LayoutError, match="out overlaps gradients"):
        aggregate_gradients([a, a], out=a)


def test_clipping_scales_all_gradients_to_the_norm() -> None:
    gradients: dict[str, Any] = {
        "w": shards(1, (300, 400), np.float32)[0],
        "b": [np.array([3, 4], np.float32)],
    }
    exact = np.sqrt(np.sum(gradients["w"].astype(float) ** 2) + 25)
    clipped, norm = clip_by_global_norm(gradients, 1.0)
    assert_allclose(norm, exact, rtol=1e-6)
    assert_allclose(clipped["b"][0], np.array([3, 4], np.float32) / exact, rtol=1e-6)
    assert_allclose(clip_by_global_norm(clipped, 1e9)[1], 1, rtol=1e-6)
    same, again = clip_by_global_norm(gradients, 1e9, threads=2)
    assert same is gradients
    assert again == norm
    assert clip_by_global_norm([np.full(4, 1e30, np.float32)], 1.0)[1] == pytest.approx(2e30)
    with pytest.raises(tw.errors.DomainError, match="max_norm is 0, expected a positive number"):
        clip_by_global_norm(gradients, 0)
    with pytest.raises(tw.errors.DomainError, match="norm of the gradients is inf"):
        clip_by_global_norm([np.array([np.inf])], 1.0)


def test_who_comes_first_does_not_matter_to_the_accumulator() -> None:
    gradients = shards(6, (1000,), np.float32)
    expected = aggregate_gradients(gradients, weights=range(1, 7))
    for order in (range(6), range(5, -1, -1)):
        accumulator = GradientAccumulator(6)
        threads = [
            threading.Thread(
                target=accumulator.add, args=(i, gradients[i]), kwargs={"weight": i + 1}
            )
            for i in order
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert accumulator.missing == ()
        assert_array_equal(accumulator.result(), expected)
        accumulator.reset()
        assert len(accumulator.missing) == 6
    accumulator.add(1, gradients[1])
    with pytest.raises(tw.errors.DomainError, match="slot 1 is taken"):
        accumulator.add(1, gradients[1])
    with pytest.raises(tw.errors.DomainError, match="slot is 6, expected 0 to 5"):
        accumulator.add(6, gradients[1])
    with pytest.raises(tw.errors.DomainError, match="slot 0 is empty"):
        accumulator.result()
    with pytest.raises(tw.errors.DomainError, match="slots is 0"):
        GradientAccumulator(0)


def test_gradients_of_ragged_shards_are_those_of_the_batch() -> None:
    model = MLP([20, 30, 4], "tanh", dtype=np.float64)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 20)), rng.integers(0, 4, 50)
    cuts = [slice(0, 7), slice(7, 30), slice(30, 50)]

    def gradients(part: slice) -> Any:
        return model.gradients(x[part], y[part])

    whole = model.gradients(x, y)
    for threads in (1, 2, 4):
        made = parallel_gradients(gradients, cuts, threads=threads)
        for name in model.parameters:
            assert_allclose(made[name], whole[name], rtol=1e-11, atol=1e-15)
    bits = [
        {n: a.tobytes() for n, a in parallel_gradients(gradients, cuts, threads=t).items()}
        for t in (1, 2)
    ]
    assert bits[0] == bits[1]
    plain = parallel_gradients(lambda part: x[part].sum(axis=0), cuts, method="sum")
    assert_allclose(plain, x.sum(axis=0), rtol=1e-12, atol=1e-12)
    with pytest.raises(tw.errors.ShapeError, match="shards has no entries"):
        parallel_gradients(gradients, [])
