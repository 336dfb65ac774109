"""One sample's masks: files, codes, size, and whether what they mark fits the label; boxes are looked at elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adfm import images
from adfm.data.check.pictures import file_fault
from adfm.data.faults import Broken, broken
from adfm.data.inspect import INVERTED, LOSSY
from adfm.errors import ImageError
from adfm.geometry import foreground
from adfm.records import Sample

MAX_LEVELS = 32  # more grey levels than any set has codes; what has more was smoothed or scaled

Mask = NDArray[np.bool_]


def read_masks(sample: Sample, places: Sequence[Path], orientation: int) -> tuple[list[Broken], Mask | None]:
    """Return the faults of a sample's masks and (height, width) of 0 / 1: what they mark together, where all can be read.

    `orientation` is the picture's EXIF tag; nothing is raised.
    """
    faults: list[Broken] = []
    united: Mask | None = None
    for place in places:
        found, mask = _read(sample, place, orientation)
        faults += found
        if mask is None:
            return faults, None
        united = mask if united is None else united | mask
    return faults, united


def marking_faults(sample: Sample, mask: Mask, *, tiled: bool) -> Iterator[Broken]:
    """Yield what is wrong with all that a sample's masks mark; a tile may lie wholly inside a defect."""
    marked = float(mask.mean())
    if not sample.anomalous and marked:
        yield broken("mask-on-normal")
    if sample.anomalous and not marked:
        yield broken("mask-empty")
    if marked > INVERTED and sample.anomalous and not tiled:
        yield broken("mask-inverted", share=f"{marked:.0%}")


def _read(sample: Sample, place: Path, orientation: int) -> tuple[list[Broken], Mask | None]:
    missing = file_fault(place)
    if missing:
        code = "mask-missing" if missing[0] == "missing" else "mask-unreadable"
        return [broken(code, path=place, why=missing[1])], None
    try:
        head, codes = images.load_mask_with_header(place)
    except (ImageError, OSError) as error:
        return [broken("mask-unreadable", path=place, why=str(error).removeprefix(f"{place}: "))], None
    faults = list(_code_faults(place, codes, lossy=head.format == "JPEG" or place.suffix.lower() in LOSSY))
    height, width = codes.shape[:2]
    told = {"told_width": sample.width, "told_height": sample.height}
    if (width, height) != (sample.width, sample.height):
        return [*faults, broken("mask-size", path=place, width=width, height=height, **told)], None
    if _turned(orientation, width, height) != _turned(head.orientation, width, height):
        faults.append(broken("mask-orientation", path=place))
    return faults, foreground(codes)


def _turned(orientation: int, width: int, height: int) -> int:
    """The EXIF orientation as far as a size does not tell it: a quarter turn shows, unless the picture is square."""
    quarter = orientation in (5, 6, 7, 8)
    return 1 if quarter and width != height else orientation


def _code_faults(place: Path, codes: NDArray[Any], *, lossy: bool) -> Iterator[Broken]:
    """Doubts about what a mask's values mean; JPEG noise has every one of them, so it is told alone."""
    if lossy:
        yield broken("mask-lossy", path=place)
        return
    if codes.ndim == 3 and (codes != codes[:, :, :1]).any():
        yield broken("mask-colour", path=place)
    levels = _levels(codes)
    if levels > MAX_LEVELS:
        yield broken("mask-soft", path=place, levels=levels)


def _levels(codes: NDArray[Any]) -> int:
    """How many values the first channel has; those of 8 bits are counted without sorting."""
    channel = codes[:, :, 0] if codes.ndim == 3 else codes
    if channel.dtype == np.uint8:
        return sum(count > 0 for count in Image.fromarray(np.ascontiguousarray(channel)).histogram())
    return len(np.unique(channel))
