"""`meta.json` of the AnomalyCLIP family: {split: {class: [{img_path, mask_path, cls_name, specie_name, anomaly}]}}."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.listed import inside, items, listed_image, read_list, text, wrong_shape
from adfm.data.layouts.walk import SourceImage

NAME = "meta-json"
SHAPE = "meta.json with {split: {class: [{img_path, mask_path, cls_name, specie_name, anomaly}]}}"
TERMS: str | None = None


def recognise(root: Path) -> str | None:
    """Say why a folder is listed in a `meta.json`, or None."""
    return "meta.json" if (root / "meta.json").is_file() else None


def read(root: Path) -> Iterator[SourceImage]:
    """Yield every listed image; one that is anomalous and has no mask keeps unknown boxes.

    Raises:
        DataFaultsError: the list is not of that shape, or names a path outside the root.
    """
    file = root / "meta.json"
    value = read_list(file)
    for name, classes in value.items() if isinstance(value, dict) else ():
        if not isinstance(classes, dict):
            raise wrong_shape(file, f"'{name}' must hold a list for each class")
        for split, row in (entry for rows in classes.values() for entry in items(file, {name: rows})):
            mask = str(row.get("mask_path") or "")
            yield listed_image(
                root,
                inside(root, file, text(file, row, "img_path")),
                text(file, row, "cls_name"),
                str(row.get("specie_name") or "defect") if row.get("anomaly") else None,
                inside(root, file, mask) if mask else None,
                split,
            )
