"""The MVTec-AD layout: `train/good`, `test/good`, `test/<defect>`, `ground_truth/<defect>/<stem>_mask.png`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.found import Found, MaskIndex, categories, folders, pictures, relative
from adfm.records import Split

NAME = "mvtec"
SHAPE = "train/good, test/good, test/<defect>, ground_truth/<defect>/<stem>_mask.png (one category or several)"
TERMS: str | None = None  # several published sets have this layout

_SPLITS: dict[str, Split] = {"train": "train", "validation": "validation", "test": "test"}


def is_category(folder: Path) -> bool:
    """Whether a folder is one category."""
    return (folder / "train" / "good").is_dir() or (folder / "test" / "good").is_dir()


def recognise(root: Path) -> str | None:
    """Say why a folder is an MVTec-AD set (one category or several), or None."""
    names = [folder.name for folder in categories(root, is_category)]
    return f"train/good or test/good in {', '.join(names)}" if names else None


def read(root: Path) -> Iterator[Found]:
    """Yield the pictures of every category; the category is its folder's name."""
    for category in categories(root, is_category):
        for name, split in _SPLITS.items():
            if (category / name).is_dir():
                for kind in folders(category / name):
                    yield from _kind(root, category, kind, split)


def _kind(root: Path, category: Path, kind: Path, split: Split) -> Iterator[Found]:
    good = kind.name == "good"
    masks = MaskIndex(category / "ground_truth" / kind.name)  # of the test split alone: names repeat in train
    for path in pictures(kind):
        yield Found(
            image=path.relative_to(root),
            label="normal" if good else "anomalous",
            category=category.resolve().name,
            defect=None if good else kind.name,
            masks=relative(masks.of(path.relative_to(kind).with_suffix("")), root) if split == "test" else (),
            split=split,
        )
