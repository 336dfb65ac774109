"""COCO instances: a JSON beside or above its pictures; every category is a kind of defect, a picture without any is normal."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from adfm.data.layouts.drawn import coco_shape, numbers, rectangle
from adfm.data.layouts.found import Found
from adfm.data.layouts.listed import Row, described, drawn_on, identity, lists, objects, place, sides, split_in, text
from adfm.errors import DataError
from adfm.geometry import Box
from adfm.storage import read_json

NAME = "coco"
SHAPE = "a JSON with images, annotations and categories, beside or above its pictures (COCO instances)"
TERMS: str | None = None

_HEAD = re.compile(rb'^\s*\{.*"(images|annotations|categories)"\s*:\s*\[', re.DOTALL)


def recognise(root: Path) -> str | None:
    """Say why a folder is listed as COCO instances, or None."""
    return ", ".join(file.name for file in lists(root, "*.json", _HEAD)) or None


def read(root: Path) -> Iterator[Found]:
    """Yield every listed picture; its split is the one that the list's name or folder says.

    Raises:
        DataError: a list is not of that shape, or names a path outside the root.
    """
    for file in lists(root, "*.json", _HEAD):
        value, drawn = read_json(file), defaultdict[int | str, list[Row]](list)
        kinds = {identity(file, row, "id"): text(file, row, "name") for row in objects(file, value, "categories")}
        for row in objects(file, value, "annotations"):
            drawn[identity(file, row, "image_id")].append(row)
        for image in objects(file, value, "images"):
            yield _found(root, file, image, drawn.pop(identity(file, image, "id"), []), kinds)
        if drawn:
            raise DataError(f"{file}: no image has the id {next(iter(drawn))!r:.60}; remove its annotations")


def _found(root: Path, file: Path, image: Row, rows: Sequence[Row], kinds: Mapping[int | str, str]) -> Found:
    own, name = file.stem.removeprefix("instances_"), text(file, image, "file_name")
    path, shapes = place(root, file, [name], ("", "images", own, f"images/{own}")), []
    for row in rows:
        with described(file, f"an annotation of {name!r:.200}"):
            shapes.append((kinds.get(identity(file, row, "category_id"), ""), _box(row)))
    split, crowded = split_in(file.relative_to(root)), any(row.get("iscrowd") for row in rows)
    size = sides(image, "width", "height")
    return drawn_on(path, root.resolve().name, shapes, split, size=size, tight=not crowded)


def _box(row: Row) -> Box:
    box = row.get("bbox")
    return rectangle(*numbers(box, "x, y, width, height", 4)) if box else coco_shape(row.get("segmentation"))
