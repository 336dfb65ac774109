"""Bootstrap of samples: draws within strata as weights, percentile intervals of any measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from adfm.numbers import Floats, Integers

LEVEL = 0.95
RESAMPLES = 1000
_BLOCK = 4_000_000  # weights held at a time, about 32 MB


class Interval(NamedTuple):
    """Lower and upper bound, None where the metric is undefined in every resample."""

    low: float | None
    high: float | None


def weight_blocks(strata: Integers, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield blocks (r, n) of weights, `resamples` rows in all: how often each sample is drawn.

    Each stratum is drawn with replacement from itself, at its own size. The same strata and seed give the same draws,
    which is what makes a comparison of two runs paired.
    """
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    block = max(1, _BLOCK // max(1, len(strata)))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        weights = np.zeros((rows, len(strata)))
        for own in members:
            picks = generator.integers(len(own), size=(rows, len(own))) + np.arange(rows)[:, None] * len(own)
            weights[:, own] = np.bincount(picks.ravel(), minlength=rows * len(own)).reshape(rows, len(own))
        yield weights


def replicates(
    measure: Callable[[Floats], dict[str, Floats]],
    labels: Integers,
    units: Integers,
    *,
    resamples: int,
    seed: int,
) -> dict[str, Floats]:
    """Return each metric's values (resamples,), NaN where it is undefined.

    What is drawn are the `units` (n,), numbered from 0, each with all its samples (a cluster bootstrap, Davison and
    Hinkley 1997, 3.8); the units that hold the same set of `labels` (n,) are a stratum.
    """
    blocks = [measure(weights[:, units]) for weights in weight_blocks(unit_strata(labels, units), resamples, seed)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in (blocks[0] if blocks else ())}


def unit_strata(labels: Integers, units: Integers) -> Integers:
    """Return the stratum (u,) of each unit: the set of `labels` (n,) that its samples have, as bits."""
    strata = np.zeros(units.max() + 1, dtype=np.int_)
    np.bitwise_or.at(strata, units, 1 << labels)
    return strata


def interval(values: Floats) -> Interval:
    """Percentile interval of the defined values at `LEVEL` (Efron 1979)."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return Interval(None, None)
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def with_bounds(value: float | None, bounds: Interval) -> dict[str, float | None]:
    """Return a metric's cell of `metrics.json`: `value`, `low` and `high`, all None where the value is undefined."""
    return {"value": value, **(Interval(None, None) if value is None else bounds)._asdict()}
