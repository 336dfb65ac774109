"""Masks to boxes (design 1.1): despeckle, dilate to merge fragments, one enclosing box per merged group."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from adfm.geometry.boxes import Box

DEFAULT_RATIO = 0.01
DEFAULT_MIN_AREA = 5
DEFAULT_MAX_BOXES = 16

Mask = NDArray[np.uint8]


class MaskBoxes(NamedTuple):
    """Boxes of one mask and the dilation ratio that produced them (raised when there were too many)."""

    boxes: tuple[Box, ...]
    ratio: float


def foreground(mask: NDArray[Any]) -> Mask:
    """Return (H, W) of 0 / 1 from a mask (H, W) or (H, W, channels): anything above 0 counts, whatever code it is."""
    above = mask > 0
    return np.asarray(above.any(axis=2) if above.ndim == 3 else above, dtype=np.uint8)


def filled(boxes: Iterable[Box], width: int, height: int) -> Mask:
    """Return (height, width) of 0 / 1: the pixels that boxes inside the picture touch."""
    mask = np.zeros((height, width), np.uint8)
    for box in boxes:
        mask[int(box.y1) : math.ceil(box.y2), int(box.x1) : math.ceil(box.x2)] = 1
    return mask


def enclosing(mask: Mask) -> Box | None:
    """Return the smallest box around everything that an (H, W) mask marks, or None where it marks nothing."""
    x, y, width, height = cv2.boundingRect(mask)
    return Box(x, y, x + width, y + height) if width else None


def despeckle(mask: Mask, min_area: int) -> Mask:
    """Drop 8-connected components of fewer than `min_area` pixels; if nothing would be left, the largest stays."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count <= 1:
        return mask
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = areas >= min_area
    if not kept.any():
        kept[int(areas.argmax())] = True
    return np.asarray(np.concatenate([[False], kept])[labels], dtype=np.uint8)


def kernel_size(ratio: float, height: int, width: int) -> int:
    """Return the odd side of the dilation ellipse in pixels; 0 means no dilation."""
    if ratio <= 0:
        return 0
    size = max(3, round(ratio * min(height, width)))
    return size if size % 2 else size + 1


def _grouped(mask: Mask, ratio: float) -> tuple[Box, ...]:
    """One box per component of the dilated mask, around that component's *undilated* pixels."""
    size = kernel_size(ratio, *mask.shape)
    merged = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))) if size else mask
    _, labels = cv2.connectedComponents(merged, connectivity=8)
    # A dilated group always holds the undilated pixels it grew from, so no slice is None.
    slices = find_objects(labels * mask)
    found = [Box(columns.start, rows.start, columns.stop, rows.stop) for rows, columns in slices]
    return tuple(sorted(found, key=lambda box: (box.y1, box.x1, box.y2, box.x2)))


def boxes_from_mask(
    mask: NDArray[Any],
    *,
    ratio: float = DEFAULT_RATIO,
    min_area: int = DEFAULT_MIN_AREA,
    max_boxes: int = DEFAULT_MAX_BOXES,
) -> MaskBoxes:
    """Turn a mask (H, W) or (H, W, channels) into half-open integer boxes in the mask's pixels, sorted by (y1, x1, y2, x2).

    More than `max_boxes` boxes: the ratio is doubled (from 0: set to the default) until they fit. An empty mask has no boxes.
    Source: design 1.1; dilation -> components -> minimal enclosing boxes is the paper's.
    """
    clean = despeckle(foreground(mask), min_area)
    if not clean.any():
        return MaskBoxes((), ratio)
    boxes = _grouped(clean, ratio)
    while len(boxes) > max_boxes:
        ratio = ratio * 2 if ratio > 0 else DEFAULT_RATIO
        boxes = _grouped(clean, ratio)
    return MaskBoxes(boxes, ratio)
