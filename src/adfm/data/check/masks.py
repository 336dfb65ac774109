"""One sample's masks and boxes: mask files, codes and size, and whether label, masks and boxes agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from adfm.data.faults import Broken, broken
from adfm.data.manifest import mask_paths
from adfm.data.marks import Mask, read_marks, surrounds
from adfm.data.measure import INVERTED, reading_order, size_fault
from adfm.data.settings import BuildSettings
from adfm.data.tile import tight
from adfm.geometry import boxes_from_mask
from adfm.geometry.masks import MAX_MARKS, TooManyMarksError
from adfm.records import Sample


def read_masks(sample: Sample, places: Sequence[Path], orientation: int) -> tuple[list[Broken], Mask | None]:
    """Return the faults of a sample's masks, and what they mark together as (height, width) of booleans.

    The second is None where a mask cannot be read. `orientation` is the image's EXIF tag. Nothing is raised.
    """
    faults: list[Broken] = []
    united = np.zeros((sample.height, sample.width), np.bool_)
    for place in places:
        marks = read_marks(place)
        if isinstance(marks, Broken):
            return [*faults, marks], None
        faults += marks.doubts
        if marks.pixels.shape != (sample.height, sample.width):
            return [*faults, size_fault(place, marks.pixels.shape, sample.width, sample.height)], None
        if _hidden_rotation(orientation, sample) != _hidden_rotation(marks.orientation, sample):
            faults.append(broken("mask-orientation", path=place))
        united |= marks.pixels
    return faults, united if places else None


def marking_faults(sample: Sample, mask: Mask, *, tiled: bool) -> Iterator[Broken]:
    """Yield what is wrong with all that a sample's masks mark; a defect may cover the whole of a tile."""
    marked = float(mask.mean())
    if not sample.anomalous and marked:
        yield broken("mask-on-normal")
    if sample.anomalous and not marked:
        yield broken("mask-empty")
    if sample.anomalous and not tiled and (marked > INVERTED or surrounds(mask)):
        yield broken("mask-inverted", share=f"{marked:.0%}")


def _hidden_rotation(orientation: int, sample: Sample) -> int:
    """The EXIF orientation as far as the size does not show it: a quarter turn shows, unless the image is square."""
    return 1 if orientation in (5, 6, 7, 8) and sample.width != sample.height else orientation


def box_faults(sample: Sample, settings: BuildSettings | None) -> Iterator[Broken]:
    """Yield what is wrong with the boxes of a readable line, by themselves."""
    boxes = sample.boxes or ()
    if list(boxes) != sorted(boxes, key=reading_order):
        yield broken("boxes-unsorted")
    yield from (broken("box-twice", box=[*box]) for box, count in Counter(boxes).items() if count > 1)
    most = (settings or BuildSettings()).max_boxes
    if len(boxes) > most:
        yield broken("boxes-many", count=len(boxes), most=most)


def mask_faults(sample: Sample, mask: Mask, settings: BuildSettings | None) -> Iterator[Broken]:
    """Yield where the boxes of an anomalous sample disagree with its mask, (height, width) of booleans, which marks some.

    The boxes of a tile must be tight around what the mask shows; other boxes must be those that the mask gives.
    """
    if sample.boxes is None:
        yield broken("boxes-null")
    elif settings is None:
        return
    elif settings.tile is not None:
        if any(tight(mask, box) != box for box in sample.boxes):
            yield broken("boxes-differ")
    else:
        # With the settings' own dilation: one that a line names could be large enough to take forever.
        most = settings.max_boxes
        try:
            made = boxes_from_mask(mask, ratio=settings.dilate, min_area=settings.min_area, max_boxes=most).boxes
        except TooManyMarksError:
            yield broken("mask-marks", path=mask_paths(sample)[0], most=MAX_MARKS)
            return
        if sorted(sample.boxes, key=reading_order) != list(made):
            yield broken("boxes-differ")
