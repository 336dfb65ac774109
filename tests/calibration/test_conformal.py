"""The promise on new parts, in simulation: kept with and without ties; broken by drift, by a naive rank and by `>=`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import beta

from adfm.calibration.conformal import (
    allowed_errors,
    expected_rate,
    lower_level,
    samples_needed,
    upper_level,
    worst_rate,
)
from adfm.errors import DataError

DRAWS = 10_000
Draw = Callable[[np.random.Generator, int], np.ndarray]


def smooth(random: np.random.Generator, n: int) -> np.ndarray:
    return random.normal(size=n)


def zero_or_one(random: np.random.Generator, n: int) -> np.ndarray:
    """Almost every score is exactly 0, the rest exactly 1: what a saturated model gives."""
    return (random.random(n) < 0.03).astype(float)


def few_values(random: np.random.Generator, n: int) -> np.ndarray:
    return random.integers(0, 4, n) / 4


def shared_shift(random: np.random.Generator, n: int) -> np.ndarray:
    """Exchangeable, not independent: every draw of seen and new scores has its own offset."""
    return random.normal(size=n) + 5 * random.normal()


DISTRIBUTIONS: tuple[Draw, ...] = (smooth, zero_or_one, few_values, shared_shift)


def rejected(
    draw: Draw, n: int, alpha: float, *, level: Callable[..., float] = upper_level, drift: float = 0, at: bool = False
) -> float:
    """The share of draws in which one new normal score lies beyond the level of n seen ones (`at`: or on it)."""
    random = np.random.default_rng([n, round(1000 * alpha)])
    hits = 0
    for _ in range(DRAWS):
        scores = draw(random, n + 1)
        threshold, new = level(scores[:-1], alpha, "normal"), scores[-1] + drift
        hits += new > threshold or (at and new == threshold)
    return hits / DRAWS


def bound(alpha: float) -> float:
    return alpha + 3 * math.sqrt(alpha * (1 - alpha) / DRAWS)


@pytest.mark.parametrize("draw", DISTRIBUTIONS, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize(("n", "alpha"), [(19, 0.05), (50, 0.05), (99, 0.01), (60, 0.2)])
def test_the_rate_of_false_rejects_is_kept(draw: Draw, n: int, alpha: float) -> None:
    assert rejected(draw, n, alpha) <= bound(alpha)


def test_without_ties_nothing_is_given_away() -> None:
    rate = expected_rate(50, 0.05)
    error = math.sqrt(rate * (1 - rate) / DRAWS)
    assert rejected(smooth, 50, 0.05) == pytest.approx(rate, abs=4 * error)


@pytest.mark.parametrize("draw", [smooth, few_values], ids=lambda draw: draw.__name__)
def test_control_drift_breaks_the_promise(draw: Draw) -> None:
    assert rejected(draw, 50, 0.05, drift=0.5) > bound(0.05)


def test_control_a_naive_quantile_breaks_the_promise() -> None:
    def naive(scores: np.ndarray, alpha: float, _: str) -> float:
        return float(np.quantile(scores, 1 - alpha))

    assert rejected(smooth, 24, 0.05, level=naive) > bound(0.05)


@pytest.mark.parametrize("draw", [zero_or_one, few_values], ids=lambda draw: draw.__name__)
def test_control_rejecting_on_the_level_breaks_the_promise_under_ties(draw: Draw) -> None:
    assert rejected(draw, 50, 0.05, at=True) > bound(0.05)


@pytest.mark.parametrize(
    ("rate", "needed"), [(0.05, 19), (0.01, 99), (0.1, 9), (0.5, 1), (0.3, 3), (0.07, 14), (0.001, 999), (0.9, 1)]
)
def test_how_many_are_needed(rate: float, needed: int) -> None:
    assert samples_needed(rate) == needed
    scores = np.arange(float(needed))
    assert upper_level(scores, rate, "normal") in scores
    if needed > 1:
        with pytest.raises(DataError, match=rf"{needed - 1} readable normal cannot promise .* = {needed}; add 1 more"):
            upper_level(scores[:-1], rate, "normal")


def test_a_decimal_rate_is_taken_as_it_was_written() -> None:
    assert 0.29 * 100 < 29  # why floating point is not used
    assert allowed_errors(99, 0.29) == 29
    assert all(allowed_errors(n, k / 100) == k * (n + 1) // 100 for n in range(1, 300) for k in range(1, 100))


def test_the_level_is_the_order_statistic() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 40.0))
    assert upper_level(scores, 0.05, "x") == math.ceil(40 * 0.95)
    assert lower_level(scores, 0.05, "x") == 2
    assert np.sum(scores < lower_level(scores, 0.2, "x")) + 1 == 8


def test_the_rate_of_misses_is_kept() -> None:
    def mirrored(scores: np.ndarray, alpha: float, what: str) -> float:
        return -lower_level(-scores, alpha, what)

    for draw in DISTRIBUTIONS:
        assert rejected(draw, 40, 0.05, level=mirrored) <= bound(0.05)


def test_one_level_is_worse_than_the_average_as_often_as_said() -> None:
    random = np.random.default_rng(3)
    levels = np.array([upper_level(random.random(60), 0.1, "x") for _ in range(DRAWS)])
    worse = np.mean(1 - levels > worst_rate(60, 0.1))  # of uniform scores the true rate is 1 - level
    assert worse == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / DRAWS))
    assert worst_rate(60, 0.1) == pytest.approx(beta.ppf(0.95, 6, 55))
