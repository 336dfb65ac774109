"""The MVTec-AD layout: `train/good`, `test/good`, `test/<defect>`, `ground_truth/<defect>/<stem>_mask.png`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from adfm.data.layouts.walk import SourceImage, categories, folders, images_of, recogniser
from adfm.records import SPLITS, Label

NAME = "mvtec"
SHAPE = "train/good, test/good, test/<defect>, ground_truth/<defect>/<stem>_mask.png (one category or several)"
TERMS: str | None = None  # several published sets have this layout


def is_category(folder: Path) -> bool:
    """Whether a folder is one category."""
    return (folder / "train" / "good").is_dir() or (folder / "test" / "good").is_dir()


recognise = recogniser(is_category, "train/good or test/good")


def read(root: Path) -> Iterator[SourceImage]:
    """Yield the images of every category; the category is its folder's name."""
    for name, category in categories(root, is_category):
        for split in SPLITS:
            for folder in folders(category / split) if (category / split).is_dir() else ():
                good = folder.name == "good"
                label: Label = "normal" if good else "anomalous"
                # Names repeat in train, where no image has a mask.
                masks = category / "ground_truth" / folder.name if split == "test" else None
                yield from images_of(root, folder, name, label, None if good else folder.name, masks=masks, split=split)


def named(root: Path, names: Collection[str]) -> str | None:
    """Say which of a published set's categories a folder holds; None where others are among them or it has fewer than two.

    One category alone could be anybody's part of that name, and must not be given a publisher's licence.
    """
    present = {category.name.lower() for category in categories(root, is_category) if category.folder != root}
    published = {name.lower() for name in names}
    return f"the categories {', '.join(sorted(present))}" if len(present) > 1 and present <= published else None
