"""`meta.json` of the AnomalyCLIP family: {split: {class: [{img_path, mask_path, cls_name, specie_name, anomaly}]}}."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.found import Found
from adfm.data.layouts.listed import found, inside, items, text
from adfm.errors import DataError
from adfm.storage import read_json

NAME = "meta-json"
SHAPE = "meta.json with {split: {class: [{img_path, mask_path, cls_name, specie_name, anomaly}]}}"
TERMS: str | None = None


def recognise(root: Path) -> str | None:
    """Say why a folder is listed in a `meta.json`, or None."""
    return "meta.json" if (root / "meta.json").is_file() else None


def read(root: Path) -> Iterator[Found]:
    """Yield every listed picture; one that is anomalous and has no mask keeps unknown boxes.

    Raises:
        DataError: the list is not of that shape, or names a path outside the root.
    """
    file = root / "meta.json"
    value = read_json(file)
    classes = [(split, rows) for split, rows in value.items()] if isinstance(value, dict) else []
    for name, rows in classes:
        if not isinstance(rows, dict):
            raise DataError(f"{file}: '{name}' must hold a list for each class")
        for split, row in ((split, row) for part in rows.values() for split, row in items(file, {name: part})):
            mask = str(row.get("mask_path") or "")
            yield found(
                root,
                inside(root, file, text(file, row, "img_path")),
                text(file, row, "cls_name"),
                str(row.get("specie_name") or "defect") if row.get("anomaly") else None,
                (inside(root, file, mask),) if mask else (),
                split,
            )
