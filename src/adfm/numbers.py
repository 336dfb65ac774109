"""What the modules of figures share: types of arrays, safe division, the exact interval of a proportion, figures as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Integers = NDArray[np.int_]


def divide(above: Floats, below: Floats) -> Floats:
    """Return the quotient, NaN where nothing is below."""
    quotient: Floats = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return quotient


def mean_of(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are not None; None where there is none."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def clopper_pearson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval (low, high) of a proportion of `hits` in `n`; (0, 1) where `n` is 0.

    Source: Clopper and Pearson 1934, as quantiles of the beta distribution.
    """
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = float(betaincinv(hits, n - hits + 1, tail)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    return low, high


def metric_row(
    name: str,
    cells: Iterable[Mapping[str, float | None] | None],
    differences: Iterable[tuple[float | None, float | None, float | None]],
) -> list[str]:
    """Return a row of a table of metrics: its name, each run's value, each difference `(low, middle, high)`, as text."""
    return [name, *map(with_interval, cells), *(difference_with_interval(*bounds) for bounds in differences)]


def with_interval(cell: Mapping[str, float | None] | None) -> str:
    """Return `value [low, high]` to three digits of a metric's cell; without bounds the value, without a value `-`."""
    if cell is None or cell["value"] is None:
        return "-"
    low, high = cell.get("low"), cell.get("high")
    return three_digits(cell["value"]) + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")


def difference_with_interval(low: float | None, middle: float | None, high: float | None) -> str:
    """Return `+middle [+low, +high]` of a difference to three digits; `-` where there is none."""
    if low is None or middle is None or high is None:
        return "-"
    return f"{middle:+.3f} [{low:+.3f}, {high:+.3f}]"


def three_digits(value: float | None) -> str:
    """Return a value to three digits, `-` where there is none."""
    return "-" if value is None else f"{value:.3f}"
