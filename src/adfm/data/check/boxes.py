"""One sample's boxes: their order and number, and whether they are what its masks give; no file is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from adfm.data.faults import Broken, broken
from adfm.data.measure import Mask, reading_order
from adfm.data.settings import BuildSettings
from adfm.data.tile import tight
from adfm.geometry import boxes_from_mask
from adfm.records import Sample


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
        made = boxes_from_mask(mask, ratio=settings.dilate, min_area=settings.min_area, max_boxes=settings.max_boxes)
        if sorted(sample.boxes, key=reading_order) != list(made.boxes):
            yield broken("boxes-differ")
