"""Measures one image and its masks, opened once: size, hash, boxes, and every fault or doubt; no splits, no tiles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor
from pathlib import Path

import numpy as np

from adfm import images
from adfm.data.contract import MAX_ENTRIES
from adfm.data.faults import Broken, DataFaultsError, Fault, broken
from adfm.data.layouts import SourceImage
from adfm.data.marks import Mask, file_fault, read_marks, surrounds
from adfm.data.settings import BuildSettings
from adfm.errors import ImageError
from adfm.geometry import Box, boxes_from_mask, clip, filled
from adfm.geometry.masks import MAX_MARKS, TooManyMarksError
from adfm.records import Label, Sample
from adfm.storage import sha256_file

INVERTED = 0.9  # share of an image; a mask that covers more is probably inverted
DOUBTS = {
    "mask-lossy": "mask in a lossy format (JPEG)",
    "mask-colour": "mask has colours; all but black is defect",
    "mask-soft": "mask has many grey levels",
}


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
        _require_bounds(root, source)
        image, *masks = (inside(root, path) for path in (source.image, *source.masks))
        if fault := file_fault("image", image, source.image):
            raise DataFaultsError([fault.at(root)])
        width, height, depth = images.measured(image)
        digest = sha256_file(image)
        mask, doubts = united_mask(image, masks, width, height) if masks else (None, ())
        if source.label is None and mask is None:
            raise DataFaultsError([broken("label-undecided", path=source.image).at(root)])
        marked = mask is not None and bool(mask.any())
        label = source.label or ("anomalous" if marked else "normal")
        if label == "normal" and marked:
            raise DataFaultsError([broken("mask-on-normal").at(image)])
        _require_listed_size(root, source, width, height)
        boxes = () if label == "normal" else None
        notes = (*source.doubts, *map(DOUBTS.__getitem__, doubts))
        measured = Measurement(source, width, height, digest, label, boxes, depth=depth, doubts=notes)
        if label == "normal":
            return measured
        return _drawn(root, measured, settings) if source.boxes else _masked(root, measured, mask, settings)
    except DataFaultsError as error:
        return Measurement(source, faults=error.faults)
    except TooManyMarksError:
        fault = broken("mask-marks", path=next(iter(source.masks), source.image), most=MAX_MARKS)
    except ImageError as error:
        fault = broken(f"image-{error.reason}", path=source.image, limit=images.MAX_PIXELS, why=error.why)
    except OSError as error:
        fault = broken("image-unreadable", path=source.image, why=error.strerror)
    return Measurement(source, faults=(fault.at(root),))


def _require_bounds(root: Path, source: SourceImage) -> None:
    if len(source.masks) > MAX_ENTRIES:
        many = broken("field-long", name="mask", count=len(source.masks), most=MAX_ENTRIES)
        raise DataFaultsError([many.at(root / source.image)])


def _require_listed_size(root: Path, source: SourceImage, width: int, height: int) -> None:
    if source.size not in (None, (width, height)):
        listed = dict(zip(("listed_width", "listed_height"), source.size or (), strict=True))
        fault = broken("image-size", path=source.image, width=width, height=height, origin="its list", **listed)
        raise DataFaultsError([fault.at(root)])


def _drawn(root: Path, measured: Measurement, settings: BuildSettings) -> Measurement:
    """Take boxes as they were drawn, in whole pixels inside the image; only too many are merged, as a mask's are."""
    source, (width, height) = measured.source, (measured.width, measured.height)
    whole = [Box(floor(b.x1), floor(b.y1), ceil(b.x2), ceil(b.y2)) for b in source.boxes]
    parts = [clip(box, width, height) for box in whole]
    if outside := [box for box, part in zip(whole, parts, strict=True) if part is None]:
        fault = broken("box-outside", box=[*outside[0]], width=width, height=height)
        raise DataFaultsError([fault.at(root / source.image)])
    boxes = tuple(sorted({part for part in parts if part}, key=reading_order))
    turned = images.orientation(root / source.image) in (
        range(2, 9) if source.size is None or width == height else range(2, 5)
    )
    beyond = "a box reaches beyond its image (clipped)" if parts != whole else None
    shown = "EXIF rotates or mirrors an image, and its boxes are taken as of the image as shown" if turned else None
    doubts = (*measured.doubts, *filter(None, (beyond, shown)))
    measured = replace(measured, boxes=boxes, tight=source.tight, doubts=doubts)
    if len(boxes) <= settings.max_boxes:
        return measured
    merged, ratio = boxes_from_mask(filled(boxes, width, height), ratio=settings.dilate, max_boxes=settings.max_boxes)
    return replace(measured, boxes=merged, box_ratio=ratio, doubts=(*doubts, _too_many(settings)))


def corners(root: Path, measured: Sequence[Measurement]) -> list[Fault]:
    """Return the fault of a set whose drawn boxes [x, y, width, height] are corners: some reach out, and as corners all fit."""
    drawn = [(box, one.width, one.height) for one in measured for box in one.source.boxes]
    beyond = any(box.x2 > width + 1 or box.y2 > height + 1 for box, width, height in drawn)
    fitting = all(
        box.x1 < box.x2 - box.x1 <= width and box.y1 < box.y2 - box.y1 <= height for box, width, height in drawn
    )
    return [broken("boxes-corners").at(root)] if beyond and fitting else []


def _masked(root: Path, measured: Measurement, mask: Mask | None, settings: BuildSettings) -> Measurement:
    """Turn what the masks mark into boxes; without a mask, or with an empty one, they stay unknown."""
    source = measured.source
    if mask is None:
        return replace(measured, doubts=(*measured.doubts, "anomalous image without a mask (boxes null)"))
    doubts = [*measured.doubts]
    share = np.count_nonzero(mask) / mask.size
    if not share:
        return replace(measured, doubts=(*doubts, "anomalous image with an empty mask (boxes null)"))
    if share > INVERTED or surrounds(mask):
        doubts.append("mask covers most of the image (is it inverted?)")
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


def united_mask(image: Path, masks: Sequence[Path], width: int, height: int) -> tuple[Mask, tuple[str, ...]]:
    """Return (height, width) of booleans, the pixels that any of an image's masks marks (at least one), and codes of doubts.

    Raises:
        DataFaultsError: a mask cannot be read, is unclear or has another size than its image.
    """
    united = np.zeros((height, width), np.bool_)
    doubts: dict[str, None] = {}
    for path in masks:
        marks = read_marks(path)
        if isinstance(marks, Broken):
            raise DataFaultsError([marks.at(image)])
        if marks.pixels.shape != (height, width):
            raise DataFaultsError([size_fault(path, marks.pixels.shape, width, height).at(image)])
        united |= marks.pixels
        doubts |= {doubt.code: None for doubt in marks.doubts}
    return united, tuple(doubts)


def size_fault(mask: Path, shape: tuple[int, ...], width: int, height: int) -> Broken:
    """Return the fault of a mask of `shape` (height, width, ...) whose image is `width` x `height` pixels."""
    sizes = {"width": shape[1], "height": shape[0], "image_width": width, "image_height": height}
    return broken("mask-size", path=mask, **sizes)


def inside(root: Path, path: Path) -> Path:
    """Return a path below the root (absolute and without links itself), which must not leave it by `..` or by a link.

    Raises:
        DataFaultsError: it does.
    """
    whole = root / path
    if not Path(os.path.realpath(whole)).is_relative_to(root):
        raise DataFaultsError([broken("link-outside", path=path).at(root)])
    return whole
