"""Label Studio's JSON export: rectangles, ellipses, polygons, brushes and bitmasks are defects; choices say OK, NG or a type.

The ground truth counts, where one answer is marked so. Tasks without an answer, predictions and drafts are left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from adfm.data.faults import DataFaultsError, broken
from adfm.data.layouts import listed
from adfm.data.layouts.drawn import STUDIO_SHAPES, studio_shape, studio_value
from adfm.data.layouts.listed import Faults, Row, objects, texts
from adfm.data.layouts.walk import SourceImage, truth
from adfm.data.settings import Annotators
from adfm.geometry import Box
from adfm.images import is_image

NAME = "label-studio"
SHAPE = "a JSON export of Label Studio, with its images beside it, below it or in images/"
TERMS: str | None = None
OPTIONS = ("annotators",)

_HEAD = re.compile(rb'^\s*\[\s*\{.*"(annotations"\s*:\s*\[|annotation_id"\s*:)', re.DOTALL)
_SILENT = frozenset({"relation", "textarea", "rating", "number", "datetime"})  # say nothing about defects
_CLASSES = frozenset({"choices", "labels"})
_PLACED = frozenset({"x", "points", "rle", "imageDataURL"})  # in the value of what belongs to a region

recognise = listed.recogniser(_HEAD)


def read(root: Path, annotators: Annotators | None = None) -> Iterator[SourceImage]:
    """Yield the image of every task that was answered; its split is the one that its folder says.

    `annotators` decides where answers to one task differ: the part is anomalous where any or all say so, or as the first
    says.

    Raises:
        DataFaultsError: everything in an export that is not of that shape, contradicts itself, or names a path outside the
            root.
    """
    with listed.gathered() as faults:
        for file in listed.list_files(root, "*.json", _HEAD):
            with faults.caught(file, file.name):
                yield from _settled(file, list(_answered(root, file, annotators, faults)))


def _answered(root: Path, file: Path, annotators: Annotators | None, faults: Faults) -> Iterator[SourceImage]:
    for task in objects(file, {"export": listed.read_list(file)}, "export"):
        if "annotation_id" in task and "annotations" not in task:
            raise listed.wrong_shape(file, "it is JSON-MIN, which lacks the results; choose JSON")
        name = f"task {task.get('id')!r:.60}"
        with faults.caught(file, name):
            rows = objects(file, task, "annotations")
            answers = [row for row in rows if not listed.flag(row, "was_cancelled")]
            answers = [row for row in answers if listed.flag(row, "ground_truth")] or answers
            found = [_annotated(root, file, task, objects(file, answer, "result")) for answer in answers]
            if found and annotators is None and found.count(found[0]) < len(found):
                raise DataFaultsError([broken("list-annotators", entry=name, count=len(found)).at(file)])
            yield from [_agreed(found, annotators)] if found else []


def _agreed(found: Sequence[SourceImage], annotators: Annotators | None) -> SourceImage:
    """Return the first answer with the label that the rule gives; the meta file repeats that one was needed."""
    if found.count(found[0]) == len(found):
        return found[0]
    wanted = {"any": True, "all": False, "first": found[0].label == "anomalous"}[str(annotators)]
    chosen = next((image for image in found if (image.label == "anomalous") == wanted), found[0])
    return replace(chosen, doubts=(*chosen.doubts, f"annotators disagree, and --annotators {annotators} decides"))


def _settled(file: Path, found: Sequence[SourceImage]) -> list[SourceImage]:
    """Return an export's images, with an answer of no result taken as normal where others draw something.

    Raises:
        DataFaultsError: others choose instead, no image is normal, or every region is within one percent.
    """
    places = [(box, image.size) for image in found for box in image.boxes if image.size]
    if places and all(box.x2 <= size[0] / 100 and box.y2 <= size[1] / 100 for box, size in places):
        raise listed.wrong_shape(file, "every region is within one percent: shares of the image are no percent")
    silent = [image for image in found if image.label is None]
    if silent and not places and len(silent) < len(found):
        why = "was answered without a choice, where others have one"
        raise DataFaultsError([broken("list-entry", entry=image.image, why=why).at(file) for image in silent])
    settled = [replace(image, label=image.label or "normal") for image in found]
    listed.require_normal(file, settled)
    return settled


def _annotated(root: Path, file: Path, task: Row, marks: list[Row]) -> SourceImage:
    known = {f"{kind}{end}" for kind in STUDIO_SHAPES for end in ("", "labels")} | _CLASSES | _SILENT
    if unknown := [mark.get("type") for mark in marks if str(mark.get("type")) not in known]:
        raise ValueError(f"results of the type {unknown[0]!r:.60} are not read")
    marks = [mark for mark in marks if mark["type"] not in _SILENT]
    if len(things := {str(mark["to_name"]) for mark in marks if mark.get("to_name")}) > 1:
        raise ValueError(f"its results are about several things ({', '.join(sorted(things)):.60})")
    path = listed.locate(root, file, _address(task), ("", "images"))
    shapes, classes = _judged(marks)
    size = listed.one_size(listed.sides(mark, "original_width", "original_height") for mark in marks)
    split = listed.split_in(path.parent)
    image = listed.annotated_image(path, root.resolve().name, shapes, split, classes=classes, size=size)
    return image if shapes or classes else replace(image, label=None)


def _address(task: Row) -> list[str]:
    """Return the names that the task's image may have."""
    addresses = dict.fromkeys(
        address for address in texts(task.get("data")) if is_image(Path(listed.address_names(address)[0]))
    )
    if len(addresses) != 1:
        raise ValueError(f"its data name {len(addresses) or 'no'} image{'s' if addresses else ''}; a task needs one")
    return listed.address_names(next(iter(addresses)))


def _judged(marks: list[Row]) -> tuple[list[tuple[str, Box]], list[str]]:
    """Return the shapes (defect type, box) and the classes of the whole image; what has a region's id belongs to it."""
    drawn: dict[str, tuple[list[str], Box]] = {}
    given: dict[str, list[str]] = defaultdict(list)
    classes: list[str] = []
    for index, mark in enumerate(marks):
        if (kind := mark["type"]) not in _CLASSES:
            if (key := str(mark.get("id", index))) in drawn:
                raise ValueError(f"several regions have the id {key!r:.60}")
            names = [listed.shape_class(name) for name in texts(studio_value(mark).get(kind))]
            drawn[key] = names, studio_shape(kind.removesuffix("labels"), mark)
    for mark in (mark for mark in marks if mark["type"] in _CLASSES):
        value, key = studio_value(mark), str(mark.get("id"))
        names = [listed.named_class(name) for name in texts(value.get(mark["type"]))]
        if key not in drawn and (mark["type"] == "labels" or _PLACED & value.keys()):
            raise ValueError(f"no region has the id {key!r:.60}")
        (given[key] if key in drawn else classes).extend(names)
    for key, (own, _) in drawn.items():
        if len({truth(name)[0] for name in (*own, *given[key]) if name}) > 1:
            raise ValueError(f"the region {key!r:.60} is both OK and a defect")
    return [(", ".join(own or given[key]), box) for key, (own, box) in drawn.items()], classes
