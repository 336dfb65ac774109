"""Hugging Face's imagefolder with `metadata.csv` or `.jsonl`: file_name, and a label, or boxes in `objects`, or both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adfm.data.layouts.drawn import listed_shapes
from adfm.data.layouts.found import Found
from adfm.data.layouts.listed import Row, described, drawn_on, lists, place, split_in, table, text
from adfm.geometry import Box

NAME = "imagefolder-metadata"
SHAPE = "metadata.csv or metadata.jsonl with file_name and label or objects, beside the pictures or in train/, test/"
TERMS: str | None = None

_BINARY = {"0": "normal", "false": "normal", "1": "defect", "true": "defect"}


def _files(root: Path) -> list[Path]:
    return [file for name in ("metadata.csv", "metadata.jsonl") for file in lists(root, name, re.compile(b"file_name"))]


def recognise(root: Path) -> str | None:
    """Say why a folder is an imagefolder with metadata, or None."""
    return ", ".join(file.relative_to(root).as_posix() for file in _files(root)) or None


def read(root: Path) -> Iterator[Found]:
    """Yield every listed picture; its split is the one that its folder says.

    Raises:
        DataError: metadata are not of that shape, contradict themselves, or name a path outside the root.
    """
    for file in _files(root):
        for row in table(file):
            path = place(root, file, [name := text(file, row, "file_name")], [""])
            with described(file, f"{name!r:.200}"):
                yield drawn_on(path, root.resolve().name, _drawn(row), split_in(path.parent), said=_said(row))


def _said(row: Row) -> list[str]:
    """The class that a label names; 0 and 1 are normal and defective, other numbers could be any class."""
    label = "" if row.get("label") is None else str(row["label"])
    if label.lower() in _BINARY:
        return [_BINARY[label.lower()]]
    if label.isdigit() or not (label or row.get("objects")):
        raise ValueError(f"it needs 'objects', or a 'label' that is 0, 1 or a class's name, not {label!r:.60}")
    return [label] if label else []


def _drawn(row: Row) -> list[tuple[str, Box]]:
    value: Any = row.get("objects") or {"bbox": []}
    return listed_shapes(json.loads(value) if isinstance(value, str) else value)
