"""COCO instances: a JSON beside or above its images; every category is a defect type, an image without any is normal."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from adfm.data.faults import DataFaultsError, broken
from adfm.data.layouts import listed
from adfm.data.layouts.drawn import coco_shape
from adfm.data.layouts.listed import Row, identity, objects, text
from adfm.data.layouts.walk import SourceImage

NAME = "coco"
SHAPE = "a JSON with images, annotations and categories, beside or above its images (COCO instances)"
TERMS: str | None = None

_HEAD = re.compile(rb'^\s*\{.*"(images|annotations|categories)"\s*:\s*\[', re.DOTALL)

recognise = listed.recogniser(_HEAD)


def read(root: Path) -> Iterator[SourceImage]:
    """Yield every listed image; its split is the one that the list's name or folder says.

    Raises:
        DataFaultsError: a list is not of that shape, or names a path outside the root.
    """
    for file in listed.list_files(root, "*.json", _HEAD):
        value, own = listed.read_list(file), file.stem.removeprefix("instances_")
        drawn: dict[int | str, list[Row]] = defaultdict(list)
        kinds = {identity(file, row, "id"): text(file, row, "name") for row in objects(file, value, "categories")}
        for row in objects(file, value, "annotations"):
            drawn[identity(file, row, "image_id")].append(row)
        for image in objects(file, value, "images"):
            name, rows = text(file, image, "file_name"), drawn.pop(identity(file, image, "id"), [])
            path = listed.locate(root, file, [name], ("", "images", own, f"images/{own}"))
            with listed.entry(file, f"an annotation of {name!r:.200}"):
                shapes = [(kinds.get(identity(file, row, "category_id"), ""), coco_shape(row)) for row in rows]
            split, crowded = listed.split_in(file.relative_to(root)), any(row.get("iscrowd") for row in rows)
            size, category = listed.sides(image, "width", "height"), root.resolve().name
            yield listed.annotated_image(path, category, shapes, split, size=size, tight=not crowded)
        if drawn:
            raise DataFaultsError([broken("list-image-unknown", id=f"{next(iter(drawn))!r:.60}").at(file)])
