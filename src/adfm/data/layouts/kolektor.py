"""KolektorSDD as published: `kosNN/PartM.jpg` with `PartM_label.bmp` beside; anomalous where the label marks something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.pairing import finished
from adfm.data.layouts.walk import SourceImage, folders, walk

NAME = "kolektor-sdd"
SHAPE = "kosNN/PartM.jpg, kosNN/PartM_label.bmp"
TERMS: str | None = "KolektorSDD: CC BY-NC-SA 4.0"

_ITEM = re.compile(r"kos\d+", re.IGNORECASE)


def recognise(root: Path) -> str | None:
    """Say why a folder is KolektorSDD, or None."""
    items = [folder for folder in folders(root) if _ITEM.fullmatch(folder.name)]
    labelled = sum(any(item.glob("Part*_label.*")) for item in items)
    return f"labelled parts in {labelled} folders kosNN" if labelled else None


def read(root: Path) -> Iterator[SourceImage]:
    """Yield every photograph; those of one commutator are a group, so no split parts them.

    Raises:
        DataFaultsError: something in the folder is not read, or a name fits twice.
    """
    tree = walk(root)
    items = [path for path in tree.images if len(path.parts) == 2 and _ITEM.fullmatch(path.parts[0])]
    yield from finished(tree, [SourceImage(path, None, "commutator", group=path.parts[0]) for path in items])
