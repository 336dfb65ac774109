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
        for row in listed.read_list(file):
            path = listed.locate(root, file, [name := listed.text(file, row, "file_name")], [""])
            with listed.entry(file, f"{name!r:.200}"):
                value: Any = row.get("objects") or {"bbox": []}
                shapes = listed_shapes(json.loads(value) if isinstance(value, str) else value)
                label = "" if row.get("label") is None else str(row["label"])
                label = _BINARY.get(label.lower(), label)
                if label.isdigit() or not (label or row.get("objects")):  # other numbers could be any class
                    raise ValueError(
                        f"it needs 'objects', or a 'label' that is 0, 1 or a class's name, not {label!r:.60}"
                    )
                split, classes = listed.split_in(path.parent), [label] if label else []
                yield listed.annotated_image(path, root.resolve().name, shapes, split, classes=classes)
