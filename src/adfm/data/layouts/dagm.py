"""DAGM 2007: `ClassN/{Train,Test}/NNNN.PNG`, anomalous where `Label/NNNN_label.PNG` exists; a label is a coarse ellipse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.found import Found, categories, pictures, recognised
from adfm.records import Label, Split

NAME = "dagm"
SHAPE = "ClassN/{Train,Test}/NNNN.PNG, ClassN/{Train,Test}/Label/NNNN_label.PNG"
TERMS: str | None = "DAGM 2007: not known here; see the contest"

_SPLITS: dict[str, Split] = {"Train": "train", "Test": "test"}


def _is_category(folder: Path) -> bool:
    return any((folder / part / "Label").is_dir() for part in _SPLITS)


def recognise(root: Path) -> str | None:
    """Say why a folder is DAGM, or None."""
    return recognised(categories(root, _is_category), "Train/Label or Test/Label")


def read(root: Path) -> Iterator[Found]:
    """Yield the pictures of every class."""
    for name, folder in categories(root, _is_category):
        for part, split in _SPLITS.items():
            labels = {path.stem: path for path in pictures(folder / part / "Label")}
            for path in pictures(folder / part):
                if path.parent != folder / part:
                    continue
                label = labels.get(f"{path.stem}_label")
                masks = (label.relative_to(root),) if label else ()
                state: Label = "anomalous" if label else "normal"
                yield Found(path.relative_to(root), state, name, None, masks, split, tight=not label)
