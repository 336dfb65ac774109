"""Defines boxes in original pixels, measures how far two boxes or sets of boxes overlap, and matches sets one to one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Box(NamedTuple):
    """A half-open rectangle `[x1, y1, x2, y2)` in *original pixels*; a box in any other frame is a `TextBox`."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def area(self) -> float:
        """Width times height, in square pixels."""
        return (self.x2 - self.x1) * (self.y2 - self.y1)


def _intersection(a: Box, b: Box) -> float:
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    return width * height if width > 0 and height > 0 else 0.0


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes with positive area, 0 to 1."""
    common = _intersection(a, b)
    return common / (a.area + b.area - common)


def giou(a: Box, b: Box) -> float:
    """Generalised IoU (Rezatofighi et al. 2019), above -1 and at most 1."""
    common = _intersection(a, b)
    union = a.area + b.area - common
    hull = (max(a.x2, b.x2) - min(a.x1, b.x1)) * (max(a.y2, b.y2) - min(a.y1, b.y1))
    return common / union - (hull - union) / hull


def pairwise(measure: Callable[[Box, Box], float], rows: Sequence[Box], columns: Sequence[Box]) -> NDArray[np.float64]:
    """Return the matrix (len(rows), len(columns)) of `measure` over every pair."""
    table = [[measure(a, b) for b in columns] for a in rows]
    return np.array(table, dtype=np.float64).reshape(len(rows), len(columns))


def clip(box: Box, width: float, height: float) -> Box | None:
    """Return the part of a box inside a `width` x `height` image, or None where nothing of it is."""
    x1, y1 = max(box.x1, 0), max(box.y1, 0)
    x2, y2 = min(box.x2, width), min(box.y2, height)
    return Box(x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def union_mask_iou(a: Sequence[Box], b: Sequence[Box]) -> float:
    """IoU of the areas covered by two sets of boxes, exact on fractions of pixels; two empty sets agree (1)."""
    if not a and not b:
        return 1.0
    edges = np.array([*a, *b], dtype=np.float64)
    xs, ys = np.unique(edges[:, [0, 2]]), np.unique(edges[:, [1, 3]])
    cells = np.diff(ys)[:, None] * np.diff(xs)[None, :]  # the areas between the sorted edges
    covered = np.zeros((2, *cells.shape), dtype=bool)
    for inside, boxes in zip(covered, (a, b), strict=True):
        for x1, y1, x2, y2 in boxes:
            left, right = np.searchsorted(xs, (x1, x2))
            top, bottom = np.searchsorted(ys, (y1, y2))
            inside[top:bottom, left:right] = True
    return float((cells * covered.all(0)).sum() / (cells * covered.any(0)).sum())


def best_sum(measure: Callable[[Box, Box], float], rows: Sequence[Box], columns: Sequence[Box]) -> float:
    """Return the largest sum of `measure` over one-to-one pairs, min(len(rows), len(columns)) of them; 0 for none."""
    return matched_sum([[measure(a, b) for b in columns] for a in rows])


def matched_sum(gains: Sequence[Sequence[float]]) -> float:
    """Return the largest sum of a one-to-one assignment in a table of N rows and M columns; 0 where either is 0.

    Source: the Hungarian assignment (Kuhn 1955). With one row or one column that is a maximum.
    """
    if not gains or not gains[0]:
        return 0.0
    if 1 in (len(gains), len(gains[0])):
        return max(map(max, gains))
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
