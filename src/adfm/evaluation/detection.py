"""How well the boxes of one answer match the true ones: pairs at a threshold, IoU of the sets; no means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adfm.evaluation.definitions import THRESHOLDS
from adfm.geometry import Box, iou, matched_sum, pairwise, set_iou, union_mask_iou
from adfm.numbers import Floats
from adfm.predictions import Prediction

_FAR = 1e9  # original pixels


class BoxCounts(NamedTuple):
    """The box statistics of one answer; `pairs` holds one count for each of `THRESHOLDS`.

    All are 0 where the true boxes are unknown (`known` is False). An unread answer has no pair and an IoU of 0,
    whatever boxes could be read from it: it counts as wrong everywhere.
    """

    known: bool
    predicted: int = 0
    true: int = 0
    pairs: tuple[int, ...] = (0,) * len(THRESHOLDS)
    set_iou: float = 0.0
    union_iou: float = 0.0
    covered: float = 0.0
    """Sum over the true boxes of the share of their area that the predicted boxes cover."""
    pointed: bool = False
    """Whether the centre of the first predicted box is in a true box."""


def box_counts(prediction: Prediction) -> BoxCounts:
    """Match the final regions of one answer with the true boxes, one to one."""
    if prediction.boxes is None:
        return BoxCounts(known=False)
    true = prediction.boxes
    # A model may write any number: edges are cut where an area could overflow.
    predicted = [Box(*(min(max(edge, -_FAR), _FAR) for edge in region.box)) for region in prediction.regions]
    if prediction.verdict is None:
        return BoxCounts(True, len(predicted), len(true))
    overlaps = pairwise(iou, predicted, true)
    pointed = False
    if predicted:
        x, y = (predicted[0].x1 + predicted[0].x2) / 2, (predicted[0].y1 + predicted[0].y2) / 2
        pointed = any(box.x1 <= x < box.x2 and box.y1 <= y < box.y2 for box in true)
    return BoxCounts(
        known=True,
        predicted=len(predicted),
        true=len(true),
        pairs=tuple(matched_pairs(overlaps, threshold) for threshold in THRESHOLDS),
        set_iou=set_iou(predicted, true),
        union_iou=union_mask_iou(predicted, true),
        covered=sum(covered_share(box, predicted) for box in true),
        pointed=pointed,
    )


def covered_share(box: Box, covers: Sequence[Box]) -> float:
    """Return the share of a box's area that other boxes cover together, exact on fractions of pixels."""
    inside = [Box(max(c.x1, box.x1), max(c.y1, box.y1), min(c.x2, box.x2), min(c.y2, box.y2)) for c in covers]
    return union_mask_iou([c for c in inside if c.x1 < c.x2 and c.y1 < c.y2], [box])


def matched_pairs(overlaps: Floats, threshold: float) -> int:
    """Return the largest number of one-to-one pairs with IoU >= `threshold`, from IoU (N predicted, M true)."""
    return round(matched_sum((overlaps >= threshold).astype(np.float64).tolist()))
