"""Label Studio's JSON export: rectangles, polygons and brushes are defects; choices say OK, NG or a kind of defect.

Of several annotations the ground truth counts, else the first. Tasks without one, predictions and drafts are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.drawn import studio_shape, studio_value
from adfm.data.layouts.found import Found
from adfm.data.layouts.listed import Row, described, drawn_on, ends, lists, objects, place, sides, split_in, texts
from adfm.images import is_image
from adfm.storage import read_json

NAME = "label-studio"
SHAPE = "a JSON export of Label Studio, with its pictures beside it, below it or in images/"
TERMS: str | None = None

_HEAD = re.compile(rb'^\s*\[\s*\{.*"annotations"\s*:\s*\[', re.DOTALL)


def recognise(root: Path) -> str | None:
    """Say why a folder holds an export of Label Studio, or None."""
    return ", ".join(file.name for file in lists(root, "*.json", _HEAD)) or None


def read(root: Path) -> Iterator[Found]:
    """Yield the picture of every task that was answered; its split is the one that its folder says.

    Raises:
        DataError: an export is not of that shape, contradicts itself, or names a path outside the root.
    """
    for file in lists(root, "*.json", _HEAD):
        for task in objects(file, {"export": read_json(file)}, "export"):
            answers = [each for each in objects(file, task, "annotations") if not each.get("was_cancelled")]
            for answer in sorted(answers, key=lambda each: not each.get("ground_truth"))[:1]:
                with described(file, f"task {task.get('id')!r:.60}"):
                    yield _found(root, file, task, objects(file, answer, "result"))


def _found(root: Path, file: Path, task: Row, results: list[Row]) -> Found:
    named = [names for text in texts(task.get("data")) if is_image(Path((names := ends(text))[0]))]
    if not named:
        raise ValueError("its data name no picture")
    path = place(root, file, named[0], ("", "images"))
    marks = [(studio_shape(each), texts(studio_value(each).get(str(each.get("type"))))) for each in results]
    shapes = [(", ".join(names), box) for box, names in marks if box]
    size = next((size for each in results if (size := sides(each, "original_width", "original_height"))), None)
    said = [name for box, names in marks if not box for name in names]
    return drawn_on(path, root.resolve().name, shapes, split_in(path.parent), said=said, size=size)
