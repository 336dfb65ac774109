"""COCO instances: a JSON beside or above its images; every category is a defect type, an image without any is normal."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from adfm.data.faults import DataFaultsError, broken
from adfm.data.layouts import listed
from adfm.data.layouts.drawn import coco_shape, numbers, rectangle
from adfm.data.layouts.listed import Row, identity, objects, text
from adfm.data.layouts.walk import SourceImage
from adfm.geometry import Box

NAME = "coco"
SHAPE = "a JSON with images, annotations and categories, beside or above its images (COCO instances)"
TERMS: str | None = None

_HEAD = re.compile(rb'^\s*\{.*"(images|annotations|categories)"\s*:\s*\[', re.DOTALL)


def recognise(root: Path) -> str | None:
    """Say why a folder is listed as COCO instances, or None."""
    return ", ".join(file.name for file in listed.list_files(root, "*.json", _HEAD)) or None


def read(root: Path) -> Iterator[SourceImage]:
    """Yield every listed image; its split is the one that the list's name or folder says.

    Raises:
        DataFaultsError: a list is not of that shape, or names a path outside the root.
    """
    for file in listed.list_files(root, "*.json", _HEAD):
        value, drawn = listed.document(file), defaultdict[int | str, list[Row]](list)
        kinds = {identity(file, row, "id"): text(file, row, "name") for row in objects(file, value, "categories")}
        for row in objects(file, value, "annotations"):
            drawn[identity(file, row, "image_id")].append(row)
        for image in objects(file, value, "images"):
            yield _annotated(root, file, image, drawn.pop(identity(file, image, "id"), []), kinds)
        if drawn:
            raise DataFaultsError([broken("list-image-unknown", id=f"{next(iter(drawn))!r:.60}").at(file)])


def _annotated(root: Path, file: Path, image: Row, rows: Sequence[Row], kinds: Mapping[int | str, str]) -> SourceImage:
    own, name = file.stem.removeprefix("instances_"), text(file, image, "file_name")
    path = listed.locate(root, file, [name], ("", "images", own, f"images/{own}"))
    shapes: list[tuple[str, Box]] = []
    for row in rows:
        with listed.entry(file, f"an annotation of {name!r:.200}"):
            box = row.get("bbox")
            drawn = rectangle(*numbers(box, "x, y, width, height", 4)) if box else coco_shape(row.get("segmentation"))
            shapes.append((kinds.get(identity(file, row, "category_id"), ""), drawn))
    split, crowded = listed.split_in(file.relative_to(root)), any(row.get("iscrowd") for row in rows)
    size = listed.sides(image, "width", "height")
    return listed.annotated_image(path, root.resolve().name, shapes, split, size=size, tight=not crowded)
