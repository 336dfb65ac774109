"""Hugging Face's imagefolder with `metadata.csv` or `.jsonl`: file_name, and a label, or boxes in `objects`, or both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adfm.data.layouts import listed
from adfm.data.layouts.drawn import listed_shapes
from adfm.data.layouts.walk import SourceImage
from adfm.geometry import Box

NAME = "imagefolder-metadata"
SHAPE = "metadata.csv or metadata.jsonl with file_name and label or objects, beside the images or in train/, test/"
TERMS: str | None = None

_NAMES = ("metadata.csv", "metadata.jsonl")
_BINARY = {"0": "normal", "false": "normal", "1": "defect", "true": "defect"}


def _files(root: Path) -> list[Path]:
    return [file for name in _NAMES for file in listed.list_files(root, name, re.compile(b"file_name"))]


def recognise(root: Path) -> str | None:
    """Say why a folder is an imagefolder with metadata, or None."""
    return ", ".join(file.relative_to(root).as_posix() for file in _files(root)) or None


def read(root: Path) -> Iterator[SourceImage]:
    """Yield every listed image; its split is the one that its folder says.

    Raises:
        DataFaultsError: metadata are not of that shape, contradict themselves, or name a path outside the root.
    """
    for file in _files(root):
        for row in listed.table_rows(file):
            path = listed.locate(root, file, [name := listed.text(file, row, "file_name")], [""])
            with listed.entry(file, f"{name!r:.200}"):
                shapes, classes, split = _shapes(row), _classes(row), listed.split_in(path.parent)
                yield listed.annotated_image(path, root.resolve().name, shapes, split, classes=classes)


def _classes(row: listed.Row) -> list[str]:
    """The class of a label: 0 and 1 are normal and defective, other numbers could be any class."""
    label = "" if row.get("label") is None else str(row["label"])
    if label.lower() in _BINARY:
        return [_BINARY[label.lower()]]
    if label.isdigit() or not (label or row.get("objects")):
        raise ValueError(f"it needs 'objects', or a 'label' that is 0, 1 or a class's name, not {label!r:.60}")
    return [label] if label else []


def _shapes(row: listed.Row) -> list[tuple[str, Box]]:
    value: Any = row.get("objects") or {"bbox": []}
    return listed_shapes(json.loads(value) if isinstance(value, str) else value)
