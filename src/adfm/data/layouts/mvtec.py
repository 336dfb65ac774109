"""The MVTec-AD layout: `train/good`, `test/good`, `test/<defect>`, `ground_truth/<defect>/<stem>_mask.png`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.found import Found, categories, folders, parts_of, recognised
from adfm.records import Label, Split

NAME = "mvtec"
SHAPE = "train/good, test/good, test/<defect>, ground_truth/<defect>/<stem>_mask.png (one category or several)"
TERMS: str | None = None  # several published sets have this layout

_SPLITS: dict[str, Split] = {"train": "train", "validation": "validation", "test": "test"}


def is_category(folder: Path) -> bool:
    """Whether a folder is one category."""
    return (folder / "train" / "good").is_dir() or (folder / "test" / "good").is_dir()


def recognise(root: Path) -> str | None:
    """Say why a folder is an MVTec-AD set (one category or several), or None."""
    return recognised(categories(root, is_category), "train/good or test/good")


def read(root: Path) -> Iterator[Found]:
    """Yield the pictures of every category; the category is its folder's name."""
    for name, category in categories(root, is_category):
        for part, split in _SPLITS.items():
            truth = category / "ground_truth" if part == "test" else None  # names repeat in train
            for kind in folders(category / part) if (category / part).is_dir() else ():
                masks, good = truth and truth / kind.name, kind.name == "good"
                label: Label = "normal" if good else "anomalous"
                yield from parts_of(root, kind, name, label, None if good else kind.name, masks=masks, split=split)
