"""Which columns of metadata say what about an image; a column that may say what is defective and is not read is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from adfm.data.faults import DataFaultsError, broken
from adfm.data.layouts import listed, stated
from adfm.data.layouts.drawn import listed_shapes
from adfm.data.layouts.listed import Row
from adfm.data.layouts.walk import SourceImage

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


class Columns(NamedTuple):
    """The columns of masks, and those that are left out."""

    masks: tuple[str, ...]
    others: tuple[str, ...]


def columns(file: Path, rows: Iterable[Row]) -> Columns:
    """Sort the columns of a table by their names.

    Raises:
        DataFaultsError: one of them seems to say what is defective, and is not read.
    """
    names = dict.fromkeys(name for row in rows for name in row if name not in _READ | _INDEX)
    masks = tuple(name for name in names if _MASKS & _words(name))
    others = tuple(name for name in names if name not in masks)
    if unread := [name for name in others if _TRUTHS & _words(name)]:
        raise DataFaultsError([broken("list-column", name=name).at(file) for name in unread])
    return Columns(masks, others)


def _words(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]+", name))


def _paths(value: Any) -> list[str]:
    """Return the paths in the field of a mask: none, one or several."""
    values = value if isinstance(value, list) else [] if value in (None, "") else [value]
    if not all(isinstance(each, str) and each.strip() for each in values):
        raise ValueError(f"a mask must be a path, not {value!r:.60}")
    return values


def image_of(root: Path, file: Path, row: Row, known: Columns) -> SourceImage:
    """Return the image of a row of metadata.

    Raises:
        ValueError: the row contradicts itself, or does not say whether the image is normal.
        DataFaultsError: it names a path outside the root, or one that fits several files.
    """
    path = listed.locate(root, file, [listed.text(file, row, "file_name")])
    value: Any = row.get("objects") or {"bbox": []}
    shapes = listed_shapes(json.loads(value) if isinstance(value, str) else value)
    given = [row.get(name) for name in _LABELS if row.get(name) not in (None, "")]
    given += [row.get(name) for name in _TYPES if str(row.get(name) or "").strip().lower() not in _NO_TYPE]
    classes, places = (
        [*map(stated.named_class, given)],
        [place for name in known.masks for place in _paths(row.get(name))],
    )
    if not (classes or places or row.get("objects")):
        raise ValueError("it needs 'objects', a mask, or a 'label' that is 0, 1 or the name of a class")
    if places and shapes:
        raise ValueError("it has both boxes and a mask; keep one")
    return stated.annotated_image(
        path,
        root.resolve().name,
        [(stated.shape_class(kind), box) for kind, box in shapes],
        stated.split_of(row, path.parent),
        classes=classes,
        masks=tuple(listed.locate(root, file, [place]) for place in places),
        size=stated.sides(row, "width", "height"),
        doubts=(f"columns that were not read ({', '.join(known.others):.200})",) if known.others else (),
    )
