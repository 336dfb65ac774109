"""Turns masks into boxes: despeckle, dilate to merge fragments, one enclosing box per merged group.

Defects fill little of an image, so the work is done in small windows around the marked pixels. The boxes are the same as
those of the entire mask at once.

Time and memory are bounded whatever a mask holds: at most `MAX_MARKS` separate marks, about 8 bytes a pixel, and an ellipse
that would take more than a second is laid on a coarser mask, which moves what merges by at most a thirtieth of the ellipse.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from adfm.errors import DataError
from adfm.geometry.boxes import Box

DEFAULT_RATIO = 0.01
DEFAULT_MIN_AREA = 5
DEFAULT_MAX_BOXES = 16
CELL = 64
MAX_MARKS = 100_000  # separate marks (8-connected) of one mask, specks included
EXACT = 2e10  # pixels times pixels of the ellipse that one dilation may take: about a second
BAND = 512  # rows
COARSE = 32  # side of the ellipse where that would be more

Mask = NDArray[np.uint8]


class TooManyMarksError(DataError):
    """A mask of more than `MAX_MARKS` separate marks, which no mask of defects has."""


class MaskBoxes(NamedTuple):
    """Boxes of one mask and the dilation ratio that produced them (raised when there were too many)."""

    boxes: tuple[Box, ...]
    ratio: float


class Window(NamedTuple):
    """A part of a mask: its corner in the mask, and its pixels (height, width) of 0 / 1 without those of other windows."""

    x: int
    y: int
    pixels: Mask
    components: int = 0  # 8-connected ones that are no specks, once they are counted
    marks: int = 0  # all of them


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


def cells(mask: Mask, side: int) -> Mask:
    """Return the maximum of each cell of `side` x `side` pixels of a mask (H, W), the last ones cut off by its border."""
    height, width = mask.shape
    # Rows first: the maximum of long rows is taken many pixels at a time.
    bands = np.stack([np.maximum.reduce(mask[y : y + side]) for y in range(0, height, side)])
    columns = -(-width // side)
    padded = np.pad(bands, ((0, 0), (0, columns * side - width)))
    return np.asarray(padded.reshape(len(bands), columns, side).max(axis=2))


def _enlarged(own: NDArray[np.bool_], side: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return cells as pixels, cut to a shape (height, width)."""
    return own.repeat(side, axis=0).repeat(side, axis=1)[: shape[0], : shape[1]]


def split(mask: Mask, side: int) -> Iterator[Window]:
    """Split a mask (H, W) of 0 / 1 into windows that are more than `side` pixels apart.

    The mask is divided into cells of `side` x `side`. Cells that hold pixels and touch, also at a corner, share a window.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(cells(mask, side), connectivity=8)
    for number, (column, row, wide, tall, _) in enumerate(stats[1:].tolist(), 1):
        own = labels[row : row + tall, column : column + wide] == number
        x, y = column * side, row * side
        pixels = mask[y : y + tall * side, x : x + wide * side]
        yield Window(x, y, pixels * _enlarged(own, side, pixels.shape))


def _tight(window: Window) -> Window:
    x, y, width, height = cv2.boundingRect(window.pixels)
    return window._replace(x=window.x + x, y=window.y + y, pixels=window.pixels[y : y + height, x : x + width])


def _without_specks(window: Window, min_area: int) -> Window:
    """Drop the components of fewer than `min_area` pixels from a tight window, and count the others."""
    count, labels = cv2.connectedComponents(window.pixels, connectivity=8)
    if count - 1 > MAX_MARKS:
        return window._replace(marks=count - 1)
    # In bands: each is copied with 8 bytes a pixel.
    areas = np.zeros(count, np.int64)
    for y in range(0, len(labels), BAND):
        areas += np.bincount(labels[y : y + BAND].ravel(), minlength=count)
    kept = areas >= min_area
    kept[0] = False
    counted = window._replace(components=int(kept.sum()), marks=count - 1)
    return counted if kept[1:].all() else _tight(counted._replace(pixels=kept.view(np.uint8).take(labels)))


def _merged(window: Window, size: int, step: int) -> Iterator[Box]:
    """Yield a box per component of a dilated window, around that component's *undilated* pixels.

    With a `step` above 1 the dilation is done on cells of so many pixels. It needs no margin: the ellipse is symmetric and
    narrows from its middle row and column, so groups that touch outside a rectangle around them touch, moved straight to
    its border, inside as well.
    """
    x, y, mask = window.x, window.y, window.pixels
    if window.components == 1:  # the usual case, and nothing to merge
        yield Box(x, y, x + mask.shape[1], y + mask.shape[0])
        return
    seeds = mask if step == 1 else cells(mask, step)
    side = size // step | 1
    merged = cv2.dilate(seeds, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) if size else mask
    _, labels = cv2.connectedComponents(merged, connectivity=8)
    labels[seeds == 0] = 0
    # A dilated group always holds the undilated pixels it grew from, so no slice is None.
    for number, (rows, columns) in enumerate(find_objects(labels), 1):
        left, top = x + columns.start * step, y + rows.start * step
        if step == 1:
            yield Box(left, top, x + columns.stop, y + rows.stop)
            continue
        pixels = mask[rows.start * step : rows.stop * step, columns.start * step : columns.stop * step]
        box = enclosing(pixels * _enlarged(labels[rows, columns] == number, step, pixels.shape))
        assert box is not None
        yield Box(left + box.x1, top + box.y1, left + box.x2, top + box.y2)


def _boxes(mask: Mask, ratio: float, min_area: int) -> tuple[Box, ...]:
    """Return the boxes that one ratio of dilation gives, sorted; where all components are specks, the largest stays."""
    size = kernel_size(ratio, *mask.shape)
    # Pixels that merge are at most a kernel apart, so they are in one window.
    windows, marks = [], 0
    for window in split(mask, max(size, CELL)):
        windows.append(_without_specks(_tight(window), min_area))
        marks += windows[-1].marks
        if marks > MAX_MARKS:
            raise TooManyMarksError(f"a mask has more than {MAX_MARKS} separate marks; remove its noise")
    if windows and not any(window.components for window in windows):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        largest = labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
        windows = [_tight(Window(0, 0, largest.view(np.uint8), components=1))]
    size = min(size, 2 * max(mask.shape) + 1)  # which reaches everything
    work = sum(window.pixels.size for window in windows if window.components > 1) * size**2
    step = 1 if work <= EXACT else -(-size // COARSE)
    boxes = [box for window in windows if window.components for box in _merged(window, size, step)]
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

    Raises:
        TooManyMarksError: it has more than `MAX_MARKS` separate marks, specks included.
    """
    marked = np.ascontiguousarray(foreground(mask)).view(np.uint8)
    while len(boxes := _boxes(marked, ratio, min_area)) > max_boxes:
        ratio = ratio * 2 if ratio > 0 else DEFAULT_RATIO
    return MaskBoxes(boxes, ratio)
