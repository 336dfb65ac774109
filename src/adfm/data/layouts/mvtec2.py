"""MVTec AD 2: `test_public/{good,bad}` with the truth inside it; the private tests carry no labels and are left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.found import Category, Found, categories, folders, parts_of, recognised
from adfm.records import Split

NAME = "mvtec2"
SHAPE = "train/good, validation/good, test_public/{good,bad,ground_truth/bad}; test_private* is left out"
TERMS: str | None = "MVTec AD 2: CC BY-NC-SA 4.0"

_SPLITS: dict[str, Split] = {"train": "train", "validation": "validation", "test_public": "test"}


def _is_category(folder: Path) -> bool:
    return (folder / "test_public").is_dir()


def _found(root: Path) -> list[Category]:
    """The categories; some archives hold each in a folder of its own name."""
    inner = [Category(each.name, each / each.name) for each in folders(root) if _is_category(each / each.name)]
    return categories(root, _is_category) or inner


def recognise(root: Path) -> str | None:
    """Say why a folder is MVTec AD 2, or None."""
    return recognised(_found(root), "test_public")


def read(root: Path) -> Iterator[Found]:
    """Yield the pictures of every category that have a label."""
    for name, folder in _found(root):
        masks = folder / "test_public" / "ground_truth" / "bad"
        for part, split in _SPLITS.items():
            yield from parts_of(root, folder / part / "good", name, "normal", split=split)
            yield from parts_of(root, folder / part / "bad", name, "anomalous", "bad", masks=masks, split=split)
