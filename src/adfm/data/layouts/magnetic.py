"""Magnetic tiles: `MT_Free/Imgs/*.jpg` are normal, `MT_<defect>/Imgs/*.jpg` have a mask of the same stem beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.found import Found, folders, pictures

NAME = "magnetic-tiles"
SHAPE = "MT_Free/Imgs/*.jpg, MT_<defect>/Imgs/*.jpg with *.png masks of the same stem"
TERMS: str | None = "magnetic tile defects: not known here; see its publisher"

_FREE = "MT_Free"


def recognise(root: Path) -> str | None:
    """Say why a folder is the magnetic tile set, or None."""
    kinds = [folder.name for folder in folders(root) if folder.name.startswith("MT_") and (folder / "Imgs").is_dir()]
    return f"Imgs in {', '.join(kinds)}" if _FREE in kinds else None


def read(root: Path) -> Iterator[Found]:
    """Yield every photograph; the .png of a normal tile is an empty mask and not a picture."""
    for kind in folders(root):
        if not (kind.name.startswith("MT_") and (kind / "Imgs").is_dir()):
            continue
        for path in pictures(kind / "Imgs"):
            if path.suffix.lower() == ".png":
                continue
            mask = path.with_suffix(".png")
            if kind.name == _FREE:
                yield Found(path.relative_to(root), "normal", "magnetic-tile")
            else:
                masks = (mask.relative_to(root),) if mask.is_file() else ()
                yield Found(path.relative_to(root), "anomalous", "magnetic-tile", kind.name.removeprefix("MT_"), masks)
