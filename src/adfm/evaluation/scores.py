"""What scores and thresholds on them are worth: ranking, best thresholds, box AP; every resample of a bootstrap at once.

Parts are sorted by score once. A row of weights then becomes sums over the parts of each distinct score, and every
statistic is cumulative sums of those; ties are thus one step, whatever the order of the parts. Left out: intervals.
"""

from __future__ import annotations

import numpy as np

from adfm.numbers import Bools, Floats, divide

_RECALL_POINTS = np.linspace(0, 1, 101)
_ROUNDING = 1e-12


def by_score(scores: Floats, weights: Floats, *columns: Floats | Bools) -> tuple[Floats, ...]:
    """Return, for each column (n,), its weighted sums (R, g) at each of the g distinct scores, lowest first."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    drawn = weights[:, order]
    return tuple(np.add.reduceat(drawn * column[order], starts, axis=1) for column in columns)


def auroc(positive: Floats, negative: Floats) -> Floats:
    """Area under the ROC curve (R,) from weights (R, g) by rising score: Mann-Whitney, ties count half."""
    below = np.cumsum(negative, axis=1) - negative / 2
    return divide((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def average_precision(positive: Floats, negative: Floats) -> Floats:
    """Average precision (R,) from weights (R, g) by rising score; undefined (NaN) where only one class is drawn."""
    falling = positive[:, ::-1]
    hits, alarms = np.cumsum(falling, axis=1), np.cumsum(negative[:, ::-1], axis=1)
    total = np.where(alarms[:, -1] > 0, hits[:, -1], 0)
    return divide((falling * np.nan_to_num(divide(hits, hits + alarms))).sum(axis=1), total)


def f1_max(positive: Floats, negative: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Return the largest F1 (R,) over all thresholds, and the lowest score (R,) that gives it.

    `positive` and `negative` are weights (R, g) by rising score and `scores` (g,) those scores; the infinite ones of
    unread answers are no thresholds. NaN where only one class is drawn or no score is finite.
    """
    hits, alarms = _from_above(positive), _from_above(negative)
    f1 = divide(2 * hits, hits + alarms + hits[:, :1])
    f1[:, ~np.isfinite(scores)] = np.nan
    f1[(hits[:, 0] == 0) | (alarms[:, 0] == 0)] = np.nan
    known = np.where(np.isnan(f1), -1.0, f1)
    # A score that is not in the resample is no threshold of it, though it gives the F1 of the next one that is.
    known[(positive + negative) == 0] = -1.0
    best = known.argmax(axis=1)
    value = known.max(axis=1)
    return np.where(value < 0, np.nan, value), np.where(value < 0, np.nan, scores[best])


def false_rejects(positive: Floats, negative: Floats, recall: float) -> Floats:
    """Return the share (R,) of normal weight at or above the highest threshold with at least this recall.

    From weights (R, g) by rising score; NaN where only one class is drawn.
    """
    hits, alarms = _from_above(positive), _from_above(negative)
    enough = hits >= recall * hits[:, :1] - _ROUNDING
    last = enough.shape[1] - 1 - enough[:, ::-1].argmax(axis=1)
    total = np.where(hits[:, 0] > 0, alarms[:, 0], 0)
    return divide(alarms[np.arange(len(alarms)), last], total)


def _from_above(values: Floats) -> Floats:
    """The sums from each place to the end: what a threshold there lets through."""
    return np.cumsum(values[:, ::-1], axis=1)[:, ::-1]


def coco_average_precision(pairs: Floats, boxes: Floats, true: Floats) -> Floats:
    """Average precision of boxes (R,), COCO's: the best precision at or beyond each of 101 recalls, averaged.

    `pairs` and `boxes` (R, g) are the matched and all predicted boxes by rising score, `true` (R,) the true ones; NaN
    where there are none. Source: Lin et al. 2014 and the evaluation code of its authors; their order among equal
    scores is that of the file, here equal scores are one step.
    """
    hits, predicted = np.cumsum(pairs[:, ::-1], axis=1), np.cumsum(boxes[:, ::-1], axis=1)
    precision = np.nan_to_num(divide(hits, predicted))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.concatenate([best, np.zeros((len(best), 1))], axis=1)  # beyond the largest recall
    recalls = divide(hits, np.broadcast_to(true[:, None], hits.shape))
    steps = (np.searchsorted(row, _RECALL_POINTS) for row in recalls)
    means = np.array([row[step].mean() for row, step in zip(best, steps, strict=True)])
    return np.where(true > 0, means, np.nan)
