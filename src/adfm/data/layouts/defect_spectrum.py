"""Defect Spectrum's MVTec part, as MMAD has it: `image/{good,<defect>}` and `mask/<defect>`; a test part only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.walk import SourceImage, categories, folders, images_of, recogniser

NAME = "defect-spectrum"
SHAPE = "image/good, image/<defect>, mask/<defect>/<stem>_mask.png (one category or several)"
TERMS: str | None = "Defect Spectrum: MIT for its annotations; the images are MVTec AD's, CC BY-NC-SA 4.0"


def _is_category(folder: Path) -> bool:
    return (folder / "image" / "good").is_dir() and (folder / "mask").is_dir()


recognise = recogniser(_is_category, "image/good and mask")


def read(root: Path) -> Iterator[SourceImage]:
    """Yield the images of every category; its coloured class masks and captions are left out."""
    for name, folder in categories(root, _is_category):
        yield from images_of(root, folder / "image" / "good", name, "normal", split="test")
        for defect in (below for below in folders(folder / "image") if below.name != "good"):
            masks = folder / "mask" / defect.name
            yield from images_of(root, defect, name, "anomalous", defect.name, masks=masks, split="test")
