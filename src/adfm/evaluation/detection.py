"""How well the boxes of one answer match the true ones: pairs at a threshold, IoU of the sets; no means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adfm.evaluation.definitions import THRESHOLDS
from adfm.geometry import Box, iou, matched_sum, pairwise, set_iou, union_mask_iou
from adfm.predictions import Prediction

_FAR = 1e9  # original pixels
_NO_PAIRS = (0,) * len(THRESHOLDS)


class BoxCounts(NamedTuple):
    """The box statistics of one answer; `pairs` holds one count for each of `THRESHOLDS`.

    All are 0 where the true boxes are unknown (`known` is False). An unread answer has no pair and an IoU of 0,
    whatever boxes could be read from it: it counts as wrong everywhere.
    """

    known: bool
    predicted: int
    true: int
    pairs: tuple[int, ...]
    set_iou: float
    union_iou: float
    covered: float
    """Sum over the true boxes of the share of their area that the predicted boxes cover."""
    pointed: bool
    """Whether the centre of the first predicted box lies in a true box."""


def box_counts(prediction: Prediction) -> BoxCounts:
    """Match the final regions of one answer with the true boxes, one to one."""
    if prediction.boxes is None:
        return BoxCounts(False, 0, 0, _NO_PAIRS, 0.0, 0.0, 0.0, False)
    found, true = [_tame(region.box) for region in prediction.regions], prediction.boxes
    if prediction.verdict is None:
        return BoxCounts(True, len(found), len(true), _NO_PAIRS, 0.0, 0.0, 0.0, False)
    overlaps = pairwise(iou, found, true)
    pairs = tuple(matched_pairs(overlaps, threshold) for threshold in THRESHOLDS)
    return BoxCounts(
        known=True,
        predicted=len(found),
        true=len(true),
        pairs=pairs,
        set_iou=set_iou(found, true),
        union_iou=union_mask_iou(found, true),
        covered=sum(covered_share(box, found) for box in true),
        pointed=bool(found) and any(_holds(box, *_centre(found[0])) for box in true),
    )


def covered_share(box: Box, covers: Sequence[Box]) -> float:
    """Return the share of a box's area that other boxes cover together, exact on fractions of pixels."""
    inside = [Box(max(c.x1, box.x1), max(c.y1, box.y1), min(c.x2, box.x2), min(c.y2, box.y2)) for c in covers]
    return union_mask_iou([c for c in inside if c.x1 < c.x2 and c.y1 < c.y2], [box])


def _centre(box: Box) -> tuple[float, float]:
    return (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2


def _holds(box: Box, x: float, y: float) -> bool:
    return box.x1 <= x < box.x2 and box.y1 <= y < box.y2


def _tame(box: Box) -> Box:
    """Cut absurd edges, whose area would overflow: a model may write any number."""
    return Box(*(min(max(edge, -_FAR), _FAR) for edge in box))


def matched_pairs(overlaps: NDArray[np.float64], threshold: float) -> int:
    """Return the largest number of one-to-one pairs with IoU >= `threshold`, from IoU (N predicted, M true)."""
    return round(matched_sum((overlaps >= threshold).astype(np.float64).tolist()))
