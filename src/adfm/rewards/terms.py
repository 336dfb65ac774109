"""The terms of the grounding reward (design 1.3): matched overlap, box count, focus; plain arithmetic on boxes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from adfm.geometry import Box, giou, iou

Measure = Callable[[Box, Box], float]

NOTHING_TO_MATCH = -1.0
FOCUS_BEST = 0.5


def best_sum(measure: Measure, rows: Sequence[Box], columns: Sequence[Box]) -> float:
    """Return the largest sum of `measure` over one-to-one pairs, min(len(rows), len(columns)) of them; 0 for none.

    Source: the Hungarian assignment (Kuhn 1955). With one box on a side that is a maximum.
    """
    if not rows or not columns:
        return 0.0
    table = [[measure(a, b) for b in columns] for a in rows]
    if len(rows) == 1:
        return max(table[0])
    if len(columns) == 1:
        return max(row[0] for row in table)
    if len(rows) == len(columns) == 2:
        return max(table[0][0] + table[1][1], table[0][1] + table[1][0])
    return _assigned_sum(table)


def _assigned_sum(table: list[list[float]]) -> float:
    from scipy.optimize import linear_sum_assignment

    chosen: Any = linear_sum_assignment(table, maximize=True)
    # fsum: the value does not depend on the order in which the boxes are written.
    return math.fsum(table[row][column] for row, column in zip(*(side.tolist() for side in chosen), strict=True))


def count_term(predicted: int, true: int) -> float:
    """Return 1 for the right number of boxes, 0.5 for one too many or too few, -0.1 otherwise."""
    off = abs(predicted - true)
    return 1.0 if off == 0 else 0.5 if off == 1 else -0.1


def paper_grounding(predicted: Sequence[Box], true: Sequence[Box], alpha: float) -> float:
    """Return the mean GIoU of the best pairs plus `alpha` times the count term; the mean of no pair is -1."""
    pairs = min(len(predicted), len(true))
    mean = best_sum(giou, predicted, true) / pairs if pairs else NOTHING_TO_MATCH
    return mean + alpha * count_term(len(predicted), len(true))


def set_iou_grounding(predicted: Sequence[Box], true: Sequence[Box]) -> float:
    """Return the IoU sum of the best pairs over the larger number of boxes, 0 to 1: a spare or missing box costs."""
    larger = max(len(predicted), len(true))
    return best_sum(iou, predicted, true) / larger if larger else 0.0


def focus(located: int) -> float:
    """Return what a normal part earns for the number of places looked at: one is best, more is a scatter."""
    return 0.0 if located == 0 else FOCUS_BEST if located == 1 else -0.1
