"""The terms of the grounding reward: overlap of matched boxes, number of boxes, focus. Plain arithmetic on boxes."""

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
    """Return the mean GIoU of the best pairs plus `alpha` times the count term. The mean of no pair is -1."""
    pairs = min(len(predicted), len(true))
    mean = best_sum(giou, predicted, true) / pairs if pairs else NOTHING_TO_MATCH
    return mean + alpha * count_term(len(predicted), len(true))


def paper_best(alpha: float) -> float:
    """Return the most that `paper_grounding` gives: a GIoU of 1 and the right number of boxes."""
    return 1.0 + alpha


def set_iou_grounding(predicted: Sequence[Box], true: Sequence[Box], alpha: float = 0.0) -> float:  # noqa: ARG001
    """Return the IoU sum of the best pairs over the larger number of boxes, 0 to 1. A spare or missing box costs."""
    return set_iou(predicted, true)


def set_iou_best(alpha: float) -> float:  # noqa: ARG001 - the signature of every preset
    """Return the most that `set_iou_grounding` gives."""
    return 1.0


def focus(located: int) -> float:
    """Return what a normal part earns for the number of regions in `<locate>`: one is best, more is a scatter."""
    return 0.0 if located == 0 else FOCUS_BEST if located == 1 else -0.1
