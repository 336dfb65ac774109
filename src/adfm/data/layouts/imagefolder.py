"""Class folders as Hugging Face reads them: `train/<class>/`, `test/<class>/`; a class named as OK is normal, others are not."""

from __future__ import annotations

from pathlib import Path

from adfm.data.layouts import tree
from adfm.data.layouts.walk import recognised

NAME = "imagefolder"
SHAPE = "train/<class>/ and test/<class>/, one class named ok, normal or the like (imagefolder)"
TERMS: str | None = None


def recognise(root: Path) -> str | None:
    """Say why a folder holds class folders of each split, or None."""
    found = [folder for folder, place in tree.classes(root) if place.split and place.label == "normal"]
    return recognised((folder.as_posix() for folder in found), "class folders")


read = tree.read
