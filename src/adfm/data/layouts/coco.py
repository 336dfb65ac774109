"""COCO instances: a JSON beside or above its images; a category is a defect type, an image without annotations is normal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from adfm.data.layouts import listed, stated
from adfm.data.layouts.drawn import coco_shape, coco_size
from adfm.data.layouts.listed import Faults, Row, identified, identity, objects, text
from adfm.data.layouts.walk import SourceImage
from adfm.geometry import Box

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
    value, own = listed.read_list(file), file.stem.removeprefix("instances_")
    rows, images = objects(file, value, "annotations"), identified(file, objects(file, value, "images"), "images")
    kinds = identified(file, objects(file, value, "categories"), "categories")
    identified(file, [row for row in rows if row.get("id") is not None], "annotations")
    drawn = listed.referring(file, rows, "image_id", images, faults)
    for key, image in images.items():
        name = text(file, image, "file_name")
        with faults.caught(file, f"{name!r:.200}"):
            if key not in drawn:
                stated.require_judged(image)
            path = listed.locate(root, file, [name], ("", "images", "data", own, f"images/{own}"))
            split = stated.split_in(file.relative_to(root)) or stated.split_of(image, path.parent)
            shapes = [_shape(file, row, kinds) for row in drawn.get(key, [])]
            size = stated.one_size([stated.sides(image, "width", "height"), *map(coco_size, drawn.get(key, []))])
            tight = not any(stated.flag(row, "iscrowd") for row in drawn.get(key, []))
            yield stated.annotated_image(path, root.resolve().name, shapes, split, size=size, tight=tight)


def _shape(file: Path, row: Row, kinds: Mapping[int | str, Row]) -> tuple[str, Box]:
    if (kind := identity(file, row, "category_id")) not in kinds:
        raise ValueError(f"no category has the id {kind!r:.60}")
    if stated.flag(row, "ignore"):
        raise ValueError("is to be ignored, which says neither OK nor defective")
    return stated.shape_class(text(file, kinds[kind], "name")), coco_shape(row)
