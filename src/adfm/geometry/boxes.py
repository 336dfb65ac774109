"""Defines boxes in original pixels and measures how far two of them, or two sets of them, overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

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


def _covered(boxes: Sequence[Box], xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (len(ys) - 1, len(xs) - 1): which cells of the grid between the sorted edges some box covers."""
    inside = np.zeros((len(ys) - 1, len(xs) - 1), dtype=bool)
    for x1, y1, x2, y2 in boxes:
        left, right = np.searchsorted(xs, (x1, x2))
        top, bottom = np.searchsorted(ys, (y1, y2))
        inside[top:bottom, left:right] = True
    return inside


def union_mask_iou(a: Sequence[Box], b: Sequence[Box]) -> float:
    """IoU of the areas covered by two sets of boxes, exact on fractions of pixels; two empty sets agree (1)."""
    if not a and not b:
        return 1.0
    edges = np.array([*a, *b], dtype=np.float64)
    xs, ys = np.unique(edges[:, [0, 2]]), np.unique(edges[:, [1, 3]])
    cells = np.diff(ys)[:, None] * np.diff(xs)[None, :]
    in_a, in_b = _covered(a, xs, ys), _covered(b, xs, ys)
    return float((cells * (in_a & in_b)).sum() / (cells * (in_a | in_b)).sum())
