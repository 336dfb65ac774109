"""A manifest file to its lines: what can be read as samples, and every fault of the others; no image is opened."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from adfm.data import contract
from adfm.data.faults import Broken, Fault, broken
from adfm.data.manifest import mask_paths
from adfm.errors import nearest
from adfm.records import Sample
from adfm.storage import read_file

MAX_ASPECT = 200  # the same as in `adfm.models.frames`, which is a row above; a test compares the two

SHA256 = re.compile(r"[0-9a-f]{64}")
_BOM = b"\xef\xbb\xbf"


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
    try:
        content = read_file(file)
        text = content.decode("utf-8")
    except OSError as error:
        return Rows(faults=(broken("manifest-unreadable", why=error.strerror).at(file),))
    except UnicodeDecodeError as error:
        return Rows(faults=(broken("manifest-encoding", byte=error.start).at(file),))
    if content.startswith(_BOM) or not text.strip():
        fault = broken("manifest-bom" if content.startswith(_BOM) else "manifest-empty")
        return Rows(faults=(fault.at(file),))
    lines, faults, complete = [], [], True
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            sample, wrong = _read_line(line)
            lines += [Line(number, sample)] if sample else []
            faults += [fault.at(file, number) for fault in wrong]
            complete = complete and sample is not None
    return Rows(tuple(lines), tuple(faults), complete)


def _read_line(line: str) -> tuple[Sample | None, list[Broken]]:
    """Return the sample of one line where it can be read, and all that is wrong with the line by itself."""
    twice: list[str] = []
    try:
        row = json.loads(line, object_pairs_hook=lambda pairs: _object(pairs, twice), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return None, [broken("line-json", why=error)]
    if not isinstance(row, dict):
        return None, [broken("line-object")]
    known = contract.Line.model_fields
    faults = [broken("key-twice", name=name) for name in twice]
    faults += [broken("field-unknown", name=name, hint=nearest(name, known)) for name in row if name not in known]
    try:
        sample = contract.sample_from_json(row)
    except contract.LineError as error:
        return None, [*faults, *error.faults]
    return sample, [*faults, *_sample_faults(sample)]


def _object(pairs: list[tuple[str, Any]], twice: list[str]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        twice += [name for name, count in Counter(name for name, _ in pairs).items() if count > 1 and name not in twice]
    return row


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


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
