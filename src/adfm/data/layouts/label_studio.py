"""Label Studio's JSON export: rectangles, polygons and brushes are defects; choices say OK, NG or a defect type.

Of several annotations the ground truth counts, else the first. Tasks without one, predictions and drafts are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts import listed
from adfm.data.layouts.drawn import studio_shape, studio_value
from adfm.data.layouts.listed import Row, objects, texts
from adfm.data.layouts.walk import SourceImage
from adfm.images import is_image

NAME = "label-studio"
SHAPE = "a JSON export of Label Studio, with its images beside it, below it or in images/"
TERMS: str | None = None

_HEAD = re.compile(rb'^\s*\[\s*\{.*"annotations"\s*:\s*\[', re.DOTALL)

recognise = listed.recogniser(_HEAD)


def read(root: Path) -> Iterator[SourceImage]:
    """Yield the image of every task that was answered; its split is the one that its folder says.

    Raises:
        DataFaultsError: an export is not of that shape, contradicts itself, or names a path outside the root.
    """
    for file in listed.list_files(root, "*.json", _HEAD):
        for task in objects(file, {"export": listed.read_list(file)}, "export"):
            answers = [answer for answer in objects(file, task, "annotations") if not answer.get("was_cancelled")]
            for answer in sorted(answers, key=lambda answer: not answer.get("ground_truth"))[:1]:
                with listed.entry(file, f"task {task.get('id')!r:.60}"):
                    yield _annotated(root, file, task, objects(file, answer, "result"))


def _annotated(root: Path, file: Path, task: Row, marks: list[Row]) -> SourceImage:
    addresses = map(listed.address_names, texts(task.get("data")))
    names = next((names for names in addresses if is_image(Path(names[0]))), None)
    if names is None:
        raise ValueError("its data name no image")
    path = listed.locate(root, file, names, ("", "images"))
    kinds = [(studio_shape(mark), texts(studio_value(mark).get(str(mark.get("type"))))) for mark in marks]
    shapes = [(", ".join(given), box) for box, given in kinds if box]
    classes = [name for box, given in kinds if not box for name in given]
    sizes = (listed.sides(mark, "original_width", "original_height") for mark in marks)
    split, size = listed.split_in(path.parent), next(filter(None, sizes), None)
    return listed.annotated_image(path, root.resolve().name, shapes, split, classes=classes, size=size)
