"""Measures one image and its masks, opened once: size, hash, boxes, and every fault or doubt; no splits, no tiles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adfm import images
from adfm.data.faults import Broken, DataFaultsError, Fault, broken
from adfm.data.layouts import SourceImage
from adfm.data.settings import BuildSettings
from adfm.errors import ImageError
from adfm.geometry import Box, boxes_from_mask, clip, filled, foreground
from adfm.records import Label, Sample
from adfm.storage import sha256_file

LOSSY = images.JPEG_SUFFIXES
INVERTED = 0.9  # share of an image; a mask that covers more is probably inverted

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Measurement:
    """What opening an image showed; `boxes` None: unknown. A fault forbids the manifest, a doubt becomes a warning.

    `depth` and `white` are those of an image of more than 8 bits a channel; which value is white the whole set decides.
    """

    source: SourceImage
    width: int = 0
    height: int = 0
    sha256: str = ""
    label: Label = "normal"
    boxes: tuple[Box, ...] | None = None
    box_ratio: float | None = None
    tight: bool = True
    depth: images.Depth | None = None
    white: float | None = None
    faults: tuple[Fault, ...] = ()
    doubts: tuple[str, ...] = ()

    def sample(self, id_: str, way: Path) -> Sample:
        """Return the image as a sample, in train for now; `way` leads from the manifest's folder to the source."""
        masks = tuple((way / mask).as_posix() for mask in self.source.masks) if self.boxes else ()
        return Sample(
            id=id_,
            image=(way / self.source.image).as_posix(),
            width=self.width,
            height=self.height,
            label=self.label,
            category=self.source.category,
            defect=self.source.defect,
            mask=masks if len(masks) > 1 else masks[0] if masks else None,
            boxes=self.boxes,
            split="train",
            sha256=self.sha256,
            box_ratio=self.box_ratio,
            tight=self.tight,
            white=self.white,
        )


def measure(root: Path, source: SourceImage, settings: BuildSettings) -> Measurement:
    """Open an image and its masks; `root` is absolute and without links. Faults are returned, never raised."""
    try:
        image, *masks = (inside(root, path) for path in (source.image, *source.masks))
        if fault := file_fault("image", image, source.image):
            raise DataFaultsError([fault.at(root)])
        width, height, depth = images.measured(image)
        digest = sha256_file(image)
        mask = united_mask(image, masks, width, height) if masks else None
        if source.label is None and mask is None:
            raise DataFaultsError([broken("label-undecided", path=source.image).at(root)])
        marked = mask is not None and bool(mask.any())
        label = source.label or ("anomalous" if marked else "normal")
        if label == "normal" and marked:
            raise DataFaultsError([broken("mask-on-normal").at(image)])
        measured = Measurement(source, width, height, digest, label, () if label == "normal" else None, depth=depth)
        if label == "normal":
            return measured
        return _drawn(root, measured, settings) if source.boxes else _masked(root, measured, mask, settings)
    except DataFaultsError as error:
        return Measurement(source, faults=error.faults)
    except ImageError as error:
        fault = broken(f"image-{error.reason}", path=source.image, limit=images.MAX_PIXELS, why=error.why)
    except OSError as error:
        fault = broken("image-unreadable", path=source.image, why=error.strerror)
    return Measurement(source, faults=(fault.at(root),))


def _drawn(root: Path, measured: Measurement, settings: BuildSettings) -> Measurement:
    """Take boxes as they were drawn, in whole pixels inside the image; only too many are merged, as a mask's are."""
    source, (width, height) = measured.source, (measured.width, measured.height)
    if source.size not in (None, (width, height)):
        listed = dict(zip(("listed_width", "listed_height"), source.size or (), strict=True))
        fault = broken("image-size", path=source.image, width=width, height=height, origin="its list", **listed)
        raise DataFaultsError([fault.at(root)])
    whole = [Box(floor(b.x1), floor(b.y1), ceil(b.x2), ceil(b.y2)) for b in source.boxes]
    parts = [clip(box, width, height) for box in whole]
    if outside := [box for box, part in zip(whole, parts, strict=True) if part is None]:
        fault = broken("box-outside", box=[*outside[0]], width=width, height=height)
        raise DataFaultsError([fault.at(root / source.image)])
    boxes = tuple(sorted({part for part in parts if part}, key=reading_order))
    doubts = ("a box reaches beyond its image (clipped)",) if parts != whole else ()
    measured = replace(measured, boxes=boxes, tight=source.tight, doubts=doubts)
    if len(boxes) <= settings.max_boxes:
        return measured
    merged, ratio = boxes_from_mask(filled(boxes, width, height), ratio=settings.dilate, max_boxes=settings.max_boxes)
    return replace(measured, boxes=merged, box_ratio=ratio, doubts=(*doubts, _too_many(settings)))


def _masked(root: Path, measured: Measurement, mask: Mask | None, settings: BuildSettings) -> Measurement:
    """Turn what the masks mark into boxes; without a mask, or with an empty one, they stay unknown."""
    source = measured.source
    if mask is None:
        return replace(measured, doubts=("anomalous image without a mask (boxes null)",))
    doubts = ["mask in a lossy format (JPEG)"] if any(path.suffix.lower() in LOSSY for path in source.masks) else []
    share = np.count_nonzero(mask) / mask.size
    if not share:
        return replace(measured, doubts=(*doubts, "anomalous image with an empty mask (boxes null)"))
    if share > INVERTED:
        doubts.append(f"mask covers over {INVERTED:.0%} of the image (is it inverted?)")
    boxes, ratio = boxes_from_mask(
        mask, ratio=settings.dilate, min_area=settings.min_area, max_boxes=settings.max_boxes
    )
    raised = ratio != settings.dilate
    doubts += [_too_many(settings)] if raised else []
    tight = source.tight
    for path in source.masks if source.saturations else ():
        codes, areas = np.unique(images.load_mask(root / path), return_counts=True)
        regions = zip(codes.tolist(), areas.tolist(), strict=True)
        tight = tight and not any(source.loose(code, area) for code, area in regions if code)
    doubts += [] if tight else ["mask marks more than the defect (boxes not tight)"]
    return replace(measured, boxes=boxes, box_ratio=ratio if raised else None, tight=tight, doubts=tuple(doubts))


def _too_many(settings: BuildSettings) -> str:
    return f"more than {settings.max_boxes} boxes, dilation raised until they fit"


def reading_order(box: Box) -> tuple[float, float, float, float]:
    """Return the key by which the boxes of a sample are sorted."""
    return box.y1, box.x1, box.y2, box.x2


def united_mask(image: Path, masks: Sequence[Path], width: int, height: int) -> Mask:
    """Return (height, width) of booleans: the pixels that any of an image's masks marks, at least one mask.

    Raises:
        DataFaultsError: a mask cannot be read or has another size than its image.
    """
    united: Mask | None = None
    for path in masks:
        if fault := file_fault("mask", path, path):
            raise DataFaultsError([fault.at(image)])
        try:
            mask = foreground(images.load_mask(path))
        except ImageError as error:
            why = str(error).removeprefix(f"{path}: ")
            raise DataFaultsError([broken("mask-unreadable", path=path, why=why).at(image)]) from error
        if mask.shape != (height, width):
            raise DataFaultsError([size_fault(path, mask.shape, width, height).at(image)])
        united = mask if united is None else united | mask
    assert united is not None
    return united


def size_fault(mask: Path, shape: tuple[int, ...], width: int, height: int) -> Broken:
    """Return the fault of a mask of `shape` (height, width, ...) whose image is `width` x `height` pixels."""
    sizes = {"width": shape[1], "height": shape[0], "image_width": width, "image_height": height}
    return broken("mask-size", path=mask, **sizes)


def file_fault(kind: Literal["image", "mask"], path: Path, shown: Path) -> Broken | None:
    """Return why a path cannot be an image or a mask, before it is opened (a pipe would never end), or None.

    `shown` is the path that the fault names.
    """
    try:
        if not path.exists():
            return broken(f"{kind}-missing", path=shown)
        why = "not a file" if not path.is_file() else "0 bytes" if path.stat().st_size == 0 else None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
    if why == "0 bytes" and kind == "image":
        return broken("image-empty", path=shown)
    return broken(f"{kind}-unreadable", path=shown, why=why) if why else None


def inside(root: Path, path: Path) -> Path:
    """Return a path below the root (absolute and without links itself), which must not leave it by `..` or by a link.

    Raises:
        DataFaultsError: it does.
    """
    whole = root / path
    if not Path(os.path.realpath(whole)).is_relative_to(root):
        raise DataFaultsError([broken("link-outside", path=path).at(root)])
    return whole
