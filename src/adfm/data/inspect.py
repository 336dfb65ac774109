"""One picture and its masks, opened once: size, hash, boxes, and every fault or doubt; no splits, no tiles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import ceil, floor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adfm import images
from adfm.data.layouts import Found
from adfm.data.settings import BuildSettings
from adfm.errors import DataError, ImageError
from adfm.geometry import Box, boxes_from_mask, clip, filled, foreground
from adfm.records import Label
from adfm.storage import sha256_file

LOSSY = frozenset({".jpg", ".jpeg"})
INVERTED = 0.9


@dataclass(frozen=True)
class Facts:
    """What opening a picture told; `boxes` None: unknown. A fault forbids the manifest, a doubt becomes a warning."""

    found: Found
    width: int = 0
    height: int = 0
    sha256: str = ""
    label: Label = "normal"
    boxes: tuple[Box, ...] | None = None
    box_ratio: float | None = None
    tight: bool = True
    faults: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def inspect(root: Path, found: Found, settings: BuildSettings) -> Facts:
    """Open a picture and its masks; faults are returned, never raised."""
    try:
        image, *masks = (inside(root, path) for path in (found.image, *found.masks))
        width, height = images.decoded_size(image)
        digest = sha256_file(image)
        mask = united_mask(masks, width, height) if masks else None
    except DataError as error:
        return Facts(found, faults=(str(error),))
    except OSError as error:
        return Facts(found, faults=(f"{root / found.image}: cannot be read ({error.strerror})",))
    if found.label is None and mask is None:
        return Facts(found, faults=(f"{root / found.image}: has no label picture; restore it, or remove the picture",))
    label = found.label or ("normal" if mask is None or not mask.any() else "anomalous")
    facts = Facts(found, width, height, digest, label)
    if label == "normal":
        return _normal(root, facts, mask)
    return _drawn(root, facts, settings) if found.boxes else _anomalous(root, facts, mask, settings)


def _normal(root: Path, facts: Facts, mask: NDArray[np.bool_] | None) -> Facts:
    if mask is not None and mask.any():
        fault = f"{root / facts.found.image}: is labelled normal but its mask marks a defect; move it or empty the mask"
        return Facts(facts.found, faults=(fault,))
    return replace(facts, boxes=())


def _drawn(root: Path, facts: Facts, settings: BuildSettings) -> Facts:
    """Take boxes as they were drawn, in whole pixels inside the picture; only too many are merged, as a mask's are."""
    size, image = (facts.width, facts.height), root / facts.found.image
    is_size = f"{facts.width} x {facts.height}"
    if facts.found.size not in (None, size):
        told = " x ".join(map(str, facts.found.size or ()))
        return Facts(
            facts.found, faults=(f"{image}: is {is_size}, its list says {told}; list boxes in its own pixels",)
        )
    whole = [Box(floor(b.x1), floor(b.y1), ceil(b.x2), ceil(b.y2)) for b in facts.found.boxes]
    parts = [clip(box, *size) for box in whole]
    boxes = tuple(sorted({part for part in parts if part}, key=lambda box: (box.y1, box.x1, box.y2, box.x2)))
    if None in parts:
        return Facts(facts.found, faults=(f"{image}: a box lies outside its {is_size} pixels; mend the list",))
    doubts = ("a box reaches beyond its picture (clipped)",) if parts != whole else ()
    facts = replace(facts, boxes=boxes, tight=facts.found.tight, doubts=doubts)
    if len(boxes) <= settings.max_boxes:
        return facts
    merged, ratio = boxes_from_mask(filled(boxes, *size), ratio=settings.dilate, max_boxes=settings.max_boxes)
    return replace(facts, boxes=merged, box_ratio=ratio, doubts=(*doubts, _many(settings)))


def _many(settings: BuildSettings) -> str:
    return f"more than {settings.max_boxes} boxes, dilation raised until they fit"


def _anomalous(root: Path, facts: Facts, mask: NDArray[np.bool_] | None, settings: BuildSettings) -> Facts:
    if mask is None:
        return replace(facts, doubts=("anomalous picture without a mask (boxes null)",))
    doubts = ["mask in a lossy format (JPEG)"] if any(p.suffix.lower() in LOSSY for p in facts.found.masks) else []
    share = np.count_nonzero(mask) / mask.size
    if not share:
        return replace(facts, doubts=(*doubts, "anomalous picture with an empty mask (boxes null)"))
    if share > INVERTED:
        doubts.append(f"mask covers over {INVERTED:.0%} of the picture (is it inverted?)")
    boxes, ratio = boxes_from_mask(
        mask, ratio=settings.dilate, min_area=settings.min_area, max_boxes=settings.max_boxes
    )
    raised = ratio != settings.dilate
    doubts += [_many(settings)] if raised else []
    tight = facts.found.tight and not _loose(root, facts.found)
    doubts += [] if tight else ["mask marks more than the defect (boxes not tight)"]
    return replace(facts, boxes=boxes, box_ratio=ratio if raised else None, tight=tight, doubts=tuple(doubts))


def _loose(root: Path, found: Found) -> bool:
    """Whether a mask holds a region that counts in full before it is covered whole, or one of an unlisted code."""
    known = {each.code: each for each in found.saturations}
    for path in found.masks if known else ():
        codes, areas = np.unique(images.load_mask(root / path), return_counts=True)
        regions = zip(codes.tolist(), areas.tolist(), strict=True)
        if any(code and (code not in known or known[code].loose(area)) for code, area in regions):
            return True
    return False


def united_mask(paths: Sequence[Path], width: int, height: int) -> NDArray[np.bool_]:
    """Return (height, width) of booleans: the pixels that any of the masks marks.

    Raises:
        ImageError: a mask cannot be read or has another size than its picture.
    """
    marked = [_marked(path, width, height) for path in paths] or [np.zeros((height, width), np.bool_)]
    return reduce(np.logical_or, marked)


def _marked(path: Path, width: int, height: int) -> NDArray[np.bool_]:
    mask = foreground(images.load_mask(path))
    if mask.shape != (height, width):
        is_size = f"{mask.shape[1]} x {mask.shape[0]}"
        raise ImageError(f"{path}: mask is {is_size}, its picture {width} x {height}; export it at the picture's size")
    return mask


def inside(root: Path, path: Path) -> Path:
    """Return a path below the root (absolute and without links itself), which must not leave it by `..` or by a link.

    Raises:
        DataError: it does.
    """
    whole = root / path
    if not Path(os.path.realpath(whole)).is_relative_to(root):
        raise DataError(f"{whole}: leads outside {root}; replace the link by the file")
    return whole
