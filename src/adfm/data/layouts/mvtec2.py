"""MVTec AD 2: `test_public/{good,bad}` with the truth inside it; the private tests carry no labels and are left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.found import Found, MaskIndex, categories, folders, pictures, relative
from adfm.records import Split

NAME = "mvtec2"
SHAPE = "train/good, validation/good, test_public/{good,bad,ground_truth/bad}; test_private* is left out"
TERMS: str | None = "MVTec AD 2: CC BY-NC-SA 4.0"

_SPLITS: dict[str, Split] = {"train": "train", "validation": "validation", "test_public": "test"}


def _is_category(folder: Path) -> bool:
    return (folder / "test_public").is_dir()


def _found(root: Path) -> list[Path]:
    """The categories; some archives hold each in a folder of its own name."""
    inner = [folder / folder.name for folder in folders(root) if _is_category(folder / folder.name)]
    return categories(root, _is_category) or inner


def recognise(root: Path) -> str | None:
    """Say why a folder is MVTec AD 2, or None."""
    names = [folder.name for folder in _found(root)]
    return f"test_public in {', '.join(names)}" if names else None


def read(root: Path) -> Iterator[Found]:
    """Yield the pictures of every category that have a label."""
    for category in _found(root):
        name, masks = category.resolve().name, MaskIndex(category / "test_public" / "ground_truth" / "bad")
        for part, split in _SPLITS.items():
            good, bad = category / part / "good", category / part / "bad"
            yield from (Found(path.relative_to(root), "normal", name, split=split) for path in pictures(good))
            for path in pictures(bad):
                found = relative(masks.of(path.relative_to(bad).with_suffix("")), root)
                yield Found(path.relative_to(root), "anomalous", name, "bad", found, split)
