"""Turns masks into boxes: despeckle, dilate to merge fragments, one enclosing box per merged group.

Defects fill little of an image, so the work is done in small windows around the marked pixels. The boxes are the same as
those of the entire mask at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from adfm.geometry.boxes import Box

DEFAULT_RATIO = 0.01
DEFAULT_MIN_AREA = 5
DEFAULT_MAX_BOXES = 16
CELL = 64

Mask = NDArray[np.uint8]


class MaskBoxes(NamedTuple):
    """Boxes of one mask and the dilation ratio that produced them (raised when there were too many)."""

    boxes: tuple[Box, ...]
    ratio: float


class Window(NamedTuple):
    """A part of a mask: its corner in the mask, and its pixels (height, width) of 0 / 1 without those of other windows."""

    x: int
    y: int
    pixels: Mask
    components: int = 0  # 8-connected ones, once they are counted


def foreground(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (H, W) of booleans from a mask (H, W) or (H, W, channels): anything above 0 counts, whatever code it is."""
    above = mask if mask.dtype == np.bool_ else mask > 0
    return np.asarray(above.any(axis=2) if above.ndim == 3 else above)


def filled(boxes: Iterable[Box], width: int, height: int) -> NDArray[np.bool_]:
    """Return (height, width) of booleans: the pixels that boxes inside the image touch."""
    mask = np.zeros((height, width), np.bool_)
    for box in boxes:
        mask[int(box.y1) : math.ceil(box.y2), int(box.x1) : math.ceil(box.x2)] = True
    return mask


def enclosing(mask: Mask) -> Box | None:
    """Return the smallest box around everything that an (H, W) mask of 0 / 1 marks, or None where it marks nothing."""
    x, y, width, height = cv2.boundingRect(mask)
    return Box(x, y, x + width, y + height) if width else None


def kernel_size(ratio: float, height: int, width: int) -> int:
    """Return the odd side of the dilation ellipse in pixels; 0 means no dilation."""
    if ratio <= 0:
        return 0
    size = max(3, round(ratio * min(height, width)))
    return size if size % 2 else size + 1


def split(mask: Mask, side: int) -> Iterator[Window]:
    """Split a mask (H, W) of 0 / 1 into windows that are more than `side` pixels apart.

    The mask is divided into cells of `side` x `side`. Cells that hold pixels and touch, also at a corner, share a window.
    """
    height, width = mask.shape
    # Rows first: the maximum of long rows is taken many pixels at a time.
    bands = np.stack([np.maximum.reduce(mask[y : y + side]) for y in range(0, height, side)])
    columns = -(-width // side)
    padded = np.pad(bands, ((0, 0), (0, columns * side - width)))
    cells = padded.reshape(len(bands), columns, side).max(axis=2)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(cells, connectivity=8)
    for number, (column, row, wide, tall, _) in enumerate(stats[1:].tolist(), 1):
        own = labels[row : row + tall, column : column + wide] == number
        x, y = column * side, row * side
        pixels = mask[y : y + tall * side, x : x + wide * side]
        inside = own.repeat(side, axis=0).repeat(side, axis=1)[: pixels.shape[0], : pixels.shape[1]]
        yield Window(x, y, pixels * inside)


def _tight(window: Window) -> Window:
    x, y, width, height = cv2.boundingRect(window.pixels)
    return window._replace(x=window.x + x, y=window.y + y, pixels=window.pixels[y : y + height, x : x + width])


def _without_specks(window: Window, min_area: int) -> Window:
    """Drop the components of fewer than `min_area` pixels from a tight window, and count the others."""
    _, labels = cv2.connectedComponents(window.pixels, connectivity=8)
    kept = np.bincount(labels.ravel()) >= min_area
    kept[0] = False
    counted = window._replace(components=int(kept.sum()))
    return counted if kept[1:].all() else _tight(counted._replace(pixels=kept.view(np.uint8).take(labels)))


def _merged(window: Window, size: int) -> Iterator[Box]:
    """Yield a box per component of a dilated window, around that component's *undilated* pixels.

    The dilation needs no margin: the ellipse is symmetric and narrows from its middle row and column, so groups that
    touch outside a rectangle around them touch, moved straight to its border, inside as well.
    """
    x, y, mask, components = window
    if components == 1:  # the usual case, and nothing to merge
        yield Box(x, y, x + mask.shape[1], y + mask.shape[0])
        return
    merged = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))) if size else mask
    _, labels = cv2.connectedComponents(merged, connectivity=8)
    # A dilated group always holds the undilated pixels it grew from, so no slice is None.
    for rows, columns in find_objects(labels * mask):
        yield Box(x + columns.start, y + rows.start, x + columns.stop, y + rows.stop)


def _boxes(mask: Mask, ratio: float, min_area: int) -> tuple[Box, ...]:
    """Return the boxes that one ratio of dilation gives, sorted; where all components are specks, the largest stays."""
    size = kernel_size(ratio, *mask.shape)
    # Pixels that merge are at most a kernel apart, so they are in one window.
    windows = [_without_specks(_tight(window), min_area) for window in split(mask, max(size, CELL))]
    if windows and not any(window.components for window in windows):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        largest = labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
        windows = [_tight(Window(0, 0, largest.view(np.uint8), components=1))]
    boxes = [box for window in windows if window.components for box in _merged(window, size)]
    return tuple(sorted(boxes, key=lambda box: (box.y1, box.x1, box.y2, box.x2)))


def boxes_from_mask(
    mask: NDArray[Any],
    *,
    ratio: float = DEFAULT_RATIO,
    min_area: int = DEFAULT_MIN_AREA,
    max_boxes: int = DEFAULT_MAX_BOXES,
) -> MaskBoxes:
    """Turn a mask (H, W) or (H, W, channels) into half-open integer boxes in the mask's pixels, sorted by (y1, x1, y2, x2).

    `ratio` is the side of the dilation ellipse as a share of the mask's shorter side (0: no dilation). Where more than
    `max_boxes` boxes come out, it is doubled (from 0: set to the default) until they fit. An empty mask has no boxes.
    Source: dilation -> components -> minimal enclosing boxes is AD-FM's (arXiv 2508.04175); dropping specks, boxes around
    the undilated pixels and raising the ratio are choices of this project.
    """
    marked = np.ascontiguousarray(foreground(mask)).view(np.uint8)
    while len(boxes := _boxes(marked, ratio, min_area)) > max_boxes:
        ratio = ratio * 2 if ratio > 0 else DEFAULT_RATIO
    return MaskBoxes(boxes, ratio)
