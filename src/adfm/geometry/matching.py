"""One-to-one matching of two sets of boxes: the assignment of the largest sum, and the IoU of the sets under it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from adfm.geometry.boxes import Box, iou


def best_sum(measure: Callable[[Box, Box], float], rows: Sequence[Box], columns: Sequence[Box]) -> float:
    """Return the largest sum of `measure` over one-to-one pairs, min(len(rows), len(columns)) of them; 0 for none."""
    return matched_sum([[measure(a, b) for b in columns] for a in rows])


def matched_sum(gains: Sequence[Sequence[float]]) -> float:
    """Return the largest sum of a one-to-one assignment in a table of N rows and M columns; 0 where either is 0.

    Source: the Hungarian assignment (Kuhn 1955). With one row or one column that is a maximum.
    """
    if not gains or not gains[0]:
        return 0.0
    if len(gains) == 1:
        return max(gains[0])
    if len(gains[0]) == 1:
        return max(row[0] for row in gains)
    if len(gains) == len(gains[0]) == 2:
        return max(gains[0][0] + gains[1][1], gains[0][1] + gains[1][0])
    from scipy.optimize import linear_sum_assignment  # a slow import, only needed here

    chosen: Any = linear_sum_assignment(gains, maximize=True)
    # fsum: the value does not depend on the order in which the boxes are written.
    return math.fsum(gains[row][column] for row, column in zip(*(side.tolist() for side in chosen), strict=True))


def set_iou(predicted: Sequence[Box], true: Sequence[Box]) -> float:
    """Return the IoU sum of the best one-to-one pairs over the larger number of boxes, 0 to 1.

    A spare and a missing box both cost. Two empty sets give 0: nothing was located, so nothing is earned.
    """
    larger = max(len(predicted), len(true))
    return best_sum(iou, predicted, true) / larger if larger else 0.0
