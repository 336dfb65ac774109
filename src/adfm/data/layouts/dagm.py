"""DAGM 2007: `ClassN/{Train,Test}/NNNN.PNG`, anomalous where `Label/NNNN_label.PNG` exists; a label is a coarse ellipse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from adfm.data.layouts import names
from adfm.data.layouts.pairing import finished
from adfm.data.layouts.walk import SourceImage, below, recogniser, walk
from adfm.records import Label

NAME = "dagm"
SHAPE = "ClassN/{Train,Test}/NNNN.PNG, ClassN/{Train,Test}/Label/NNNN_label.PNG"
TERMS: str | None = "DAGM 2007: not known here; see the contest"


def _is_category(folder: Path) -> bool:
    return any(below(folder, split, "label") for split in names.TRAIN_TEST)


recognise = recogniser(_is_category, "Train/Label or Test/Label")


def read(root: Path) -> Iterator[SourceImage]:
    """Yield the images of every class.

    Raises:
        DataFaultsError: something in the folder is not read, or a name fits twice.
    """
    tree, parts = walk(root), []
    for path in tree.images:
        *outer, last = ("", *path.parent.parts)
        if (split := names.split_of(last)) and len(outer) <= 2:
            parts.append(SourceImage(path, None, outer[-1] or root.resolve().name, split=split))
    for image in finished(tree, parts):
        label: Label = "anomalous" if image.masks else "normal"
        yield replace(image, label=label, tight=not image.masks)
