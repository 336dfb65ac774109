"""Pictures cut into square tiles, so that small defects stay large enough to see; doubtful tiles are left out.

A tile is anomalous where a defect is *visible* in it, normal where no box of the picture has a pixel in it, and is not
made where it shows only slivers of defects: its truth would be a guess. A tile's boxes are the picture's boxes, clipped
to the tile and drawn tight around the mask pixels that are left of them.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adfm import images
from adfm.data.inspect import united_mask
from adfm.data.manifest import mask_paths
from adfm.data.settings import BuildSettings
from adfm.data.threads import Threads
from adfm.geometry import Box, clip, filled
from adfm.records import SPLITS, Sample
from adfm.storage import sha256_bytes

TILES = "tiles"
VISIBLE_SHARE = 0.25
VISIBLE_SIDE = 0.5

Mask = NDArray[np.bool_]


class Tiles(NamedTuple):
    """The tiles of one picture that were written, and how many were left out for showing slivers only."""

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
    """Return the tiles of a picture as boxes in its pixels, row by row."""
    return [
        Box(x, y, min(x + size, width), min(y + size, height))
        for y in starts(height, size, overlap)
        for x in starts(width, size, overlap)
    ]


def tile_boxes(mask: Mask, boxes: Sequence[Box], tile: Box) -> TileBoxes:
    """Return what of a picture's boxes a tile shows.

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
    return TileBoxes(tuple(sorted(set(visible), key=lambda b: (b.y1, b.x1, b.y2, b.x2))), sliver)


def _sides(box: Box) -> tuple[float, float]:
    return box.x2 - box.x1, box.y2 - box.y1


def crop(mask: Mask, box: Box) -> Mask:
    """Return the part of an (H, W) mask inside a box of whole pixels."""
    return mask[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)]


def tight(mask: Mask, box: Box) -> Box | None:
    """Return the smallest box around the mask pixels inside a box, or None where there are none."""
    rows, columns = (np.flatnonzero(crop(mask, box).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    x, y = int(box.x1), int(box.y1)
    return Box(x + int(columns[0]), y + int(rows[0]), x + int(columns[-1]) + 1, y + int(rows[-1]) + 1)


def cut_all(
    samples: Sequence[Sample], root: Path, staging: Path, settings: BuildSettings, threads: Threads
) -> tuple[list[Sample], list[str]]:
    """Cut every sample and write the tiles below `staging`; sample paths are relative to `root`, where staging will be.

    An anomalous picture whose places are unknown cannot be cut honestly and is left out. Tiles with equal content
    (blank ones) are kept once; where their labels differ, not at all.
    """
    known = [sample for sample in samples if sample.boxes is not None]
    made = threads.map("tiles", partial(_cut, root=root, staging=staging, settings=settings), known)
    tiles = [tile for each in made for tile in each.samples]
    kept = _distinct(tiles)
    for tile in set(tiles) - set(kept):
        _remove(tile, staging)
    left_out = {
        "anomalous pictures without boxes, not cut into tiles": len(samples) - len(known),
        "tiles that show only slivers of defects, left out": sum(each.slivers for each in made),
        "tiles with the content of another tile, left out": len(tiles) - len(kept),
    }
    return kept, [f"{text}: {count}" for text, count in left_out.items() if count]


def _cut(sample: Sample, *, root: Path, staging: Path, settings: BuildSettings) -> Tiles:
    assert settings.tile is not None
    picture = images.load(_real(root, sample.image))
    masks = [_real(root, path) for path in mask_paths(sample)]
    size = sample.width, sample.height
    mask = united_mask(masks, *size) if masks else filled(sample.boxes or (), *size)  # drawn boxes: all of their area
    planned = [
        (tile, tile_boxes(mask, sample.boxes or (), tile))
        for tile in grid(sample.width, sample.height, settings.tile, settings.tile_overlap)
    ]
    normals = [tile for tile, shown in planned if not shown.visible and not shown.sliver]
    wanted = _some(normals, settings, sample.id)
    chosen = [(tile, shown.visible) for tile, shown in planned if shown.visible or tile in wanted]
    written = tuple(_write(sample, picture, mask, tile, boxes, staging) for tile, boxes in chosen)
    return Tiles(written, sum(shown.sliver and not shown.visible for _, shown in planned))


def _real(root: Path, relative: str) -> Path:
    """Resolve `..` in the text: the folder that the path starts from does not exist before it is published."""
    return Path(os.path.normpath(root / relative))


def _some(normals: Sequence[Box], settings: BuildSettings, id_: str) -> frozenset[Box]:
    """At most `tile_normals` of the normal tiles, drawn by the seed and the picture's id."""
    if settings.tile_normals is None or len(normals) <= settings.tile_normals:
        return frozenset(normals)
    return frozenset(random.Random(f"{settings.seed}|{id_}").sample(normals, settings.tile_normals))  # noqa: S311


def _write(
    sample: Sample, picture: Image.Image, mask: Mask, tile: Box, boxes: tuple[Box, ...], staging: Path
) -> Sample:
    """Write one tile, and the cut of the mask beside it where it shows a defect."""
    name = f"{sample.id}-x{int(tile.x1)}y{int(tile.y1)}"
    content = _png(_grey_if_grey(picture.crop((int(tile.x1), int(tile.y1), int(tile.x2), int(tile.y2)))))
    image = f"{TILES}/{name}.png"
    mask_name = f"{TILES}/{name}_mask.png" if boxes else None
    _save(staging / image, content)
    if mask_name:
        _save(staging / mask_name, _png(Image.fromarray(crop(mask, tile) * np.uint8(255))))
    return replace(
        sample,
        id=name,
        image=image,
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
    )


def _grey_if_grey(image: Image.Image) -> Image.Image:
    """A third of the bytes for a grey picture, and the same picture once decoded."""
    pixels = np.asarray(image)
    return image.convert("L") if (pixels == pixels[:, :, :1]).all() else image


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _save(path: Path, content: bytes) -> None:
    # The whole folder is flushed and published at once, so a single file need not be atomic.
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _distinct(tiles: Sequence[Sample]) -> list[Sample]:
    """Keep one tile of each content: a test tile before a training one, so that no content is on both sides."""
    labels = Counter(digest for digest, _ in {(tile.sha256, tile.label) for tile in tiles})
    first: dict[str, Sample] = {}
    for tile in sorted(tiles, key=lambda tile: (-SPLITS.index(tile.split), tile.id)):
        if labels[tile.sha256] == 1:
            first.setdefault(tile.sha256, tile)
    kept = {tile.id for tile in first.values()}
    return [tile for tile in tiles if tile.id in kept]


def _remove(tile: Sample, staging: Path) -> None:
    for path in _files(tile):
        (staging / path).unlink()


def _files(tile: Sample) -> Iterator[str]:
    yield tile.image
    if isinstance(tile.mask, str):
        yield tile.mask
