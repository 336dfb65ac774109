"""Magnetic tiles: `MT_Free/Imgs/*.jpg` are normal, `MT_<defect>/Imgs/*.jpg` have a mask of the same stem beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.found import Category, Found, folders, pictures, recognised, relative

NAME = "magnetic-tiles"
SHAPE = "MT_Free/Imgs/*.jpg, MT_<defect>/Imgs/*.jpg with *.png masks of the same stem"
TERMS: str | None = "magnetic tile defects: not known here; see its publisher"

_FREE = "MT_Free"


def _kinds(root: Path) -> list[Category]:
    return [
        Category(each.name, each / "Imgs")
        for each in folders(root)
        if each.name.startswith("MT_") and (each / "Imgs").is_dir()
    ]


def recognise(root: Path) -> str | None:
    """Say why a folder is the magnetic tile set, or None."""
    kinds = _kinds(root)
    return recognised(kinds, "Imgs") if any(kind.name == _FREE for kind in kinds) else None


def read(root: Path) -> Iterator[Found]:
    """Yield every photograph; the .png of a normal tile is an empty mask and not a picture."""
    for kind, folder in _kinds(root):
        for path in (each for each in pictures(folder) if each.suffix.lower() != ".png"):
            if kind == _FREE:
                yield Found(path.relative_to(root), "normal", "magnetic-tile")
            else:
                masks = relative((mask for mask in [path.with_suffix(".png")] if mask.is_file()), root)
                yield Found(path.relative_to(root), "anomalous", "magnetic-tile", kind.removeprefix("MT_"), masks)
