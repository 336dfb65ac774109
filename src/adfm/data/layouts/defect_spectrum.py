"""Defect Spectrum's MVTec part, as MMAD has it: `image/{good,<defect>}` and `mask/<defect>`; a test part only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.found import Found, categories, folders, parts_of, recognised

NAME = "defect-spectrum"
SHAPE = "image/good, image/<defect>, mask/<defect>/<stem>_mask.png (one category or several)"
TERMS: str | None = "Defect Spectrum: MIT for its annotations; the pictures are MVTec AD's, CC BY-NC-SA 4.0"


def _is_category(folder: Path) -> bool:
    return (folder / "image" / "good").is_dir() and (folder / "mask").is_dir()


def recognise(root: Path) -> str | None:
    """Say why a folder is Defect Spectrum, or None."""
    return recognised(categories(root, _is_category), "image/good and mask")


def read(root: Path) -> Iterator[Found]:
    """Yield the pictures of every category; its coloured class masks and captions are left alone."""
    for name, folder in categories(root, _is_category):
        yield from parts_of(root, folder / "image" / "good", name, "normal", split="test")
        for kind in (each for each in folders(folder / "image") if each.name != "good"):
            masks = folder / "mask" / kind.name
            yield from parts_of(root, kind, name, "anomalous", kind.name, masks=masks, split="test")
