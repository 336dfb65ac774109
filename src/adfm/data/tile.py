"""Images cut into square tiles, so that small defects stay large enough to see; doubtful tiles are left out.

A tile is anomalous where a defect is *visible* in it, normal where no box of the image has a pixel in it, and is not
made where it shows only slivers of defects: its truth would be a guess. A tile's boxes are the image's boxes, clipped
to the tile and drawn tight around the mask pixels that are left of them.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from adfm import images
from adfm.data.manifest import mask_paths
from adfm.data.marks import Mask
from adfm.data.measure import reading_order, united_mask
from adfm.data.settings import BuildSettings
from adfm.data.threads import Threads
from adfm.geometry import Box, clip, enclosing, filled
from adfm.records import SPLITS, Sample
from adfm.storage import sha256_bytes

TILES = "tiles"
VISIBLE_SHARE = 0.25
VISIBLE_SIDE = 0.5


class Tiles(NamedTuple):
    """The tiles of one image that were written, and how many were left out for showing slivers only."""

    samples: tuple[Sample, ...]
    slivers: int


class TileBoxes(NamedTuple):
    """The boxes visible in a tile, in tile pixels, and whether it also shows a sliver: less than counts as visible."""

    visible: tuple[Box, ...]
    sliver: bool


def starts(length: int, size: int, overlap: float) -> list[int]:
    """Return where tiles of `size` pixels start on a side of `length`; the last ends at the border. Short side: [0]."""
    if length <= size:
        return [0]
    step = max(1, round(size * (1 - overlap)))
    return [*range(0, length - size, step), length - size]


def grid(width: int, height: int, size: int, overlap: float) -> list[Box]:
    """Return the tiles of an image as boxes in its pixels, row by row."""
    return [
        Box(x, y, min(x + size, width), min(y + size, height))
        for y in starts(height, size, overlap)
        for x in starts(width, size, overlap)
    ]


def tile_boxes(mask: Mask, boxes: Sequence[Box], tile: Box) -> TileBoxes:
    """Return what of an image's boxes a tile shows.

    A defect is visible with at least a quarter of its mask pixels, or where its clipped, tight box is at least half as
    long as the tile's shorter side (a part of a scratch that crosses the tile); less is a sliver, no pixel is nothing.
    """
    visible, sliver = [], False
    for box in boxes:
        part = clip(Box(box.x1 - tile.x1, box.y1 - tile.y1, box.x2 - tile.x1, box.y2 - tile.y1), *_sides(tile))
        seen = tight(crop(mask, tile), part) if part else None
        if part is None or seen is None:
            continue
        share = crop(crop(mask, tile), part).sum() / crop(mask, box).sum()
        if share >= VISIBLE_SHARE or max(_sides(seen)) >= VISIBLE_SIDE * min(_sides(tile)):
            visible.append(seen)
        else:
            sliver = True
    return TileBoxes(tuple(sorted(set(visible), key=reading_order)), sliver)


def _sides(box: Box) -> tuple[float, float]:
    return box.x2 - box.x1, box.y2 - box.y1


def crop(mask: Mask, box: Box) -> Mask:
    """Return the part of an (H, W) mask inside a box of whole pixels."""
    return mask[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)]


def tight(mask: Mask, box: Box) -> Box | None:
    """Return the smallest box around the mask pixels inside a box, or None where there are none."""
    part, x, y = enclosing(crop(mask, box).astype(np.uint8)), int(box.x1), int(box.y1)
    return Box(x + part.x1, y + part.y1, x + part.x2, y + part.y2) if part else None


def cut_all(
    samples: Sequence[Sample], root: Path, staging: Path, settings: BuildSettings, threads: Threads
) -> tuple[list[Sample], list[str]]:
    """Cut every sample and write the tiles below `staging`; sample paths are relative to `root`, where staging will be.

    An anomalous image whose places are unknown cannot be cut honestly and is left out. Tiles with equal content
    (blank ones) are kept once; where their labels differ, not at all.
    """
    known = [sample for sample in samples if sample.boxes is not None]
    cut = threads.map("tiles", partial(_cut, root=root, staging=staging, settings=settings), known)
    tiles = [tile for image in cut for tile in image.samples]
    kept = distinct(tiles)
    for tile in set(tiles) - set(kept):
        for path in (tile.image, *mask_paths(tile)):
            (staging / path).unlink()
    left_out = {
        "anomalous images without boxes, not cut into tiles": len(samples) - len(known),
        "tiles that show only slivers of defects, left out": sum(image.slivers for image in cut),
        "tiles with the content of another tile, left out": len(tiles) - len(kept),
    }
    return kept, [f"{text}: {count}" for text, count in left_out.items() if count]


def _cut(sample: Sample, *, root: Path, staging: Path, settings: BuildSettings) -> Tiles:
    """Write the tiles of one image: every one that shows a defect, and the normal ones that the settings keep."""
    assert settings.tile is not None
    # `..` is resolved in the text: the folder that the paths start from does not exist before it is published.
    path, *masks = (Path(os.path.normpath(root / path)) for path in (sample.image, *mask_paths(sample)))
    image, size = images.load(path, sample.white), (sample.width, sample.height)
    # Of drawn boxes all of their area counts as marked.
    mask = united_mask(path, masks, *size)[0] if masks else filled(sample.boxes or (), *size)
    grid_of_tiles = grid(*size, settings.tile, settings.tile_overlap)
    planned = [(tile, tile_boxes(mask, sample.boxes or (), tile)) for tile in grid_of_tiles]
    normals = [tile for tile, shown in planned if not shown.visible and not shown.sliver]
    if settings.tile_normals is not None and len(normals) > settings.tile_normals:
        normals = random.Random(f"{settings.seed}|{sample.id}").sample(normals, settings.tile_normals)  # noqa: S311
    kept = frozenset(normals)
    chosen = [(tile, shown.visible) for tile, shown in planned if shown.visible or tile in kept]
    written = tuple(_write(sample, image, mask, tile, boxes, staging) for tile, boxes in chosen)
    return Tiles(written, sum(shown.sliver and not shown.visible for _, shown in planned))


def _write(sample: Sample, image: Image.Image, mask: Mask, tile: Box, boxes: tuple[Box, ...], staging: Path) -> Sample:
    """Write one tile, and its part of the mask beside it where it shows a defect."""
    id_ = f"{sample.id}-x{int(tile.x1)}y{int(tile.y1)}"
    name, mask_name = f"{TILES}/{id_}.png", f"{TILES}/{id_}_mask.png" if boxes else None
    part = image.crop((int(tile.x1), int(tile.y1), int(tile.x2), int(tile.y2)))
    pixels = np.asarray(part)
    grey = (pixels == pixels[:, :, :1]).all()  # a third of the bytes, and the same image once decoded
    content = _write_png(part.convert("L") if grey else part, staging / name)
    if mask_name:
        _write_png(Image.fromarray(crop(mask, tile) * np.uint8(255)), staging / mask_name)
    return replace(
        sample,
        id=id_,
        image=name,
        width=int(tile.x2 - tile.x1),
        height=int(tile.y2 - tile.y1),
        label="anomalous" if boxes else "normal",
        defect=sample.defect if boxes else None,
        mask=mask_name,
        boxes=boxes,
        sha256=sha256_bytes(content),
        group=sample.group or sample.id,
        box_ratio=sample.box_ratio if boxes else None,
        tight=sample.tight or not boxes,
        white=None,
    )


def _write_png(image: Image.Image, path: Path) -> bytes:
    """Write an image and return the content of its file; the whole folder is published at once, so no file need be atomic."""
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return buffer.getvalue()


def distinct(tiles: Sequence[Sample]) -> list[Sample]:
    """Return one tile of each content: a test tile before a training one, so that no content is on both sides.

    Contents whose tiles have different labels are left out.
    """
    labels = Counter(digest for digest, _ in {(tile.sha256, tile.label) for tile in tiles})
    first: dict[str, Sample] = {}
    for tile in sorted(tiles, key=lambda tile: (-SPLITS.index(tile.split), tile.id)):
        if labels[tile.sha256] == 1:
            first.setdefault(tile.sha256, tile)
    kept = {tile.id for tile in first.values()}
    return [tile for tile in tiles if tile.id in kept]
