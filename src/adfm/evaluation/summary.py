"""A run's metrics with their intervals, overall and by category, and the paired difference of two runs; no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adfm.errors import DataError
from adfm.evaluation.bootstrap import LEVEL, Interval, exact_edge, interval, replicates
from adfm.evaluation.definitions import METRICS
from adfm.evaluation.metrics import Table, build_table, counts_of, measure, values_of
from adfm.evaluation.predictions import Prediction, require_unique

Floats = NDArray[np.float64]
Cell = dict[str, float | None]

RESAMPLES = 1000


def evaluate(predictions: Sequence[Prediction], *, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Return every metric with its 95 % bootstrap interval, ready for JSON (None where undefined, never NaN).

    `metrics` are over all parts (resampled within each label), `categories` each by itself, `macro` the unweighted mean
    over categories (resampled within each category and label; a category where the metric is undefined is left out).

    Raises:
        DataError: no prediction, or an id used twice.
    """
    if not predictions:
        raise DataError("no predictions to evaluate; the data hold no sample of this split")
    require_unique(predictions, "predictions")
    ordered = sorted(
        predictions, key=lambda prediction: prediction.id
    )  # the result depends on the set, not on its order
    table = build_table(ordered)
    parts = _parts(ordered)
    by_category = {name: table.rows(rows) for name, rows in parts.items()}
    draws = {name: _replicates(part, seed, resamples) for name, part in by_category.items()}
    metrics = _cells(table, _replicates(table, seed, resamples))
    return {
        **_sizes(table),
        "metrics": metrics,
        "macro": metrics if len(parts) == 1 else _macro(by_category, draws),
        "categories": {n: {**_sizes(part), "metrics": _cells(part, draws[n])} for n, part in by_category.items()},
        "rewards": _reward_means(ordered),
        "problems": dict(Counter(name for p in ordered for name in sorted(p.problems)).most_common()),
        "bootstrap": {"resamples": resamples, "seed": seed, "level": LEVEL},
        "definitions": {metric.name: metric.definition for metric in METRICS.values()},
    }


def paired_difference(
    a: Sequence[Prediction], b: Sequence[Prediction], *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, list[float]]:
    """Return `[low, mid, high]` of b minus a for every metric that both runs define, over all parts.

    `mid` is the observed difference; the 95 % interval resamples the parts, the same ones for both runs.

    Raises:
        DataError: the runs do not hold the same ids with the same labels.
    """
    ours, theirs = _aligned(a, b)
    before, after = build_table(ours), build_table(theirs)
    observed_a, observed_b = values_of(before), values_of(after)
    drawn_a, drawn_b = (_replicates(table, seed, resamples) for table in (before, after))
    result: dict[str, list[float]] = {}
    for name in METRICS:
        low, high = interval(drawn_b[name] - drawn_a[name])
        value_a, value_b = observed_a[name], observed_b[name]
        if low is not None and high is not None and value_a is not None and value_b is not None:
            result[name] = [low, value_b - value_a, high]
    return result


def _aligned(a: Sequence[Prediction], b: Sequence[Prediction]) -> tuple[list[Prediction], list[Prediction]]:
    for run in (a, b):
        require_unique(run, "predictions")
    first, second = ({p.id: p for p in run} for run in (a, b))
    odd = sorted(first.keys() ^ second.keys()) or sorted(k for k in first if _truth(first[k]) != _truth(second[k]))
    if odd or not first:
        which = f" ('{odd[0]}' differs)" if odd else ""
        raise DataError(
            f"two runs can only be compared on the same samples{which}; evaluate both on the same manifest and split"
        )
    return [first[key] for key in sorted(first)], [second[key] for key in sorted(first)]


def _truth(prediction: Prediction) -> tuple[object, ...]:
    return prediction.label, prediction.category, prediction.boxes


def _parts(predictions: Sequence[Prediction]) -> dict[str, NDArray[np.int_]]:
    """The row numbers of each category, categories in order of name."""
    names = np.array([prediction.category for prediction in predictions], dtype=object)
    return {name: np.flatnonzero(names == name) for name in sorted(set(names.tolist()))}


def _sizes(table: Table) -> dict[str, int]:
    n, anomalous = len(table.anomalous), int(table.anomalous.sum())
    return {"n": n, "n_normal": n - anomalous, "n_anomalous": anomalous}


def _replicates(table: Table, seed: int, resamples: int) -> dict[str, Floats]:
    return replicates(partial(measure, table), table.anomalous.astype(np.int_), resamples=resamples, seed=seed)


def _cells(table: Table, drawn: dict[str, Floats]) -> dict[str, Cell]:
    bounds = {name: interval(values) for name, values in drawn.items()}
    exact = {name: exact_edge(hits, parts) for name, hits, parts in counts_of(table)}
    bounds |= {name: edge for name, edge in exact.items() if edge}
    if exact["recall"] or exact["specificity"]:
        bounds["balanced_accuracy"] = _midway(bounds.get("recall"), bounds.get("specificity"))
    return {name: _cell(value, bounds.get(name, Interval(None, None))) for name, value in values_of(table).items()}


def _midway(a: Interval | None, b: Interval | None) -> Interval:
    """The mean of two intervals: wide enough, as both truths would have to lie at their edges at once."""
    if a is None or b is None or None in (*a, *b):
        return Interval(None, None)
    low, high = (sum(edge for edge in edges if edge is not None) / 2 for edges in zip(a, b, strict=True))
    return Interval(low, high)


def _cell(value: float | None, bounds: Interval) -> Cell:
    return {"value": value, "low": None, "high": None} if value is None else {"value": value, **bounds._asdict()}


def _macro(tables: dict[str, Table], draws: dict[str, dict[str, Floats]]) -> dict[str, Cell]:
    values = [values_of(table) for table in tables.values()]
    cells: dict[str, Cell] = {}
    for name in METRICS:
        column = np.array([[np.nan if row[name] is None else row[name] for row in values]], dtype=np.float64).T
        mean = float(_defined_mean(column)[0])
        drawn = np.stack([part[name] for part in draws.values()]) if all(draws.values()) else np.full((1, 1), np.nan)
        cells[name] = _cell(None if np.isnan(mean) else mean, interval(_defined_mean(drawn)))
    return cells


def _defined_mean(rows: Floats) -> Floats:
    """Mean over axis 0 of (categories, R) without the undefined values; NaN where all are."""
    defined = ~np.isnan(rows)
    total, count = np.where(defined, rows, 0).sum(axis=0), defined.sum(axis=0)
    mean: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


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
