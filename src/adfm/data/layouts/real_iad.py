"""Real-IAD: `<class>/OK`, `<class>/NG`, five views a part, and a JSON list per class; a view without a mask is normal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from adfm.data.layouts.listed import inside, items, read_list, text
from adfm.data.layouts.stated import listed_image
from adfm.data.layouts.walk import SourceImage, folders

NAME = "real-iad"
SHAPE = "realiad_jsons*/<class>.json beside realiad_*/<class>/{OK,NG}"
TERMS: str | None = "Real-IAD: for research, on request to its publisher"


def _lists(root: Path) -> list[Path]:
    """The lists, also where an archive nests its folder in one of the same name; the plain protocol before others."""
    plain = [folder for folder in folders(root) if folder.name.startswith("realiad_jsons")]
    nested = [folder / folder.name for folder in plain if (folder / folder.name).is_dir()]
    return next((files for folder in [*nested, *plain] if (files := sorted(folder.glob("*.json")))), [])


def _sizes(root: Path) -> list[str]:
    """The folders of images, one for each size that was downloaded."""
    names = (folder.name for folder in folders(root))
    return [name for name in names if name.startswith("realiad_") and not name.startswith("realiad_jsons")]


def recognise(root: Path) -> str | None:
    """Say why a folder is Real-IAD, or None."""
    lists, sizes = _lists(root), _sizes(root)
    return f"{len(lists)} lists for {sizes[0]}" if lists and sizes else None


def read(root: Path) -> Iterator[SourceImage]:
    """Yield every listed view; a defect that cannot be seen from a view (no mask) makes it normal, as its authors have it.

    The views of one part are in one folder, and are a group.

    Raises:
        DataFaultsError: a list is not of its shape, or names a path outside the set.
    """
    size = _sizes(root)[0]
    for file in _lists(root):
        value = read_list(file)
        meta = value.get("meta") if isinstance(value, dict) else None
        prefix = str(meta.get("prefix") or "") if isinstance(meta, dict) else ""

        def locate(name: str, file: Path = file, prefix: str = prefix) -> Path:
            """The first of the places that exists: prefixes name the folder of images, or do not."""
            ways = [inside(root, file, way) for way in (f"{prefix}{name}", f"{size}/{prefix}{name}", f"{size}/{name}")]
            return next((path for path in ways if (root / path).is_file()), ways[1])

        for split, row in items(file, value):
            kind, mask = text(file, row, "anomaly_class"), str(row.get("mask_path") or "")
            defect = kind if kind != "OK" and mask else None
            image, category = locate(text(file, row, "image_path")), text(file, row, "category")
            view = listed_image(root, image, category, defect, locate(mask) if mask else None, split)
            yield replace(view, group=image.parent.as_posix())
