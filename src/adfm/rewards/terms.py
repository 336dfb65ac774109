"""The terms of the grounding reward (design 1.3): matched overlap, box count, focus; plain arithmetic on boxes."""

from __future__ import annotations

from collections.abc import Sequence

from adfm.geometry import Box, best_sum, giou, set_iou

NOTHING_TO_MATCH = -1.0
FOCUS_BEST = 0.5


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
    return set_iou(predicted, true)


def focus(located: int) -> float:
    """Return what a normal part earns for the number of places looked at: one is best, more is a scatter."""
    return 0.0 if located == 0 else FOCUS_BEST if located == 1 else -0.1
