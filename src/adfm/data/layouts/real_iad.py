"""Real-IAD: `<class>/OK`, `<class>/NG`, five views a part, and a JSON list per class; a view without a mask is normal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.found import Found, folders
from adfm.data.layouts.listed import found, inside, items, text
from adfm.storage import read_json

NAME = "real-iad"
SHAPE = "realiad_jsons*/<class>.json beside realiad_*/<class>/{OK,NG}"
TERMS: str | None = "Real-IAD: for research, on request to its publisher"


def _lists(root: Path) -> list[Path]:
    """The lists, also where an archive nests its folder in one of the same name; the plain protocol before others."""
    places = [folder for folder in folders(root) if folder.name.startswith("realiad_jsons")]
    nested = [folder / folder.name for folder in places if (folder / folder.name).is_dir()]
    return next((found for place in [*nested, *places] if (found := sorted(place.glob("*.json")))), [])


def _pictures(root: Path) -> list[Path]:
    return [f for f in folders(root) if f.name.startswith("realiad_") and not f.name.startswith("realiad_jsons")]


def recognise(root: Path) -> str | None:
    """Say why a folder is Real-IAD, or None."""
    lists, sizes = _lists(root), _pictures(root)
    return f"{len(lists)} lists for {sizes[0].name}" if lists and sizes else None


def read(root: Path) -> Iterator[Found]:
    """Yield every listed view; a defect that cannot be seen from a view (no mask) makes it normal, as its authors have it.

    Raises:
        DataError: a list is not of its shape, or names a path outside the set.
    """
    size = _pictures(root)[0].name
    for file in _lists(root):
        value = read_json(file)
        meta = value.get("meta") if isinstance(value, dict) else None
        prefix = str(meta.get("prefix") or "") if isinstance(meta, dict) else ""

        def place(name: str, file: Path = file, prefix: str = prefix) -> Path:
            """The first of the places that exists: prefixes name the folder of pictures, or do not."""
            named = [inside(root, file, way) for way in (f"{prefix}{name}", f"{size}/{prefix}{name}", f"{size}/{name}")]
            return next((path for path in named if (root / path).is_file()), named[1])

        for split, row in items(file, value):
            kind, mask = text(file, row, "anomaly_class"), str(row.get("mask_path") or "")
            defect = kind if kind != "OK" and mask else None
            masks = (place(mask),) if mask else ()
            yield found(root, place(text(file, row, "image_path")), text(file, row, "category"), defect, masks, split)
