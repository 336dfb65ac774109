"""Magnetic tiles: `MT_Free/Imgs/*.jpg` are normal, `MT_<defect>/Imgs/*.jpg` have a mask of the same stem beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from adfm.data.layouts import names
from adfm.data.layouts.pairing import finished
from adfm.data.layouts.walk import Mask, SourceImage, below, folders, recognised, walk

NAME = "magnetic-tiles"
SHAPE = "MT_Free/Imgs/*.jpg, MT_<defect>/Imgs/*.jpg with *.png masks of the same stem"
TERMS: str | None = "magnetic tile defects: not known here; see its publisher"

_START, _NORMAL = "mt_", "mt_free"


def recognise(root: Path) -> str | None:
    """Say why a folder is the magnetic tile set, or None."""
    found = {folder.name for folder in folders(root) if names.folded(folder.name).startswith(_START)}
    classes = sorted(name for name in found if below(root / name, "imgs"))
    return recognised(classes, "Imgs") if _NORMAL in map(names.folded, classes) else None


def read(root: Path) -> Iterator[SourceImage]:
    """Yield every photograph; the .png of a tile is its mask, empty for a normal one.

    Raises:
        DataFaultsError: something in the folder is not read, or a name fits twice.
    """
    tree = walk(root)
    inside = [path for path in tree.images if _is_tile(path)]
    masks = [path for path in inside if path.suffix.lower() == ".png"]
    beside = [Mask(path, path.parent.parts, (), names.plain_stem(path.name)) for path in masks]
    rest = tuple(path for path in tree.images if path not in set(masks))
    tree = replace(tree, images=rest, masks=(*tree.masks, *beside))
    yield from finished(tree, [_tile(path) for path in inside if path not in set(masks)])


def _is_tile(path: Path) -> bool:
    parts = [names.folded(part) for part in path.parts[:-1]]
    return len(parts) == 2 and parts[0].startswith(_START) and parts[1] == "imgs"


def _tile(path: Path) -> SourceImage:
    kind = path.parts[0]
    if names.folded(kind) == _NORMAL:
        return SourceImage(path, "normal", "magnetic-tile")
    return SourceImage(path, "anomalous", "magnetic-tile", names.composed(kind)[len(_START) :])
