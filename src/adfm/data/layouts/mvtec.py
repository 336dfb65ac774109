"""The MVTec-AD layout: `train/good`, `test/good`, `test/<defect>`, `ground_truth/<defect>/<stem>_mask.png`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from adfm.data.layouts import names, tree
from adfm.data.layouts.walk import SourceImage, recognised

NAME = "mvtec"
SHAPE = "train/good, test/good, test/<defect>, ground_truth/<defect>/<stem>_mask.png (one category or several)"
TERMS: str | None = None  # several published sets have this layout


def _categories(root: Path) -> list[str | None]:
    """The categories of a root, None for the root itself."""
    return [
        found.category
        for folder, found in tree.classes(root)
        if found.split and any(names.folded(part) == "good" for part in folder.parts)
    ]


def recognise(root: Path) -> str | None:
    """Say why a folder has this layout, or None."""
    return recognised((name or root.resolve().name for name in _categories(root)), "train/good or test/good")


def read(root: Path) -> Iterator[SourceImage]:
    """Yield the images of every category; the category is its folder's name.

    Raises:
        DataFaultsError: something in the folder is not read, or a name fits twice.
    """
    return tree.read(root)


def named(root: Path, known: Collection[str]) -> str | None:
    """Say which of a published set's categories a folder holds; None where others are among them or it has fewer than two.

    One category alone could be anybody's part of that name, and must not be given a publisher's licence.
    """
    present = {name.lower() for name in _categories(root) if name}
    published = {name.lower() for name in known}
    return f"the categories {', '.join(sorted(present))}" if len(present) > 1 and present <= published else None
