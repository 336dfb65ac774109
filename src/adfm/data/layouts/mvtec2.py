"""MVTec AD 2: `test_public/{good,bad}` with the truth inside it; the private tests carry no labels and are left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.walk import Category, SourceImage, categories, folders, images_of, recognised
from adfm.records import SPLITS

NAME = "mvtec2"
SHAPE = "train/good, validation/good, test_public/{good,bad,ground_truth/bad}; test_private* is left out"
TERMS: str | None = "MVTec AD 2: CC BY-NC-SA 4.0"

_TEST = "test_public"


def _is_category(folder: Path) -> bool:
    return (folder / _TEST).is_dir()


def _categories(root: Path) -> list[Category]:
    """The categories; some archives hold each in a folder of its own name."""
    inner = [Category(outer.name, outer / outer.name) for outer in folders(root) if _is_category(outer / outer.name)]
    return categories(root, _is_category) or inner


def recognise(root: Path) -> str | None:
    """Say why a folder is MVTec AD 2, or None."""
    return recognised(_categories(root), _TEST)


def read(root: Path) -> Iterator[SourceImage]:
    """Yield the images of every category that have a label."""
    for name, folder in _categories(root):
        masks = folder / _TEST / "ground_truth" / "bad"
        for split in SPLITS:
            part = folder / (_TEST if split == "test" else split)
            yield from images_of(root, part / "good", name, "normal", split=split)
            yield from images_of(root, part / "bad", name, "anomalous", "bad", masks=masks, split=split)
