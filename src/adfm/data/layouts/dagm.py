"""DAGM 2007: `ClassN/{Train,Test}/NNNN.PNG`, anomalous where `Label/NNNN_label.PNG` exists; a label is a coarse ellipse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from adfm.data.faults import Fault, broken
from adfm.data.layouts import names
from adfm.data.layouts.pairing import finished
from adfm.data.layouts.walk import SourceImage, Tree, below, recogniser, walk
from adfm.records import Label

NAME = "dagm"
SHAPE = "ClassN/{Train,Test}/NNNN.PNG, ClassN/{Train,Test}/Label/NNNN_label.PNG"
TERMS: str | None = "DAGM 2007: not known here; see the contest"


_LABEL = re.compile(r"\S+_label\.\w+", re.IGNORECASE)  # in Labels.txt


recognise = recogniser(
    lambda folder: any(below(folder, split, "label") for split in names.TRAIN_TEST), "Train/Label or Test/Label"
)


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
    for image in finished(tree, parts, faults=_lost(tree)):
        label: Label = "anomalous" if image.masks else "normal"
        yield replace(image, label=label, tight=not image.masks)


def _lost(tree: Tree) -> list[Fault]:
    """Return a fault for each label that a list of labels names and that is not there: its image would be normal."""
    lists = [path for path in tree.others if names.folded(path.name) == "labels.txt" and (tree.root / path).is_file()]
    named = [
        path.with_name(name)
        for path in lists
        for name in _LABEL.findall((tree.root / path).read_text(encoding="utf-8", errors="replace"))
    ]
    present = {names.folded(mask.path.as_posix()) for mask in tree.masks}
    lost = [path for path in named if names.folded(path.as_posix()) not in present]
    return [broken("mask-missing", path=path).at(tree.root) for path in lost]
