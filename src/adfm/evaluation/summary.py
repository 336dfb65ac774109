"""A run's metrics with their intervals, overall, by category and by kind of defect; no files.

Differences of runs are in `repeats`, and what the user sees of a comparison in `compare`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adfm.calibration.decision import READ_VERDICT, Threshold, operating_point
from adfm.errors import DataError
from adfm.evaluation.bootstrap import LEVEL, RESAMPLES, Interval, interval, replicates
from adfm.evaluation.definitions import KIND_METRICS, METRICS
from adfm.evaluation.metrics import Table, build_table, kind_of, mean_of_defined, measure, shares_of, values_of
from adfm.numbers import clopper_pearson
from adfm.predictions import Prediction, require_unique

Floats = NDArray[np.float64]
Cell = dict[str, float | None]

_PROPORTIONS = (
    "accuracy",
    "recall",
    "specificity",
    "false_positive_rate",
    "miss_rate",
    "overkill",
    "coverage",
    "pointing_game",
    "unread_rate",
    "strict_rate",
)
_SHARES: dict[str, tuple[tuple[str, str], ...]] = {
    **{name: (ratio,) for name in _PROPORTIONS if (ratio := METRICS[name].ratio)},
    "kind_recall": (("hit", "anomalous"),),
    "balanced_accuracy": (("hit", "anomalous"), ("cleared", "normal")),
    "decided_balanced_accuracy": (("caught", "anomalous"), ("passed", "normal")),
}
"""The metrics that are proportions of parts, or means of two, by what they divide."""


def evaluate(
    predictions: Sequence[Prediction], *, seed: int = 0, resamples: int = RESAMPLES, threshold: Threshold = READ_VERDICT
) -> dict[str, Any]:
    """Return every metric with its 95 % bootstrap interval, ready for JSON (None where undefined, never NaN).

    `metrics` are over all parts (resampled within each label), `categories` each by itself, `macro` the unweighted mean
    over categories (resampled within each category and label; a category where the metric is undefined is left out),
    `defects` some metrics of each kind of defect. Parts of one group are drawn together. `threshold` is the deployed
    one, which decides as an inspection does; where it is more than the read verdict, `operating_point` tells its decisions.

    Raises:
        DataError: no prediction, or an id used twice.
    """
    if not predictions:
        raise DataError("no predictions to evaluate; the data hold no sample of this split")
    require_unique(predictions, "predictions")
    ordered = sorted(
        predictions, key=lambda prediction: prediction.id
    )  # the result depends on the set, not on its order
    table = build_table(ordered, threshold)
    parts = _parts(ordered)
    by_category = {name: table.rows(rows) for name, rows in parts.items()}
    draws = {name: _replicates(part, seed, resamples) for name, part in by_category.items()}
    metrics = _cells(table, _replicates(table, seed, resamples))
    return {
        **_sizes(table),
        "metrics": metrics,
        "macro": metrics if len(parts) == 1 else _macro(by_category, draws),
        "categories": {n: {**_sizes(part), "metrics": _cells(part, draws[n])} for n, part in by_category.items()},
        "defects": _by_kind(ordered, table, seed, resamples),
        "operating_point": None if threshold == READ_VERDICT else operating_point(ordered, threshold),
        "rewards": _reward_means(ordered),
        "problems": dict(Counter(name for p in ordered for name in sorted(p.problems)).most_common()),
        "bootstrap": {"resamples": resamples, "seed": seed, "level": LEVEL, "units": int(table.units.max()) + 1},
        "definitions": {metric.name: metric.definition for metric in METRICS.values()},
    }


def _parts(predictions: Sequence[Prediction]) -> dict[str, NDArray[np.int_]]:
    """The row numbers of each category, categories in order of name."""
    names = np.array([prediction.category for prediction in predictions], dtype=object)
    return {name: np.flatnonzero(names == name) for name in sorted(set(names.tolist()))}


def _sizes(table: Table) -> dict[str, int]:
    n, anomalous = len(table.anomalous), int(table.anomalous.sum())
    return {"n": n, "n_normal": n - anomalous, "n_anomalous": anomalous}


def _by_kind(predictions: Sequence[Prediction], table: Table, seed: int, resamples: int) -> dict[str, dict[str, Any]]:
    """Some metrics of each kind of defect, kinds in order of name."""
    names = np.array([kind_of(p) if p.anomalous else None for p in predictions], dtype=object)
    parts = {name: table.rows(np.flatnonzero(names == name)) for name in sorted({n for n in names if n is not None})}
    cells = {name: _cells(part, _replicates(part, seed, resamples)) for name, part in parts.items()}
    return {
        name: {"n": len(part.anomalous), "metrics": {metric: cells[name][metric] for metric in KIND_METRICS}}
        for name, part in parts.items()
    }


def _replicates(table: Table, seed: int, resamples: int) -> dict[str, Floats]:
    labels = table.anomalous.astype(np.int_)
    return replicates(partial(measure, table), labels, table.units, resamples=resamples, seed=seed)


def _cells(table: Table, drawn: dict[str, Floats]) -> dict[str, Cell]:
    bounds = {name: interval(values) for name, values in drawn.items()}
    for names, pairs in _SHARES.items():
        bounds[names] = _widened(bounds[names], shares_of(table, pairs))
    return {name: _cell(value, bounds.get(name, Interval(None, None))) for name, value in values_of(table).items()}


def _widened(bounds: Interval, shares: Sequence[tuple[float, int]]) -> Interval:
    """Widen the interval of a mean of proportions where one is 0 or 1, by its exact interval's distance.

    The resamples of such a proportion are all alike, so the interval says nothing of it.
    """
    low, high = bounds
    if low is None or high is None:
        return bounds
    for share, parts in shares:
        if share in (0, 1) and parts:
            exact_low, exact_high = clopper_pearson(round(share * parts), parts, LEVEL)
            low += (exact_low - share) / len(shares)
            high += (exact_high - share) / len(shares)
    return Interval(low, high)


def _cell(value: float | None, bounds: Interval) -> Cell:
    return {"value": value, "low": None, "high": None} if value is None else {"value": value, **bounds._asdict()}


def _macro(tables: dict[str, Table], draws: dict[str, dict[str, Floats]]) -> dict[str, Cell]:
    values = [values_of(table) for table in tables.values()]
    cells: dict[str, Cell] = {}
    for name in METRICS:
        column = np.array([[np.nan if row[name] is None else row[name] for row in values]], dtype=np.float64).T
        mean = float(mean_of_defined(column)[0])
        drawn = np.stack([part[name] for part in draws.values()]) if all(draws.values()) else np.full((1, 1), np.nan)
        cells[name] = _cell(None if np.isnan(mean) else mean, interval(mean_of_defined(drawn)))
    return cells


def _reward_means(predictions: Iterable[Prediction]) -> dict[str, float | None]:
    rewards = [prediction.reward for prediction in predictions]
    grounding = [reward.grounding for reward in rewards if reward.grounding is not None]
    return {
        "format": _mean([reward.format for reward in rewards]),
        "verdict": _mean([reward.verdict for reward in rewards]),
        "grounding": _mean(grounding),
        "total": _mean([reward.total for reward in rewards]),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
