"""A manifest file to its lines: what can be read as samples, and every fault of the others; no image is opened."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from adfm.data import contract
from adfm.data.faults import Broken, DataFaultsError, Fault, broken
from adfm.data.manifest import Row, manifest_rows, mask_paths
from adfm.errors import nearest
from adfm.records import Sample

MAX_ASPECT = 200  # the same as in `adfm.models.frames`, which is a row above; a test compares the two

SHA256 = re.compile(r"[0-9a-f]{64}")


class Line(NamedTuple):
    """A readable line of a manifest; `number` counts from 1."""

    number: int
    sample: Sample


class Rows(NamedTuple):
    """The readable lines, the faults of all lines, and whether every line could be read."""

    lines: tuple[Line, ...] = ()
    faults: tuple[Fault, ...] = ()
    complete: bool = False


def read_rows(file: Path) -> Rows:
    """Read every line of a manifest that can be read; whatever the file holds, nothing is raised."""
    lines, faults, complete = [], [], True
    try:
        for row in manifest_rows(file):
            sample, wrong = _read(row)
            lines += [Line(row.number, sample)] if sample else []
            faults += [fault.at(file, row.number) for fault in wrong]
            complete = complete and sample is not None
    except DataFaultsError as error:
        return Rows(faults=error.faults)
    return Rows(tuple(lines), tuple(faults), complete)


def _read(row: Row) -> tuple[Sample | None, list[Broken]]:
    """Return the sample of one line where it can be read, and all that is wrong with the line by itself."""
    if row.content is None:
        return None, [*row.faults]
    known = contract.Line.model_fields
    faults = [*row.faults]
    faults += [
        broken("field-unknown", name=name, hint=nearest(name, known)) for name in row.content if name not in known
    ]
    try:
        sample = contract.sample_from_json(row.content)
    except contract.LineError as error:
        return None, [*faults, *error.faults]
    return sample, [*faults, *_sample_faults(sample)]


def _sample_faults(sample: Sample) -> Iterator[Broken]:
    """Faults of a line that can be read all the same."""
    if not SHA256.fullmatch(sample.sha256):
        yield broken("sha256-malformed")
    for name in ("id", "category", "defect", "group"):
        if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in getattr(sample, name) or ""):
            yield broken("text-control", name=name)
    masks = mask_paths(sample)
    for path in (sample.image, *masks):
        if "\\" in path:
            yield broken("path-backslash", path=path)
    if max(sample.width, sample.height) > MAX_ASPECT * min(sample.width, sample.height):
        yield broken("size-aspect", width=sample.width, height=sample.height, most=MAX_ASPECT)
    if sample.image in masks:
        yield broken("mask-is-image", path=sample.image)
