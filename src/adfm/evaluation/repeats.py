"""Differences of runs, and the same comparison on several seeded splits: averaged over the repeats, paired by image.

Scores of models that were trained apart are never ranked together: each metric is taken within its repeat and then
averaged. What is resampled are the images: one that is held out in several repeats is drawn in all of them or in none,
so a repeat adds certainty only as far as its images or its mistakes differ. Left out: the chance of the training itself,
which a handful of repeats cannot put into an interval. `each` lists the repeats one by one instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from adfm.calibration.decision import READ_VERDICT, Threshold
from adfm.errors import DataError
from adfm.evaluation.bootstrap import RESAMPLES, interval, replicates, with_bounds
from adfm.evaluation.definitions import METRICS
from adfm.evaluation.metrics import Table, build_table, mean_of_defined, measure, numbered, unit_of, values_of
from adfm.numbers import Floats, Integers, mean_of
from adfm.predictions import Prediction, require_unique

Run = Sequence[Prediction]


def paired_difference(
    a: Run, b: Run, *, seed: int = 0, resamples: int = RESAMPLES, threshold: Threshold = READ_VERDICT
) -> dict[str, list[float]]:
    """Return `[low, mid, high]` of b minus a for every metric that both runs define, over all parts.

    `mid` is the observed difference; the 95 % interval resamples the parts, the same ones for both runs and those of
    one group together.

    Raises:
        DataError: the runs do not hold the same ids with the same truth.
    """
    return repeated_difference([a], [b], seed=seed, resamples=resamples, threshold=threshold)


def repeated_difference(
    a: Sequence[Run],
    b: Sequence[Run],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    threshold: Threshold = READ_VERDICT,
) -> dict[str, list[float]]:
    """Return `[low, mid, high]` of the mean over repeats of b minus a, for every metric that all of them define.

    `mid` is the observed difference; the 95 % interval resamples the images, the same ones for both sides of every
    repeat, and those of one group together.

    Raises:
        DataError: the two runs of a repeat do not hold the same ids with the same truth.
    """
    pairs = [aligned(before, after) for before, after in zip(a, b, strict=True)]
    sides = [[before for before, _ in pairs], [after for _, after in pairs]]
    units = min((_units(runs) for runs in sides), key=lambda units: int(units.max()))  # one file may carry no groups
    tables = [[build_table(run, threshold) for run in runs] for runs in sides]
    observed = [[values_of(table) for table in side] for side in tables]
    drawn_a, drawn_b = (drawn_means(side, units, seed, resamples) for side in tables)
    result: dict[str, list[float]] = {}
    for name in METRICS:
        low, high = interval(drawn_b[name] - drawn_a[name])
        values = [(before[name], after[name]) for before, after in zip(*observed, strict=True)]
        gains = [after - before for before, after in values if before is not None and after is not None]
        if low is not None and high is not None and len(gains) == len(pairs):
            result[name] = [low, float(np.mean(gains)), high]
    return result


def repeated_metrics(runs: Sequence[Run], *, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, dict[str, Any]]:
    """Return metric -> `value` (the mean over the runs), `low`, `high` (95 %, resampling images) and `each` run's value.

    A metric that some run does not define is averaged over the others; one that none defines is None.

    Raises:
        DataError: a run uses an id twice.
    """
    for run in runs:
        require_unique(run, "predictions")
    tables = [build_table(run) for run in runs]
    drawn = drawn_means(tables, _units(runs), seed, resamples)
    observed = [values_of(table) for table in tables]
    cells = {}
    for name in METRICS:
        values = [row[name] for row in observed]
        cells[name] = {**with_bounds(mean_of(values), interval(drawn[name])), "each": values}
    return cells


def aligned(a: Run, b: Run) -> tuple[list[Prediction], list[Prediction]]:
    """Return both runs in order of id.

    Raises:
        DataError: they do not hold the same ids with the same truth; says how many differ.
    """
    for run in (a, b):
        require_unique(run, "predictions")
    first, second = ({p.id: p for p in run} for run in (a, b))
    only_a, only_b = sorted(first.keys() - second.keys()), sorted(second.keys() - first.keys())
    changed = sorted(k for k in first.keys() & second.keys() if truth_of(first[k]) != truth_of(second[k]))
    odd = [*only_a, *only_b, *changed]
    if odd or not first:
        which = (
            f" ({len(only_a)} only in the first, {len(only_b)} only in the second, {len(changed)} with another truth; "
            f"'{odd[0]}' differs)"
            if odd
            else ""
        )
        raise DataError(
            f"two runs can only be compared on the same samples{which}; evaluate both on the same manifest and split"
        )
    return [first[key] for key in sorted(first)], [second[key] for key in sorted(first)]


def truth_of(prediction: Prediction) -> tuple[object, ...]:
    """Return what two runs must agree on to be comparable on a part."""
    return prediction.label, prediction.category, prediction.boxes


def _units(runs: Sequence[Run]) -> Integers:
    """Number what is drawn together, over the parts of all runs one after the other."""
    return numbered([unit_of(prediction) for run in runs for prediction in run])


def drawn_means(tables: Sequence[Table], units: Integers, seed: int, resamples: int) -> dict[str, Floats]:
    """Return each metric's mean over the tables (resamples,), from draws of the units that they share.

    `units` (n,) numbers what is drawn together, over the samples of all tables one after the other.
    """
    labels = np.concatenate([table.anomalous for table in tables]).astype(np.int_)
    ends = np.cumsum([len(table.anomalous) for table in tables])[:-1]

    def means(weights: Floats) -> dict[str, Floats]:
        parts = [measure(*pair) for pair in zip(tables, np.split(weights, ends, axis=1), strict=True)]
        return {name: mean_of_defined(np.stack([part[name] for part in parts])) for name in METRICS}

    return replicates(means, labels, units, resamples=resamples, seed=seed)
