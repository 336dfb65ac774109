"""`meta.json` of the AnomalyCLIP family: {split: {class: [{img_path, mask_path, cls_name, specie_name, anomaly}]}}."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts import listed
from adfm.data.layouts.listed import Row, items, read_list, text, wrong_shape
from adfm.data.layouts.stated import listed_image, named_class
from adfm.data.layouts.walk import SourceImage, truth
from adfm.records import Split

NAME = "meta-json"
SHAPE = "meta.json with {split: {class: [{img_path, mask_path, cls_name, specie_name, anomaly}]}}"
TERMS: str | None = None


def recognise(root: Path) -> str | None:
    """Say why a folder is listed in a `meta.json`, or None."""
    return "meta.json" if (root / "meta.json").is_file() else None


def read(root: Path) -> Iterator[SourceImage]:
    """Yield every listed image; one that is anomalous and has no mask keeps unknown boxes.

    Raises:
        DataFaultsError: everything in the list that is not of that shape, contradicts itself, or names a path outside the
            root.
    """
    file = root / "meta.json"
    value = read_list(file)
    with listed.gathered() as faults:
        for name, classes in value.items() if isinstance(value, dict) else ():
            if not isinstance(classes, dict):
                raise wrong_shape(file, f"'{name}' must hold a list for each class")
            for split, row in (entry for rows in classes.values() for entry in items(file, {name: rows})):
                with faults.caught(file, f"{row.get('img_path')!r:.200}"):
                    yield _image(root, file, row, split)


def _image(root: Path, file: Path, row: Row, split: Split) -> SourceImage:
    path, category = text(file, row, "img_path"), text(file, row, "cls_name")
    mask, kind = str(row.get("mask_path") or ""), str(row.get("specie_name") or "")
    label = truth(named_class(row.get("anomaly")))
    if label[1] or (kind and truth(kind)[0] != label[0]):
        raise ValueError(f"'anomaly' must be 0 or 1 and agree with 'specie_name', not {row.get('anomaly')!r:.60}")
    defect = (kind or "defect") if label[0] == "anomalous" else None
    place = listed.locate(root, file, [mask]) if mask else None
    return listed_image(root, listed.locate(root, file, [path]), category, defect, place, split)
