"""Label Studio's JSON export: rectangles, ellipses, polygons, brushes and bitmasks are defects; choices say OK, NG or a type.

The ground truth counts, where one answer is marked so. Tasks without an answer, predictions and drafts are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from adfm.data.faults import DataFaultsError, broken
from adfm.data.layouts import listed, stated
from adfm.data.layouts.listed import Faults, objects
from adfm.data.layouts.studio import agreed, answered, settled
from adfm.data.layouts.walk import SourceImage
from adfm.data.settings import Annotators

NAME = "label-studio"
SHAPE = "a JSON export of Label Studio, with its images beside it, below it or in images/"
TERMS: str | None = None
OPTIONS = ("annotators",)

_HEAD = re.compile(rb'^\s*\[\s*\{.*"(annotations"\s*:\s*\[|annotation_id"\s*:)', re.DOTALL)

recognise = listed.recogniser(_HEAD)


def read(root: Path, annotators: Annotators | None = None) -> Iterator[SourceImage]:
    """Yield the image of every task that was answered; its split is the one that its folder says.

    `annotators` decides where answers to one task differ: the part is anomalous where any or all say so, or as the first says.

    Raises:
        DataFaultsError: everything in an export that is not of its shape, contradicts itself, or names a path outside.
    """
    with listed.gathered() as faults:
        for file in listed.list_files(root, "*.json", _HEAD):
            with faults.caught(file, file.name):
                yield from settled(file, list(_images(root, file, annotators, faults)))


def _images(root: Path, file: Path, annotators: Annotators | None, faults: Faults) -> Iterator[SourceImage]:
    for task in objects(file, {"export": listed.read_list(file)}, "export"):
        if "annotation_id" in task and "annotations" not in task:
            raise listed.wrong_shape(file, "it is JSON-MIN, which lacks the results; choose JSON")
        name = f"task {task.get('id')!r:.60}"
        with faults.caught(file, name):
            answers = [row for row in objects(file, task, "annotations") if not stated.flag(row, "was_cancelled")]
            answers = [row for row in answers if stated.flag(row, "ground_truth")] or answers
            found = [answered(root, file, task, objects(file, answer, "result")) for answer in answers]
            if found and annotators is None and found.count(found[0]) < len(found):
                raise DataFaultsError([broken("list-annotators", entry=name, count=len(found)).at(file)])
            yield from [agreed(found, annotators)] if found else []
