"""The exact interval against scipy's, and numbers as text."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from adfm.numbers import clopper_pearson, difference_with_interval, three_digits, with_interval


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (0, 30), (30, 30), (3, 17), (16, 17)])
def test_the_exact_interval_is_clopper_pearson(hits: int, n: int) -> None:
    reference = binomtest(hits, n).proportion_ci(method="exact")
    assert clopper_pearson(hits, n) == pytest.approx((reference.low, reference.high))
    assert clopper_pearson(0, 0) == (0, 1)


def test_values_with_intervals() -> None:
    assert with_interval({"value": 0.85, "low": 0.8, "high": 0.9}) == "0.850 [0.800, 0.900]"
    assert with_interval({"value": 0.85, "low": None, "high": None}) == "0.850"
    assert with_interval({"value": None, "low": None, "high": None}) == with_interval(None) == "-"
    assert (three_digits(0.12345), three_digits(None)) == ("0.123", "-")


def test_differences_with_intervals() -> None:
    assert difference_with_interval(-0.2, 0.1, 0.3) == "+0.100 [-0.200, +0.300]"
    assert difference_with_interval(None, None, None) == "-"
