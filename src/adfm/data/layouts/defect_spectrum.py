"""Defect Spectrum's MVTec part, as MMAD has it: `image/{good,<defect>}` and `mask/<defect>`; a test part only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.found import Found, MaskIndex, categories, folders, pictures, relative

NAME = "defect-spectrum"
SHAPE = "image/good, image/<defect>, mask/<defect>/<stem>_mask.png (one category or several)"
TERMS: str | None = "Defect Spectrum: MIT for its annotations; the pictures are MVTec AD's, CC BY-NC-SA 4.0"


def _is_category(folder: Path) -> bool:
    return (folder / "image" / "good").is_dir() and (folder / "mask").is_dir()


def recognise(root: Path) -> str | None:
    """Say why a folder is Defect Spectrum, or None."""
    names = [folder.name for folder in categories(root, _is_category)]
    return f"image/good and mask in {', '.join(names)}" if names else None


def read(root: Path) -> Iterator[Found]:
    """Yield the pictures of every category; its coloured class masks and captions are left alone."""
    for category in categories(root, _is_category):
        for kind in folders(category / "image"):
            good, masks = kind.name == "good", MaskIndex(category / "mask" / kind.name)
            for path in pictures(kind):
                yield Found(
                    image=path.relative_to(root),
                    label="normal" if good else "anomalous",
                    category=category.resolve().name,
                    defect=None if good else kind.name,
                    masks=() if good else relative(masks.of(path.relative_to(kind).with_suffix("")), root),
                    split="test",
                )
