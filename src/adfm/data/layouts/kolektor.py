"""KolektorSDD as published: `kosNN/PartM.jpg` with `PartM_label.bmp` beside; anomalous where the label marks something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.names import LABEL_SUFFIX
from adfm.data.layouts.walk import SourceImage, folders, image_files

NAME = "kolektor-sdd"
SHAPE = "kosNN/PartM.jpg, kosNN/PartM_label.bmp"
TERMS: str | None = "KolektorSDD: CC BY-NC-SA 4.0"

_ITEM = re.compile(r"kos\d+")


def _items(root: Path) -> list[Path]:
    return [folder for folder in folders(root) if _ITEM.fullmatch(folder.name)]


def recognise(root: Path) -> str | None:
    """Say why a folder is KolektorSDD, or None."""
    labelled = sum(any(item.glob(f"Part*{LABEL_SUFFIX}.*")) for item in _items(root))
    return f"labelled parts in {labelled} folders kosNN" if labelled else None


def read(root: Path) -> Iterator[SourceImage]:
    """Yield every photograph; those of one commutator are a group, so no split parts them."""
    for item in _items(root):
        labels = {path.stem: path for path in image_files(item) if path.stem.endswith(LABEL_SUFFIX)}
        for path in (path for path in image_files(item) if path.stem not in labels):
            label = labels.get(f"{path.stem}{LABEL_SUFFIX}")
            masks = (label.relative_to(root),) if label else ()
            yield SourceImage(path.relative_to(root), None, "commutator", masks=masks, group=item.name)
