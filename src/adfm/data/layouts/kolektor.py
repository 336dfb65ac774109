"""KolektorSDD as published: `kosNN/PartM.jpg` with `PartM_label.bmp` beside; anomalous where the label marks something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.found import Found, folders, pictures

NAME = "kolektor-sdd"
SHAPE = "kosNN/PartM.jpg, kosNN/PartM_label.bmp"
TERMS: str | None = "KolektorSDD: CC BY-NC-SA 4.0"

_ITEM = re.compile(r"kos\d+")
_LABEL = "_label"


def _items(root: Path) -> list[Path]:
    return [each for each in folders(root) if _ITEM.fullmatch(each.name)]


def recognise(root: Path) -> str | None:
    """Say why a folder is KolektorSDD, or None."""
    labelled = [each.name for each in _items(root) if any(each.glob(f"Part*{_LABEL}.*"))]
    return f"labelled parts in {len(labelled)} folders kosNN" if labelled else None


def read(root: Path) -> Iterator[Found]:
    """Yield every photograph; those of one commutator are a group, so no split parts them."""
    for item in _items(root):
        labels = {path.stem.removesuffix(_LABEL): path for path in pictures(item) if path.stem.endswith(_LABEL)}
        for path in (each for each in pictures(item) if not each.stem.endswith(_LABEL)):
            masks = (labels[path.stem].relative_to(root),) if path.stem in labels else ()
            yield Found(path.relative_to(root), None, "commutator", masks=masks, group=item.name)
