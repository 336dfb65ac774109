"""COCO instances: a JSON beside or above its images; a category is a defect type, an image without annotations is normal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from adfm.data.layouts import listed, stated
from adfm.data.layouts.drawn import coco_shape, coco_size
from adfm.data.layouts.listed import Faults, Row, identified, identity, objects, text
from adfm.data.layouts.walk import SourceImage

NAME = "coco"
SHAPE = "a JSON with images, annotations and categories, beside or above its images (COCO instances)"
TERMS: str | None = None

_HEAD = re.compile(rb'^\s*\{.*"(images|annotations|categories)"\s*:\s*\[', re.DOTALL)

recognise = listed.recogniser(_HEAD)


def read(root: Path) -> Iterator[SourceImage]:
    """Yield every listed image; its split is the one that the list's name or folder says, else its own.

    Raises:
        DataFaultsError: everything in a list that is not of its shape, contradicts itself, or names a path outside.
    """
    with listed.gathered() as faults:
        for file in listed.list_files(root, "*.json", _HEAD):
            with faults.caught(file, file.name):
                yield from _images(root, file, faults)


def _images(root: Path, file: Path, faults: Faults) -> Iterator[SourceImage]:
    value = listed.read_list(file)
    rows, images = objects(file, value, "annotations"), identified(file, objects(file, value, "images"), "images")
    kinds = identified(file, objects(file, value, "categories"), "categories")
    identified(file, [row for row in rows if row.get("id") is not None], "annotations")
    drawn = listed.referring(file, rows, "image_id", images, faults)
    for key, image in images.items():
        with faults.caught(file, f"{image.get('file_name')!r:.200}"):
            yield _image(root, file, image, drawn.get(key, []), kinds)


def _image(root: Path, file: Path, image: Row, rows: list[Row], kinds: Mapping[int | str, Row]) -> SourceImage:
    own = file.stem.removeprefix("instances_")
    path = listed.locate(root, file, [text(file, image, "file_name")], ("", "images", "data", own, f"images/{own}"))
    if unknown := [key for row in rows if (key := identity(file, row, "category_id")) not in kinds]:
        raise ValueError(f"no category has the id {unknown[0]!r:.60}")
    names = [stated.shape_class(text(file, kinds[row["category_id"]], "name")) for row in rows]
    return stated.annotated_image(
        path,
        root.resolve().name,
        list(zip(names, map(coco_shape, rows), strict=True)),
        stated.split_in(file.relative_to(root)) or stated.split_of(image, path.parent),
        classes=stated.given_classes(image, bool(rows)),
        size=stated.one_size([stated.sides(image, "width", "height"), *map(coco_size, rows)]),
        tight=not any(stated.flag(row, "iscrowd") for row in rows),
    )
