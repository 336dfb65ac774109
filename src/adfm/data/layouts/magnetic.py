"""Magnetic tiles: `MT_Free/Imgs/*.jpg` are normal, `MT_<defect>/Imgs/*.jpg` have a mask of the same stem beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.walk import Category, SourceImage, folders, image_files, recognised

NAME = "magnetic-tiles"
SHAPE = "MT_Free/Imgs/*.jpg, MT_<defect>/Imgs/*.jpg with *.png masks of the same stem"
TERMS: str | None = "magnetic tile defects: not known here; see its publisher"

_NORMAL = "MT_Free"


def _classes(root: Path) -> list[Category]:
    return [
        Category(folder.name, folder / "Imgs")
        for folder in folders(root)
        if folder.name.startswith("MT_") and (folder / "Imgs").is_dir()
    ]


def recognise(root: Path) -> str | None:
    """Say why a folder is the magnetic tile set, or None."""
    classes = _classes(root)
    return recognised(classes, "Imgs") if any(known.name == _NORMAL for known in classes) else None


def read(root: Path) -> Iterator[SourceImage]:
    """Yield every photograph; the .png of a normal tile is an empty mask and not an image."""
    for name, folder in _classes(root):
        for path in (path for path in image_files(folder) if path.suffix.lower() != ".png"):
            if name == _NORMAL:
                yield SourceImage(path.relative_to(root), "normal", "magnetic-tile")
            else:
                mask, defect = path.with_suffix(".png"), name.removeprefix("MT_")
                masks = (mask.relative_to(root),) if mask.is_file() else ()
                yield SourceImage(path.relative_to(root), "anomalous", "magnetic-tile", defect, masks)
