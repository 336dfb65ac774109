"""Metrics as functions of how often each sample counts, so that one pass serves the value and every bootstrap resample.

A run becomes a table of per-sample statistics; a row of weights (how often each sample is drawn; all ones for the value
itself) turns them into totals, and every metric is a ratio of two totals or a weighted rank statistic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adfm.evaluation.definitions import METRICS, THRESHOLDS
from adfm.evaluation.detection import box_counts
from adfm.evaluation.predictions import Prediction

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Per-sample statistics: `columns` (n, k) with their `names`, scores (n,) or None where they cannot rank."""

    names: tuple[str, ...]
    columns: Floats
    anomalous: NDArray[np.bool_]
    scores: Floats | None

    def rows(self, chosen: NDArray[np.int_]) -> Table:
        """Return the table of some samples only."""
        columns, anomalous = self.columns[chosen], self.anomalous[chosen]
        return Table(self.names, columns, anomalous, None if self.scores is None else self.scores[chosen])


def build_table(predictions: Sequence[Prediction]) -> Table:
    """Turn predictions into per-sample statistics, in their order."""
    rows = [{**_verdict_row(prediction), **_box_row(prediction)} for prediction in predictions]
    names = tuple(rows[0]) if rows else ()
    columns = np.array([list(row.values()) for row in rows], dtype=np.float64).reshape(len(rows), len(names))
    anomalous = np.array([prediction.anomalous for prediction in predictions], dtype=bool)
    return Table(names, columns, anomalous, rank_scores(predictions))


def _verdict_row(prediction: Prediction) -> dict[str, float]:
    anomalous, verdict = prediction.anomalous, prediction.verdict
    return {
        "one": 1,
        "anomalous": anomalous,
        "normal": not anomalous,
        "correct": prediction.correct,
        "hit": anomalous and prediction.correct,
        "cleared": not anomalous and prediction.correct,
        "alarm": not anomalous and verdict == "anomalous",
        "unread": verdict is None,
        "strict": prediction.strict,
    }


def _box_row(prediction: Prediction) -> dict[str, float]:
    counts = box_counts(prediction)
    boxed = prediction.anomalous and counts.known
    row: dict[str, float] = {
        "boxed": boxed,
        "set_iou": counts.set_iou * boxed,
        "union_iou": counts.union_iou * boxed,
        "count_error": abs(counts.predicted - counts.true) * boxed,
        "false_boxes": 0 if prediction.anomalous else len(prediction.regions),
        "predicted": counts.predicted,
        "true": counts.true,
        "both": counts.predicted + counts.true,
    }
    for threshold, pairs in zip(THRESHOLDS, counts.pairs, strict=True):
        row |= {f"pairs@{threshold:g}": pairs, f"twice@{threshold:g}": 2 * pairs}
    return row


def rank_scores(predictions: Sequence[Prediction]) -> Floats | None:
    """Return the scores (n,) to rank by, or None where a read answer has none (the model gives no odds).

    An unread answer without a score ranks as wrong: below everything if the part is anomalous, above if it is normal.
    """
    if any(p.score is None and p.verdict is not None for p in predictions) or all(p.score is None for p in predictions):
        return None
    worst = [-np.inf if p.anomalous else np.inf for p in predictions]
    return np.array(
        [w if p.score is None else p.score for p, w in zip(predictions, worst, strict=True)], dtype=np.float64
    )


def measure(table: Table, weights: Floats) -> dict[str, Floats]:
    """Return every metric (R,) for weights (R, n); NaN where it is undefined."""
    totals = dict(zip(table.names, (weights @ table.columns).T, strict=True))
    values = {m.name: _divide(totals[m.ratio[0]], totals[m.ratio[1]]) for m in METRICS.values() if m.ratio}
    values["balanced_accuracy"] = (values["recall"] + values["specificity"]) / 2
    values["auroc"], values["average_precision"] = _ranked(table, weights)
    return {name: values[name] for name in METRICS}


def _divide(above: Floats, below: Floats) -> Floats:
    quotient: Floats = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return quotient


def _ranked(table: Table, weights: Floats) -> tuple[Floats, Floats]:
    if table.scores is None:
        undefined = np.full(len(weights), np.nan)
        return undefined, undefined
    positive, negative = grouped(table.scores, table.anomalous, weights)
    return auroc(positive, negative), average_precision(positive, negative)


def grouped(scores: Floats, anomalous: NDArray[np.bool_], weights: Floats) -> tuple[Floats, Floats]:
    """Return the weight of anomalous and of normal samples (R, g) at each of the g distinct scores, lowest first."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    drawn = weights[:, order]
    positive = np.add.reduceat(drawn * anomalous[order], starts, axis=1)
    return positive, np.add.reduceat(drawn, starts, axis=1) - positive


def auroc(positive: Floats, negative: Floats) -> Floats:
    """Area under the ROC curve (R,) from weights (R, g) by rising score: Mann-Whitney, ties count half."""
    below = np.cumsum(negative, axis=1) - negative / 2
    return _divide((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def average_precision(positive: Floats, negative: Floats) -> Floats:
    """Average precision (R,) from weights (R, g) by rising score; undefined (NaN) where only one class is drawn."""
    falling = positive[:, ::-1]
    hits, alarms = np.cumsum(falling, axis=1), np.cumsum(negative[:, ::-1], axis=1)
    total = np.where(alarms[:, -1] > 0, hits[:, -1], 0)
    return _divide((falling * np.nan_to_num(_divide(hits, hits + alarms))).sum(axis=1), total)


def values_of(table: Table) -> dict[str, float | None]:
    """Return every metric of the whole table; None where it is undefined."""
    ones = np.ones((1, len(table.anomalous)))
    return {name: None if np.isnan(value[0]) else float(value[0]) for name, value in measure(table, ones).items()}


def counts_of(table: Table) -> Iterator[tuple[str, int, int]]:
    """Yield (metric, hits, parts) for the metrics that are plain proportions of parts."""
    totals = dict(zip(table.names, table.columns.sum(axis=0), strict=True))
    for name in ("accuracy", "recall", "specificity", "false_positive_rate", "unread_rate", "strict_rate"):
        ratio = METRICS[name].ratio
        assert ratio
        yield name, round(totals[ratio[0]]), round(totals[ratio[1]])
