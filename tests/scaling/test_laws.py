"""Laws give back what they were made of, and refuse what they cannot know."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import threadwise as tw

THREADS = [1, 2, 4, 8, 16]
SERVERS = [120.45, 65.23, 35.67, 18.92, 12.45]
"""Published seconds of a quantizer; without any run behind them, but all that a table can be."""
BATCHES = [1250, 650, 340, 180, 160]
"""Published milliseconds of batched inference: 16 threads are hardly faster than 8."""

fractions = st.floats(0, 1)
counts = st.lists(st.integers(2, 1024), min_size=1, max_size=8).map(lambda more: [1, *more])


def usl_times(threads: Any, contention: float, coherency: float) -> Any:
    n = np.asarray(threads, float)
    return (1 + contention * (n - 1) + coherency * n * (n - 1)) / n


@given(counts, fractions, st.floats(1e-6, 1e6))
def test_amdahl_returns_the_fraction_of_exact_times(
    threads: list[int], parallel: float, unit: float
) -> None:
    n = np.asarray(threads, float)
    fit = tw.scaling.amdahl_analysis(threads, unit * (1 - parallel + parallel / n))
    assert abs(fit.parallel_fraction - parallel) < 1e-9
    assert_allclose(fit.residuals, 0, atol=1e-9 * max(threads))
    if parallel < 1 - 1e-6:
        assert fit.max_speedup == pytest.approx(1 / (1 - parallel), rel=1e-3)


@given(counts, fractions)
def test_gustafson_returns_the_fraction_of_exact_times(threads: list[int], parallel: float) -> None:
    n = np.asarray(threads, float)
    fit = tw.scaling.gustafson_analysis(threads, n / (n - (1 - parallel) * (n - 1)))
    assert abs(fit.parallel_fraction - parallel) < 1e-9
    assert_allclose(fit.residuals, 0, atol=1e-9 * max(threads))


@given(st.floats(0, 0.9), st.floats(0, 0.1))
def test_usl_returns_the_coefficients_of_exact_times(contention: float, coherency: float) -> None:
    fit = tw.scaling.usl_analysis(THREADS, usl_times(THREADS, contention, coherency))
    assert_allclose([fit.contention, fit.coherency], [contention, coherency], atol=1e-9)
    assert_allclose(fit.residuals, 0, atol=1e-8)


@pytest.mark.parametrize("unit", [1.0, 0.7, 1e-9 / 3])
def test_perfect_scaling_is_a_fraction_of_exactly_1(unit: float) -> None:
    threads = [1, 2, 3, 5, 7, 11, 64]
    fit = tw.scaling.amdahl_analysis(threads, [unit / n for n in threads])
    assert fit.parallel_fraction == 1.0
    assert fit.intervals["parallel_fraction"] == (1.0, 1.0)
    assert fit.max_speedup == float("inf")
    assert "no limit" in str(fit)
    assert tw.scaling.gustafson_analysis(threads, [unit] * 7).parallel_fraction == 1.0
    usl = tw.scaling.usl_analysis(threads, [unit / n for n in threads])
    assert (usl.contention, usl.coherency) == (0.0, 0.0)
    assert (usl.peak_threads, usl.peak_speedup) == (float("inf"), float("inf"))
    assert usl.intervals["peak_threads"] == (float("inf"), float("inf"))


def test_what_is_faster_than_perfect_has_no_serial_part_and_residuals() -> None:
    fit = tw.scaling.amdahl_analysis([1, 2, 4], [1.0, 0.4, 0.2])
    assert fit.parallel_fraction == 1.0
    assert_allclose(fit.residuals, [0.5, 1.0])


def test_what_grows_slower_with_threads_has_no_parallel_part() -> None:
    fit = tw.scaling.amdahl_analysis([1, 2, 4], [1.0, 1.5, 2.0])
    assert (fit.parallel_fraction, fit.max_speedup) == (0.0, 1.0)
    assert fit.error > 0.5
    usl = tw.scaling.usl_analysis([1, 2, 4], [1.0, 1.5, 2.0])
    assert (usl.peak_threads, usl.peak_speedup) == (1.0, 1.0)


def test_karp_flatt_of_published_tables() -> None:
    found = tw.scaling.karp_flatt(THREADS, SERVERS)
    assert np.isnan(found[0])
    assert_allclose(found[1:], [0.0831, 0.0615, 0.0367, 0.0436], atol=5e-5)
    found = tw.scaling.karp_flatt(THREADS, BATCHES)
    assert_allclose(found[1:], [0.0400, 0.0293, 0.0217, 0.0699], atol=5e-5)


@pytest.mark.parametrize(
    ("threads", "speedup", "parallel"),
    [(2, 1.92, 0.958), (4, 3.68, 0.971), (8, 6.94, 0.978), (16, 7.81, 0.930)],
)
def test_amdahl_of_a_single_speedup(threads: int, speedup: float, parallel: float) -> None:
    fit = tw.scaling.amdahl_analysis([1, threads], [speedup, 1.0])
    assert fit.parallel_fraction == pytest.approx(parallel, abs=5e-4)
    assert fit.parallel_fraction == pytest.approx(threads * (speedup - 1) / speedup / (threads - 1))
    # One equation for one unknown: nothing is left to tell how far it may be off.
    assert np.isnan(fit.intervals["parallel_fraction"]).all()


def test_a_coefficient_at_its_bound_makes_the_other_fit_alone() -> None:
    # Without bounds, the least squares would be contention 0.0432 and coherency -7e-6.
    usl = tw.scaling.usl_analysis(THREADS, SERVERS)
    amdahl = tw.scaling.amdahl_analysis(THREADS, SERVERS)
    assert usl.coherency == 0.0
    assert usl.contention == pytest.approx(amdahl.serial_fraction, rel=1e-12)
    assert usl.contention == pytest.approx(0.0431, abs=5e-5)
    assert usl.peak_threads == float("inf")
    assert usl.peak_speedup == pytest.approx(1 / usl.contention)
    # And contention -0.0115, coherency 0.00505 here.
    usl = tw.scaling.usl_analysis(THREADS, BATCHES)
    n = np.array(THREADS[1:], float)
    x, y = n * (n - 1), n * np.array(BATCHES[1:]) / BATCHES[0] - 1
    assert usl.contention == 0.0
    assert usl.coherency == pytest.approx((x @ y) / (x @ x), rel=1e-12)
    assert usl.peak_threads == pytest.approx(usl.coherency**-0.5)
    # More threads than that are slower, which Amdahl's law cannot say.
    assert usl.speedup(16) < usl.speedup(usl.peak_threads)
    assert usl.error < tw.scaling.amdahl_analysis(THREADS, BATCHES).error


@given(st.lists(st.floats(0.5, 20), min_size=4, max_size=4))
def test_usl_is_the_best_of_all_coefficients_that_are_not_negative(speedups: list[float]) -> None:
    times = [1.0, *(1 / speedup for speedup in speedups)]
    fit = tw.scaling.usl_analysis(THREADS, times)
    n = np.array(THREADS[1:], float)
    y = n / np.array(speedups) - 1

    def squares(contention: float, coherency: float) -> float:
        return float(np.sum((contention * (n - 1) + coherency * n * (n - 1) - y) ** 2))

    best = squares(fit.contention, fit.coherency)
    assert min(fit.contention, fit.coherency) >= 0
    for contention in fit.contention * np.array([0.9, 1, 1.1]) + [0, 0, 1e-3]:
        for coherency in fit.coherency * np.array([0.9, 1, 1.1]) + [0, 0, 1e-4]:
            assert squares(contention, coherency) >= best * (1 - 1e-9) - 1e-12


@pytest.mark.parametrize("rounds", [1, 7])
def test_intervals_of_usl_hold_the_truth_as_often_as_they_say(rounds: int) -> None:
    truth = (0.05, 0.002)
    threads = [1, 2, 3, 4, 6, 8, 12, 16]
    random = np.random.default_rng(7)
    held = []
    for _ in range(60):
        noise = np.exp(0.02 * random.standard_normal((rounds, 8)))
        fit = tw.scaling.usl_analysis(threads, usl_times(threads, *truth) * noise)
        intervals = (fit.intervals["contention"], fit.intervals["coherency"])
        held += [low <= true <= high for (low, high), true in zip(intervals, truth, strict=True)]
        low, high = fit.intervals["peak_threads"]
        assert low <= fit.peak_threads <= high
        assert abs(fit.contention - 0.05) < 0.05
    # Of 120 that hold with 95 %, less than 105 do so once in a million.
    assert sum(held) >= 105


def test_intervals_of_amdahl_hold_the_truth_and_shrink_with_rounds() -> None:
    times = 0.1 + 0.9 / np.array(THREADS)
    random = np.random.default_rng(3)
    widths = []
    for rounds in (5, 80):
        noise = np.exp(0.03 * random.standard_normal((rounds, 5)))
        fit = tw.scaling.amdahl_analysis(THREADS, times * noise)
        low, high = fit.intervals["parallel_fraction"]
        assert low <= 0.9 <= high
        assert fit.intervals["max_speedup"] == pytest.approx((1 / (1 - low), 1 / (1 - high)))
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_intervals_are_the_same_each_time() -> None:
    first, again = (tw.scaling.usl_analysis(THREADS, BATCHES) for _ in range(2))
    assert first == again


def test_the_median_of_rounds_counts() -> None:
    rounds = [[1.0, 1.0], [2.0, 1.0], [3.0, 1.5], [4.0, 2.0]]
    fit = tw.scaling.amdahl_analysis([1, 2], rounds)
    assert fit.speedups == (2.5 / 1.25,)


def test_noise_of_a_round_that_hits_all_alike_does_not_count() -> None:
    slow = np.array([1.0, 1.3, 0.8, 1.1])[:, None]
    fit = tw.scaling.amdahl_analysis([1, 2, 4], slow * [1.0, 0.55, 0.325])
    assert_allclose(fit.intervals["parallel_fraction"], 0.9, atol=1e-12)


ANALYSES = [
    tw.scaling.amdahl_analysis,
    tw.scaling.gustafson_analysis,
    tw.scaling.karp_flatt,
    tw.scaling.usl_analysis,
]


@pytest.mark.parametrize("analysis", ANALYSES)
@pytest.mark.parametrize(
    ("threads", "times", "error", "sentence"),
    [
        ([2, 4], [1, 2], tw.errors.DomainError, r"threads is \[2, 4\], without 1: a speedup needs"),
        ([1, 1], [1, 2], tw.errors.DomainError, r"threads is \[1, 1\], expected at least one"),
        ([1, 0], [1, 2], tw.errors.DomainError, r"expected whole numbers from 1"),
        ([1, 2.5], [1, 2], tw.errors.DomainError, r"expected whole numbers from 1"),
        ([1, 2], [1, 0], tw.errors.DomainError, r"expected positive and finite seconds"),
        ([1, 2], [1, float("nan")], tw.errors.DomainError, r"expected positive and finite"),
        ([1, 2], [1], tw.errors.ShapeError, r"threads has shape \(2,\), times has shape \(1,\)"),
        ([1, 2], [[[1, 2]]], tw.errors.ShapeError, r"times has shape \(1, 1, 2\)"),
        ([1, 2], np.empty((0, 2)), tw.errors.DomainError, r"expected positive and finite"),
        ([1, "x"], [1, 2], tw.errors.DTypeError, r"threads or times are not numbers"),
    ],
)
def test_what_makes_no_sense_is_refused(
    analysis: Any, threads: Any, times: Any, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        analysis(threads, times)


def test_two_coefficients_need_two_numbers_of_threads() -> None:
    with pytest.raises(tw.errors.DomainError, match=r"above 1 is 2 alone: two coefficients need"):
        tw.scaling.usl_analysis([1, 2, 2], [1, 0.6, 0.6])
