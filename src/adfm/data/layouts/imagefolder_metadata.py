"""Hugging Face's imagefolder with `metadata.csv` or `.jsonl`: file_name, and a label, masks or boxes in `objects`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adfm.data.faults import DataFaultsError, broken
from adfm.data.layouts import listed
from adfm.data.layouts.drawn import listed_shapes
from adfm.data.layouts.listed import Faults, Row
from adfm.data.layouts.walk import SourceImage

NAME = "imagefolder-metadata"
SHAPE = (
    "metadata.csv or metadata.jsonl with file_name and label, objects or masks, beside the images or in train/, test/"
)
TERMS: str | None = None

_NAMES = ("metadata.csv", "metadata.jsonl")
_LABELS = ("label", "label_name", "anomaly", "is_anomaly", "anomalous", "is_anomalous", "defective", "is_defective")
_TYPES = ("defect", "defect_type", "defect_name")
_NO_TYPE = frozenset({"", "-", "none", "nan", "null", "na", "n/a"})
_READ = frozenset({"file_name", "objects", "width", "height", "split", "subset", *_LABELS, *_TYPES})
_INDEX = frozenset({"", "unnamed: 0", "index", "id"})
_MASKS = frozenset({"mask", "masks", "gt", "truth", "segmentation"})
_TRUTHS = frozenset(
    {"label", "labels", "class", "classes", "defect", "defects", "defective", "anomaly", "anomalies", "anomalous"}
    | {"target", "y", "good", "bad", "ok", "nok", "ng", "normal", "status", "verdict", "quality", "result", "grade"}
    | {"passed", "failed", "bbox", "bboxes", "box", "boxes", "xmin", "xmax", "ymin", "ymax", "polygon", "polygons"}
    | {"annotation", "annotations", "rle"}
)


def _files(root: Path) -> list[Path]:
    return [file for name in _NAMES for file in listed.list_files(root, name, re.compile(b"file_name"))]


def recognise(root: Path) -> str | None:
    """Say why a folder is an imagefolder with metadata, or None."""
    return ", ".join(file.relative_to(root).as_posix() for file in _files(root)) or None


def read(root: Path) -> Iterator[SourceImage]:
    """Yield every listed image; its split is the one that its row or its folder says.

    Raises:
        DataFaultsError: everything in metadata that is not of that shape, contradicts itself, or names a path outside the
            root.
    """
    with listed.gathered() as faults:
        found = [image for file in _files(root) for image in _images(root, file, faults)]
        with faults.caught(root, NAME):
            listed.require_normal(root, found)
        yield from found


def _images(root: Path, file: Path, faults: Faults) -> Iterator[SourceImage]:
    with faults.caught(file, file.name):
        rows = listed.read_list(file)
        columns = dict.fromkeys(name for row in rows for name in row)
        masks = [name for name in columns if name not in _READ and _MASKS & _words(name)]
        others = [name for name in columns if name not in _READ | _INDEX and name not in masks]
        if unread := [name for name in others if _TRUTHS & _words(name)]:
            raise DataFaultsError([broken("list-column", name=name).at(file) for name in unread])
        doubts = (f"columns that were not read ({', '.join(others):.200})",) if others else ()
        for number, row in enumerate(rows, 1):
            with faults.caught(file, f"row {number} ({row.get('file_name')!r:.200})"):
                yield _image(root, file, row, masks, doubts)


def _words(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]+", name))


def _paths(value: Any) -> list[str]:
    """Return the paths in the field of a mask: none, one or several."""
    values = value if isinstance(value, list) else [] if value in (None, "") else [value]
    if not all(isinstance(each, str) and each.strip() for each in values):
        raise ValueError(f"a mask must be a path, not {value!r:.60}")
    return values


def _image(root: Path, file: Path, row: Row, masks: list[str], doubts: tuple[str, ...]) -> SourceImage:
    path = listed.locate(root, file, [listed.text(file, row, "file_name")])
    value: Any = row.get("objects") or {"bbox": []}
    shapes = listed_shapes(json.loads(value) if isinstance(value, str) else value)
    given = [row.get(name) for name in _LABELS if row.get(name) not in (None, "")]
    given += [row.get(name) for name in _TYPES if str(row.get(name) or "").strip().lower() not in _NO_TYPE]
    classes, places = [*map(listed.named_class, given)], [place for name in masks for place in _paths(row.get(name))]
    if not (classes or places or row.get("objects")):
        raise ValueError("it needs 'objects', a mask, or a 'label' that is 0, 1 or the name of a class")
    if places and shapes:
        raise ValueError("it has both boxes and a mask; keep one")
    return listed.annotated_image(
        path,
        root.resolve().name,
        [(listed.shape_class(kind), box) for kind, box in shapes],
        listed.split_of(row, path.parent),
        classes=classes,
        masks=tuple(listed.locate(root, file, [place]) for place in places),
        size=listed.sides(row, "width", "height"),
        doubts=doubts,
    )
