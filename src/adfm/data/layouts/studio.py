"""What an answer in Label Studio says about its image: which results are read, and which belong to one region."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from adfm.data.faults import DataFaultsError, broken
from adfm.data.layouts import listed, stated
from adfm.data.layouts.drawn import STUDIO_SHAPES, studio_shape, studio_value
from adfm.data.layouts.listed import Row, texts
from adfm.data.layouts.walk import SourceImage, truth
from adfm.data.settings import Annotators
from adfm.geometry import Box
from adfm.images import is_image

SILENT = frozenset({"relation", "textarea", "rating", "number", "datetime"})  # say nothing about defects
_CLASSES = frozenset({"choices", "labels"})
_PLACED = frozenset({"x", "points", "rle", "imageDataURL"})  # in the value of what belongs to a region


def answered(root: Path, file: Path, task: Row, marks: list[Row]) -> SourceImage:
    """Return the image of a task with the results of one answer; its label is None where they say nothing.

    Raises:
        ValueError: a result is not understood, results contradict each other, or the task is not about one image.
        DataFaultsError: the image is outside the root, or fits several files.
    """
    known = {f"{kind}{end}" for kind in STUDIO_SHAPES for end in ("", "labels")} | _CLASSES | SILENT
    if unknown := [mark.get("type") for mark in marks if str(mark.get("type")) not in known]:
        raise ValueError(f"results of the type {unknown[0]!r:.60} are not read")
    marks = [mark for mark in marks if mark["type"] not in SILENT]
    if len(things := {str(mark["to_name"]) for mark in marks if mark.get("to_name")}) > 1:
        raise ValueError(f"its results are about several things ({', '.join(sorted(things)):.60})")
    path = listed.locate(root, file, _names(task), ("", "images"))
    shapes, classes = _judged(marks)
    size = stated.one_size(stated.sides(mark, "original_width", "original_height") for mark in marks)
    split = stated.split_in(path.parent)
    image = stated.annotated_image(path, root.resolve().name, shapes, split, classes=classes, size=size)
    return image if shapes or classes else replace(image, label=None)


def _names(task: Row) -> list[str]:
    """Return the names that the task's image may have."""
    found = dict.fromkeys(each for each in texts(task.get("data")) if is_image(Path(listed.address_names(each)[0])))
    if len(found) != 1:
        raise ValueError(f"its data name {len(found) or 'no'} image{'s' if found else ''}; a task needs one")
    return listed.address_names(next(iter(found)))


def _judged(marks: list[Row]) -> tuple[list[tuple[str, Box]], list[str]]:
    """Return the shapes (defect type, box) and the classes of the whole image; what has a region's id belongs to it."""
    drawn: dict[str, tuple[list[str], Box]] = {}
    given: dict[str | None, list[str]] = defaultdict(list)
    for index, mark in enumerate(marks):
        if (kind := mark["type"]) not in _CLASSES:
            if (key := str(mark.get("id", index))) in drawn:
                raise ValueError(f"several regions have the id {key!r:.60}")
            names = [stated.shape_class(name) for name in texts(studio_value(mark).get(kind))]
            drawn[key] = names, studio_shape(kind.removesuffix("labels"), mark)
    for mark in (mark for mark in marks if mark["type"] in _CLASSES):
        value, key = studio_value(mark), str(mark.get("id"))
        if key not in drawn and (mark["type"] == "labels" or _PLACED & value.keys()):
            raise ValueError(f"no region has the id {key!r:.60}")
        given[key if key in drawn else None] += [stated.named_class(name) for name in texts(value.get(mark["type"]))]
    for key, (own, _) in drawn.items():
        if len({truth(name)[0] for name in (*own, *given[key]) if name}) > 1:
            raise ValueError(f"the region {key!r:.60} is both OK and a defect")
    return [(", ".join(own or given[key]), box) for key, (own, box) in drawn.items()], given[None]


def agreed(found: Sequence[SourceImage], annotators: Annotators | None) -> SourceImage:
    """Return the first answer with the label that the rule gives; a doubt says that the rule was needed."""
    if found.count(found[0]) == len(found):
        return found[0]
    wanted = {"any": True, "all": False, "first": found[0].label == "anomalous"}[str(annotators)]
    chosen = next((image for image in found if (image.label == "anomalous") == wanted), found[0])
    return replace(chosen, doubts=(*chosen.doubts, f"annotators disagree, and --annotators {annotators} decides"))


def settled(file: Path, found: Sequence[SourceImage]) -> list[SourceImage]:
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
    images = [replace(image, label=image.label or "normal") for image in found]
    stated.require_normal(file, images)
    return images
