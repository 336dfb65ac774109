"""Class folders as Hugging Face reads them: `train/<class>/`, `test/<class>/`; a class named as OK is normal, others are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.names import SPLIT_NAMES
from adfm.data.layouts.walk import Category, SourceImage, folders, images_of, recognised, truth

NAME = "imagefolder"
SHAPE = "train/<class>/ and test/<class>/, one class named ok, normal or the like (imagefolder)"
TERMS: str | None = None


def _splits(root: Path) -> list[Category]:
    return [Category(folder.name, folder) for folder in folders(root) if folder.name.lower() in SPLIT_NAMES]


def recognise(root: Path) -> str | None:
    """Say why a folder holds class folders of each split, or None."""
    fitting = [part for part in _splits(root) if any(truth(f.name)[0] == "normal" for f in folders(part.folder))]
    return recognised(fitting, "class folders")


def read(root: Path) -> Iterator[SourceImage]:
    """Yield the images of every class; its name is the defect type, where it is no common name of NG."""
    for name, part in _splits(root):
        for folder in folders(part):
            label, defect = truth(folder.name)
            yield from images_of(root, folder, root.resolve().name, label, defect, split=SPLIT_NAMES[name.lower()])
