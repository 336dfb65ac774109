"""One sample's boxes: their order and number, and whether they are what its masks give; no file is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from adfm.data.faults import Broken, broken
from adfm.data.settings import BuildSettings
from adfm.data.tile import tight
from adfm.geometry import Box, boxes_from_mask
from adfm.records import Sample

Mask = NDArray[np.bool_]


def box_faults(sample: Sample, settings: BuildSettings | None) -> Iterator[Broken]:
    """Yield what is wrong with boxes by themselves; each has passed the contract of its line."""
    boxes = sample.boxes or ()
    order = [_key(box) for box in boxes]
    if order != sorted(order):
        yield broken("boxes-unsorted")
    yield from (broken("box-twice", box=[*box]) for box, count in Counter(boxes).items() if count > 1)
    most = (settings or BuildSettings()).max_boxes
    if len(boxes) > most:
        yield broken("boxes-many", count=len(boxes), most=most)


def mask_faults(sample: Sample, mask: Mask, settings: BuildSettings | None) -> Iterator[Broken]:
    """Yield where boxes and mask of an anomalous sample disagree; `mask` is (height, width) of 0 / 1, and marks some."""
    if sample.boxes is None:
        yield broken("boxes-null")
    elif settings is not None and not _agree(sample.boxes, mask, settings):
        yield broken("boxes-differ")


def _agree(boxes: tuple[Box, ...], mask: Mask, settings: BuildSettings) -> bool:
    """Whether boxes follow from the mask: those of a tile are tight around what it shows, others are made anew."""
    if settings.tile is not None:
        return all(tight(mask, box) == box for box in boxes)
    # From the settings' own dilation: one that a line names could be large enough to take forever.
    made = boxes_from_mask(mask, ratio=settings.dilate, min_area=settings.min_area, max_boxes=settings.max_boxes)
    return sorted(boxes, key=_key) == list(made.boxes)


def _key(box: Box) -> tuple[float, float, float, float]:
    return box.y1, box.x1, box.y2, box.x2
