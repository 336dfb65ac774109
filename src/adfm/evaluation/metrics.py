"""Metrics as functions of how often each sample counts, so that one pass serves the value and every bootstrap resample.

A run becomes a table of per-sample statistics; a row of weights (how often each sample is drawn; all ones for the value
itself) turns them into totals, and every metric is a ratio of two totals or a weighted statistic of the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from adfm.calibration.decision import READ_VERDICT, Threshold, decide
from adfm.calibration.fit import bin_gaps, calibration_error
from adfm.evaluation.definitions import AP_THRESHOLDS, METRICS, RECALLS, THRESHOLDS
from adfm.evaluation.detection import box_counts
from adfm.evaluation.scores import (
    auroc,
    average_precision,
    by_score,
    coco_average_precision,
    f1_max,
    false_rejects,
)
from adfm.numbers import Bools, Floats, Integers, divide
from adfm.predictions import Prediction

NO_DEFECT = -1


@dataclass(frozen=True)
class Table:
    """Per-sample statistics of n samples: `columns` (n, k) with their `names`.

    `ranks` (n,) are the scores to rank parts by, None where the run has none; `gaps` (n, bins) is score minus truth in
    the score's bin; `types` (n,) numbers the defect type (normal parts: `NO_DEFECT`); `units` (n,) numbers what is
    resampled together.
    """

    names: tuple[str, ...]
    columns: Floats
    anomalous: Bools
    ranks: Floats | None
    gaps: Floats
    types: Integers
    units: Integers

    def rows(self, chosen: Integers) -> Table:
        """Return the table of some samples only."""
        arrays: dict[str, Any] = {
            name: values[chosen] for name, values in vars(self).items() if isinstance(values, np.ndarray)
        }
        return replace(self, **arrays | {"units": np.unique(self.units[chosen], return_inverse=True)[1]})

    def column(self, name: str) -> Floats:
        """Return one column (n,)."""
        column: Floats = self.columns[:, self.names.index(name)]
        return column


def build_table(predictions: Sequence[Prediction], threshold: Threshold = READ_VERDICT) -> Table:
    """Turn predictions into per-sample statistics, in their order; `threshold` is the deployed one."""
    rows = [{**_verdict_row(prediction, threshold), **_box_row(prediction)} for prediction in predictions]
    names = tuple(rows[0]) if rows else ()
    anomalous = np.array([prediction.anomalous for prediction in predictions], dtype=bool)
    scores = np.array([np.nan if p.score is None else p.score for p in predictions], dtype=np.float64)
    return Table(
        names=names,
        columns=np.array([list(row.values()) for row in rows], dtype=np.float64).reshape(len(rows), len(names)),
        anomalous=anomalous,
        ranks=rank_scores(predictions),
        gaps=bin_gaps(scores, anomalous),
        types=numbered([defect_type(p) if p.anomalous else None for p in predictions]),
        units=numbered([unit_of(prediction) for prediction in predictions]),
    )


def defect_type(prediction: Prediction) -> str:
    """Return an anomalous part's defect type, of its category, by its name in the summary."""
    return f"{prediction.category}/{prediction.defect or 'unnamed'}"


def unit_of(prediction: Prediction) -> tuple[str, str]:
    """Return the name of what is drawn together with a part: its group, or else the part itself."""
    return ("part", prediction.id) if prediction.group is None else ("group", prediction.group)


def numbered(names: Sequence[object]) -> Integers:
    """Number equal names alike, in order of their first place; None is `NO_DEFECT`."""
    numbers: dict[object, int] = {}
    result = [NO_DEFECT if name is None else numbers.setdefault(name, len(numbers)) for name in names]
    return np.array(result, dtype=np.int_)


def _verdict_row(prediction: Prediction, threshold: Threshold) -> dict[str, float]:
    anomalous, verdict, score = prediction.anomalous, prediction.verdict, prediction.score
    decision, _ = decide(verdict, prediction.problems, prediction, threshold)
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
        "caught": anomalous and decision == "NG",
        "missed": anomalous and decision == "OK",
        "passed": not anomalous and decision == "OK",
        "overkilled": not anomalous and decision == "NG",
        "decided": decision != "REVIEW",
        "scored": score is not None,
        "squared": 0.0 if score is None else (score - anomalous) ** 2,
    }


def _box_row(prediction: Prediction) -> dict[str, float]:
    counts = box_counts(prediction)
    boxed = prediction.anomalous and counts.known
    row: dict[str, float] = {
        "boxed": boxed,
        "set_iou": counts.set_iou * boxed,
        "union_iou": counts.union_iou * boxed,
        "count_error": abs(counts.predicted - counts.true) * boxed,
        "covered": counts.covered,
        "pointed": counts.pointed,
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

    An unread answer without a score, or one whose votes could mostly not be read, ranks as wrong: below everything if
    the part is anomalous, above if it is normal.
    """
    unscored = [p for p in predictions if p.score is None]
    if len(unscored) == len(predictions) or any(p.verdict is not None and p.votes is None for p in unscored):
        return None
    worst = {True: -np.inf, False: np.inf}
    return np.array([worst[p.anomalous] if p.score is None else p.score for p in predictions], dtype=np.float64)


def measure(table: Table, weights: Floats) -> dict[str, Floats]:
    """Return every metric (R,) for weights (R, n); NaN where it is undefined."""
    totals = dict(zip(table.names, (weights @ table.columns).T, strict=True))
    values = {m.name: divide(totals[m.ratio[0]], totals[m.ratio[1]]) for m in METRICS.values() if m.ratio}
    values["balanced_accuracy"] = (values["recall"] + values["specificity"]) / 2
    halves = (divide(totals[a], totals[b]) for a, b in (("caught", "anomalous"), ("passed", "normal")))
    values["decided_balanced_accuracy"] = sum(halves, np.zeros(len(weights))) / 2
    values["ece"] = calibration_error(table.gaps, weights, totals["scored"])
    values["kind_recall"] = _mean_over_types(table, weights, "hit", "anomalous")
    values["kind_region_overlap"] = _mean_over_types(table, weights, "covered", "true")
    values |= _ranked(table, weights)
    nothing = np.full(len(weights), np.nan)
    return {name: values.get(name, nothing) for name in METRICS}


def _mean_over_types(table: Table, weights: Floats, above: str, below: str) -> Floats:
    """The unweighted mean (R,) of a ratio over the defect types where it is defined."""
    types = np.unique(table.types[table.types != NO_DEFECT])
    members = (table.types[:, None] == types).astype(np.float64)
    sums = (weights @ (members * table.column(name)[:, None]) for name in (above, below))
    return mean_of_defined(divide(*sums).T)


def mean_of_defined(rows: Floats) -> Floats:
    """Mean over axis 0 of (k, R) without the undefined values; NaN where all are."""
    defined = ~np.isnan(rows)
    return divide(np.where(defined, rows, 0).sum(axis=0), defined.sum(axis=0))


def _ranked(table: Table, weights: Floats) -> dict[str, Floats]:
    """The metrics of the ranking of parts and of their boxes; none where they cannot be ranked."""
    if table.ranks is None:
        return {}
    positive, negative = by_score(table.ranks, weights, table.anomalous, ~table.anomalous)
    best, at = f1_max(positive, negative, np.unique(table.ranks))
    names = ("predicted", *(f"pairs@{t:g}" for t in AP_THRESHOLDS))
    # The boxes of an answer without a score come first, where false ones cost most.
    box_ranks = np.where(np.isfinite(table.ranks), table.ranks, np.inf)
    boxes, *pairs = by_score(box_ranks, weights, *(table.column(name) for name in names))
    true = weights @ table.column("true")
    return {
        "auroc": auroc(positive, negative),
        "average_precision": average_precision(positive, negative),
        "f1_max": best,
        "f1_max_threshold": at,
        **{f"false_reject@{recall:g}": false_rejects(positive, negative, recall) for recall in RECALLS},
        **{
            f"box_ap@{t:g}": coco_average_precision(matched, boxes, true)
            for t, matched in zip(AP_THRESHOLDS, pairs, strict=True)
        },
    }


def values_of(table: Table) -> dict[str, float | None]:
    """Return every metric of the whole table; None where it is undefined."""
    ones = np.ones((1, len(table.anomalous)))
    return {name: None if np.isnan(value[0]) else float(value[0]) for name, value in measure(table, ones).items()}
