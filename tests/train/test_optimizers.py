"""Optimizers against their formulas, and schedules."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import threadwise as tw
from threadwise.train import (
    SGD,
    Adam,
    AdamW,
    ConstantRate,
    CosineRate,
    OneCycleRate,
    StepRate,
    WarmupRate,
    aggregate_gradients,
    clip_by_global_norm,
)
from threadwise.train.schedules import schedule


def some(count: int, seed: float) -> Any:
    return np.sin(np.arange(count) * 1.7 + seed)


def expected(kind: str, w: NDArray[Any], gradients: list[NDArray[Any]]) -> NDArray[Any]:
    """Return the weights after these steps, in NumPy."""
    w = w.copy()
    v, m, s = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t, gradient in enumerate(gradients, 1):
        g = gradient
        if kind in ("plain", "momentum", "nesterov"):
            g = g + 0.01 * w
            v = (0.0 if kind == "plain" else 0.9) * v + g
            w = w - 0.1 * (g + 0.9 * v if kind == "nesterov" else v)
        else:
            if kind == "adamw":
                w = w * (1 - 0.1 * 0.01)
            else:
                g = g + 0.01 * w
            m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g * g
            w = w - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
    return w


MAKE: dict[str, Any] = {
    "plain": lambda: SGD(0.1, weight_decay=0.01),
    "momentum": lambda: SGD(0.1, 0.9, weight_decay=0.01),
    "nesterov": lambda: SGD(0.1, 0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda: Adam(0.1, weight_decay=0.01),
    "adamw": lambda: AdamW(0.1, weight_decay=0.01),
}


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("count", [1, 67, 40_000])
def test_steps_are_those_of_the_formula(kind: str, count: int) -> None:
    parameters = {"a": some(count, 0.1), "b": some(3, 0.2).reshape(3, 1)}
    gradients = [{"a": some(count, t), "b": some(3, t + 0.5).reshape(3, 1)} for t in range(4)]
    wanted = {n: expected(kind, parameters[n], [g[n] for g in gradients]) for n in parameters}
    optimizer = MAKE[kind]()
    for gradient in gradients:
        assert optimizer.step(parameters, gradient) is None
    for name, array in parameters.items():
        assert_allclose(array, wanted[name], rtol=1e-10, atol=1e-12)
    assert optimizer.steps == 4


@pytest.mark.parametrize("clip", [None, 2.0, 1e6])
def test_a_step_with_shards_is_that_with_their_mean(clip: float | None) -> None:
    shards = [{"w": some(50_000, i).astype(np.float32)} for i in range(3)]
    mean = aggregate_gradients(shards, weights=[1, 2, 5])
    results = []
    for threads in (1, 2, 4):
        parameters = {"w": some(50_000, 0.3).astype(np.float32)}
        optimizer = AdamW(0.1, clip_norm=clip)
        norm = optimizer.step(parameters, shards, weights=[1, 2, 5], threads=threads)
        if clip is None:
            assert norm is None
        else:
            assert norm is not None
            assert_allclose(norm, np.linalg.norm(mean["w"].astype(float)), rtol=1e-6)
        results.append((norm, parameters["w"].tobytes()))
    assert results[0] == results[1] == results[2]
    if clip is not None:
        mean, _ = clip_by_global_norm(mean, clip)
    parameters = {"w": some(50_000, 0.3).astype(np.float32)}
    AdamW(0.1).step(parameters, mean)
    assert_allclose(parameters["w"], np.frombuffer(results[0][1], np.float32), rtol=1e-5, atol=1e-6)


def test_refuses_what_does_not_belong_together() -> None:
    parameters = {"w": np.ones(3), "b": np.ones(2)}
    fit = {"w": np.ones(3), "b": np.ones(2)}
    optimizer = SGD(0.1, 0.9)
    cases: list[tuple[Any, Any, str]] = [
        ({"w": np.ones(3)}, tw.errors.ShapeError, r"gradients\[0\] has the names \['w'\]"),
        ({"w": np.ones(4), "b": np.ones(2)}, tw.errors.ShapeError, "a gradient has shape"),
        ([], tw.errors.ShapeError, "gradients has no shards"),
        (
            {"w": np.ones(3, np.float32), "b": np.ones(2)},
            tw.errors.DTypeError,
            "expected one dtype",
        ),
    ]
    for gradients, error, match in cases:
        with pytest.raises(error, match=match):
            optimizer.step(parameters, gradients)
    assert_array_equal(parameters["w"], np.ones(3))
    assert optimizer.steps == 0
    with pytest.raises(tw.errors.ShapeError, match="other names or shapes"):
        optimizer.step({"other": np.ones(3)}, {"other": np.ones(3)})
    frozen = np.ones(3)
    frozen.flags.writeable = False
    with pytest.raises(
        tw.errors.LayoutError, match="parameters is in use by another call, or read-only"
    ):
        SGD(0.1).step({"w": frozen}, {"w": np.ones(3)})
    for weights, match in [
        ([1], "weights has 1 numbers"),
        ([0, 0], "all 0"),
        ([1, -1], r"weights\[1\]"),
    ]:
        with pytest.raises(tw.errors.ThreadwiseError, match=match):
            optimizer.step(parameters, [fit, fit], weights=weights)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: SGD(-1), "lr is -1"),
        (lambda: SGD(0.1, 1.0), "momentum is 1.0, expected a number from 0 to less than 1"),
        (lambda: SGD(0.1, nesterov=True), "nesterov is True and momentum 0"),
        (lambda: SGD(0.1, weight_decay=-1), "weight_decay is -1, expected a number 0 or more"),
        (lambda: SGD(0.1, clip_norm=0), "clip_norm is 0, expected a positive number or None"),
        (lambda: Adam(betas=(0.9, 1.0)), r"betas\[1\] is 1.0"),
        (lambda: Adam(eps=0), "eps is 0"),
        (lambda: StepRate(0.1, 0), "every is 0"),
        (lambda: OneCycleRate(0.1, 10, rise=1), "rise is 1"),
    ],
)
def test_refuses_settings_out_of_range(make: Any, match: str) -> None:
    with pytest.raises(tw.errors.DomainError, match=match):
        make()
    with pytest.raises(tw.errors.DTypeError, match="lr is 'fast', expected a number or a Schedule"):
        SGD("fast")  # type: ignore[arg-type]


def test_schedules_are_their_formulas() -> None:
    assert [ConstantRate(0.5)(s) for s in (0, 9)] == [0.5, 0.5]
    assert_allclose([StepRate(1.0, 10, 0.5)(s) for s in (0, 9, 10, 25)], [1, 1, 0.5, 0.25])
    cosine = CosineRate(1.0, 10, 0.2)
    assert_allclose([cosine(s) for s in (0, 5, 10, 99)], [1, 0.6, 0.2, 0.2])
    warm = WarmupRate(cosine, 4)
    assert_allclose([warm(s) for s in (0, 3, 4, 9)], [0.25, 1, 1, 0.6])
    cycle = OneCycleRate(1.0, 100, rise=0.3, start=10, end=100)
    assert_allclose([cycle(s) for s in (0, 15, 30, 100, 500)], [0.1, 0.55, 1, 0.01, 0.01])
    assert max(cycle(s) for s in range(101)) == 1
    for one in (ConstantRate(0.1), StepRate(1, 2), cosine, warm, cycle):
        assert schedule(one.describe()) == one
    parameters = {"w": np.zeros(1)}
    optimizer = SGD(StepRate(1.0, 1, 0.5))
    for _ in range(3):
        optimizer.step(parameters, {"w": np.ones(1)})
    assert parameters["w"] == -1.75
    assert math.isclose(optimizer.lr, 0.125)
    assert repr(optimizer) == "SGD(lr=0.125, steps=3)"
