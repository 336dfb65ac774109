"""A run's metrics with their intervals, overall, by category and by defect type; no files.

Differences of runs are in `repeats`, the comparison that a user asks for is in `compare`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from adfm.calibration.decision import READ_VERDICT, Threshold, operating_point
from adfm.errors import DataError
from adfm.evaluation.bootstrap import LEVEL, RESAMPLES, Interval, interval, with_bounds
from adfm.evaluation.definitions import DEFECT_METRICS, METRICS
from adfm.evaluation.metrics import Table, build_table, defect_type, mean_of_defined, values_of
from adfm.evaluation.repeats import drawn_means
from adfm.numbers import Floats, clopper_pearson, mean_of
from adfm.predictions import Prediction, require_unique

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
    `defects` some metrics of each defect type. Parts of one group are drawn together. `threshold` is the deployed
    one, which decides as an inspection does; where it is more than the read verdict, `operating_point` counts its decisions.

    Raises:
        DataError: no prediction, or an id used twice.
    """
    if not predictions:
        raise DataError("no predictions to evaluate; the data hold no sample of this split")
    require_unique(predictions, "predictions")
    ordered = sorted(predictions, key=lambda p: p.id)  # the result depends on the set, not on its order
    table = build_table(ordered, threshold)
    categories = _tables_by(table, [p.category for p in ordered])
    types = _tables_by(table, [defect_type(p) if p.anomalous else None for p in ordered])
    draws = {name: drawn_means([part], part.units, seed, resamples) for name, part in categories.items()}
    metrics = _cells(table, drawn_means([table], table.units, seed, resamples))
    rewards = {name: [getattr(p.reward, name) for p in ordered] for name in ("format", "verdict", "grounding", "total")}
    defects = {}
    for name, part in types.items():
        cells = _cells(part, drawn_means([part], part.units, seed, resamples))
        defects[name] = {"n": len(part.anomalous), "metrics": {metric: cells[metric] for metric in DEFECT_METRICS}}
    return {
        **_sizes(table),
        "metrics": metrics,
        "macro": metrics if len(categories) == 1 else _macro(categories, draws),
        "categories": {n: {**_sizes(part), "metrics": _cells(part, draws[n])} for n, part in categories.items()},
        "defects": defects,
        "operating_point": None if threshold == READ_VERDICT else operating_point(ordered, threshold),
        "rewards": {name: mean_of(values) for name, values in rewards.items()},
        "problems": dict(Counter(name for p in ordered for name in sorted(p.problems)).most_common()),
        "bootstrap": {"resamples": resamples, "seed": seed, "level": LEVEL, "units": int(table.units.max()) + 1},
        "definitions": {metric.name: metric.definition for metric in METRICS.values()},
    }


def _tables_by(table: Table, names: Sequence[str | None]) -> dict[str, Table]:
    """The table of the samples of each name, in order of name; a sample without a name is in none."""
    places = np.array(names, dtype=object)
    return {name: table.rows(np.flatnonzero(places == name)) for name in sorted({n for n in names if n is not None})}


def _sizes(table: Table) -> dict[str, int]:
    n, anomalous = len(table.anomalous), int(table.anomalous.sum())
    return {"n": n, "n_normal": n - anomalous, "n_anomalous": anomalous}


def _cells(table: Table, drawn: dict[str, Floats]) -> dict[str, Cell]:
    """Every metric with its interval.

    The resamples of a proportion that is 0 or 1 are all alike and would say that it is certain. There the interval is
    widened by the distance of the exact one; in a mean of proportions by its share of it.
    """
    cells: dict[str, Cell] = {}
    totals = dict(zip(table.names, table.columns.sum(axis=0), strict=True))
    for name, value in values_of(table).items():
        low, high = interval(drawn[name]) if name in drawn else (None, None)
        ratios = _SHARES.get(name, ())
        for above, below in ratios:
            share = totals[above] / totals[below] if totals[below] else 0.0
            parts = len(np.unique(table.units[table.column(below) > 0]))  # a group of parts is one, if it has any
            if low is not None and high is not None and share in (0, 1) and parts:
                exact_low, exact_high = clopper_pearson(round(share * parts), parts, LEVEL)
                low += (exact_low - share) / len(ratios)
                high += (exact_high - share) / len(ratios)
        cells[name] = with_bounds(value, Interval(low, high))
    return cells


def _macro(tables: dict[str, Table], draws: dict[str, dict[str, Floats]]) -> dict[str, Cell]:
    """The unweighted mean over the tables of every metric, with its interval."""
    values = [values_of(table) for table in tables.values()]
    cells: dict[str, Cell] = {}
    for name in METRICS:
        drawn = np.stack([part[name] for part in draws.values()]) if all(draws.values()) else np.full((1, 1), np.nan)
        cells[name] = with_bounds(mean_of(row[name] for row in values), interval(mean_of_defined(drawn)))
    return cells
