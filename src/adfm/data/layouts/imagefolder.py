"""Class folders as Hugging Face reads them: `train/<class>/`, `test/<class>/`; a class named as OK is normal, others are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.found import Category, Found, folders, parts_of, recognised, truth
from adfm.data.layouts.listed import SPLITS

NAME = "imagefolder"
SHAPE = "train/<class>/ and test/<class>/, one class named ok, normal or the like (imagefolder)"
TERMS: str | None = None


def _splits(root: Path) -> list[Category]:
    return [Category(each.name, each) for each in folders(root) if each.name.lower() in SPLITS]


def recognise(root: Path) -> str | None:
    """Say why a folder holds class folders of each split, or None."""
    normal = [part for part in _splits(root) if any(truth(each.name)[0] == "normal" for each in folders(part.folder))]
    return recognised(normal, "class folders")


def read(root: Path) -> Iterator[Found]:
    """Yield the pictures of every class; its name is the kind of defect, where it is no common name of NG."""
    for part, folder in _splits(root):
        for each in folders(folder):
            yield from parts_of(root, each, root.resolve().name, *truth(each.name), split=SPLITS[part.lower()])
