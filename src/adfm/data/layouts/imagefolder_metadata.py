"""Hugging Face's imagefolder with `metadata.csv` or `.jsonl`: file_name, and a label, masks or boxes in `objects`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts import listed, stated
from adfm.data.layouts.columns import columns, image_of
from adfm.data.layouts.listed import Faults
from adfm.data.layouts.walk import SourceImage

NAME = "imagefolder-metadata"
SHAPE = (
    "metadata.csv or metadata.jsonl with file_name and label, objects or masks, beside the images or in train/, test/"
)
TERMS: str | None = None

_NAMES = ("metadata.csv", "metadata.jsonl")


def _files(root: Path) -> list[Path]:
    return [file for name in _NAMES for file in listed.list_files(root, name, re.compile(b"file_name"))]


def recognise(root: Path) -> str | None:
    """Say why a folder is an imagefolder with metadata, or None."""
    return ", ".join(file.relative_to(root).as_posix() for file in _files(root)) or None


def read(root: Path) -> Iterator[SourceImage]:
    """Yield every listed image; its split is the one that its row or its folder says.

    Raises:
        DataFaultsError: everything in metadata that is not of its shape, contradicts itself, or names a path outside.
    """
    with listed.gathered() as faults:
        found = [image for file in _files(root) for image in _images(root, file, faults)]
        with faults.caught(root, NAME):
            stated.require_normal(root, found)
        yield from found


def _images(root: Path, file: Path, faults: Faults) -> Iterator[SourceImage]:
    with faults.caught(file, file.name):
        known = columns(file, rows := listed.read_list(file))
        for number, row in enumerate(rows, 1):
            with faults.caught(file, f"row {number} ({row.get('file_name')!r:.200})"):
                yield image_of(root, file, row, known)
