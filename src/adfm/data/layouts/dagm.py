"""DAGM 2007: `ClassN/{Train,Test}/NNNN.PNG`, anomalous where `Label/NNNN_label.PNG` exists; a label is a coarse ellipse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.names import LABEL_SUFFIX, TRAIN_TEST
from adfm.data.layouts.walk import SourceImage, categories, image_files, recogniser
from adfm.records import Label

NAME = "dagm"
SHAPE = "ClassN/{Train,Test}/NNNN.PNG, ClassN/{Train,Test}/Label/NNNN_label.PNG"
TERMS: str | None = "DAGM 2007: not known here; see the contest"


def _is_category(folder: Path) -> bool:
    return any((folder / split.title() / "Label").is_dir() for split in TRAIN_TEST)


recognise = recogniser(_is_category, "Train/Label or Test/Label")


def read(root: Path) -> Iterator[SourceImage]:
    """Yield the images of every class."""
    for name, folder in categories(root, _is_category):
        for split in TRAIN_TEST:
            part = folder / split.title()
            labels = {path.stem: path for path in image_files(part / "Label")}
            for path in (path for path in image_files(part) if path.parent == part):
                mask = labels.get(f"{path.stem}{LABEL_SUFFIX}")
                masks = (mask.relative_to(root),) if mask else ()
                label: Label = "anomalous" if mask else "normal"
                yield SourceImage(path.relative_to(root), label, name, None, masks, split, tight=not mask)
