"""COCO instances: a JSON beside or above its images; a category is a defect type, an image without annotations is normal."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from adfm.data.faults import DataFaultsError, broken
from adfm.data.layouts import listed
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
        DataFaultsError: everything in a list that is not of that shape, contradicts itself, or names a path outside the
            root.
    """
    with listed.gathered() as faults:
        for file in listed.list_files(root, "*.json", _HEAD):
            with faults.caught(file, file.name):
                yield from _images(root, file, faults)


def _images(root: Path, file: Path, faults: Faults) -> Iterator[SourceImage]:
    value = listed.read_list(file)
    rows, drawn = objects(file, value, "annotations"), defaultdict(list)
    kinds = {
        key: text(file, row, "name")
        for key, row in identified(file, objects(file, value, "categories"), "categories").items()
    }
    images = identified(file, objects(file, value, "images"), "images")
    identified(file, [row for row in rows if row.get("id") is not None], "annotations")
    for row in rows:
        with faults.caught(file, "an annotation"):
            if (key := identity(file, row, "image_id")) not in images:
                raise DataFaultsError([broken("list-image-unknown", id=f"{key!r:.60}").at(file)])
            drawn[key].append(row)
    for key, image in images.items():
        name = text(file, image, "file_name")
        with faults.caught(file, f"an annotation of {name!r:.200}"):
            yield _annotated(root, file, image, drawn[key], kinds)


def _annotated(root: Path, file: Path, image: Row, rows: list[Row], kinds: dict[int | str, str]) -> SourceImage:
    """Return an image with its annotations; to be ignored is no truth, so such an annotation is refused."""
    own, shapes, sizes = file.stem.removeprefix("instances_"), [], [listed.sides(image, "width", "height")]
    path = listed.locate(root, file, [text(file, image, "file_name")], ("", "images", "data", own, f"images/{own}"))
    for row in rows:
        if (kind := identity(file, row, "category_id")) not in kinds:
            raise ValueError(f"no category has the id {kind!r:.60}")
        if listed.flag(row, "ignore"):
            raise ValueError("is to be ignored, which says neither OK nor defective")
        shapes.append((listed.shape_class(kinds[kind]), coco_shape(row)))
        sizes.append(coco_size(row))
    split = listed.split_in(file.relative_to(root)) or listed.split_of(image, path.parent)
    return listed.annotated_image(
        path,
        root.resolve().name,
        shapes,
        split,
        size=listed.one_size(sizes),
        tight=not any(listed.flag(row, "iscrowd") for row in rows),
    )
