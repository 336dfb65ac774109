"""A manifest file to its lines: what can be read as samples, and every fault of the others; no picture is opened."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from adfm.data.contract import LineError, sample_from_json
from adfm.data.faults import Broken, Fault, broken
from adfm.data.manifest import mask_paths
from adfm.errors import nearest
from adfm.records import Sample

MAX_ASPECT = 200  # of `adfm.models.frames`, which lies a row above; a test holds the two together

_FIELDS = tuple(field.name for field in fields(Sample))
SHA256 = re.compile(r"[0-9a-f]{64}")
_BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A readable line of a manifest; `number` counts from 1."""

    number: int
    sample: Sample


class Rows(NamedTuple):
    """The readable lines, the faults of all lines, whether every line could be read, and why the file as such could not."""

    lines: tuple[Line, ...] = ()
    faults: tuple[Fault, ...] = ()
    whole: bool = False
    unread: Broken | None = None


def read_rows(file: Path) -> Rows:
    """Read every line of a manifest that can be read; whatever the file holds, nothing is raised."""
    text, unread = _text(file)
    if unread:
        return Rows(unread=unread)
    lines, faults, whole = [], [], True
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            sample, found = _read(line)
            lines += [Line(number, sample)] if sample else []
            faults += [Fault(each.code, str(file), number, each.rule) for each in found]
            whole = whole and sample is not None
    return Rows(tuple(lines), tuple(faults), whole)


def _text(file: Path) -> tuple[str, Broken | None]:
    try:
        content = file.read_bytes()
        text = content.decode("utf-8")
    except OSError as error:
        return "", broken("manifest-unreadable", why=error.strerror)
    except UnicodeDecodeError as error:
        return "", broken("manifest-encoding", byte=error.start)
    if content.startswith(_BOM):
        return "", broken("manifest-bom")
    return text, None if text.strip() else broken("manifest-empty")


def _read(line: str) -> tuple[Sample | None, list[Broken]]:
    """Return the sample of one line where it can be read, and all that is wrong with the line by itself."""
    twice: list[str] = []
    try:
        row = json.loads(line, object_pairs_hook=lambda pairs: _object(pairs, twice), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return None, [broken("line-json", why=error)]
    if not isinstance(row, dict):
        return None, [broken("line-object")]
    faults = [broken("key-twice", name=name) for name in twice]
    faults += [broken("field-unknown", name=n, hint=nearest(n, _FIELDS)) for n in row if n not in _FIELDS]
    try:
        sample = sample_from_json(row)
    except LineError as error:
        return None, [*faults, *error.faults]
    return sample, [*faults, *_sample_faults(sample)]


def _object(pairs: list[tuple[str, Any]], twice: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in pairs:
        if name in row and name not in twice:
            twice.append(name)
        row[name] = value
    return row


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _sample_faults(sample: Sample) -> Iterator[Broken]:
    """Rules of a line that can be read all the same."""
    if not SHA256.fullmatch(sample.sha256):
        yield broken("sha256-malformed")
    for name in ("id", "category", "defect", "group"):
        if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in getattr(sample, name) or ""):
            yield broken("text-control", name=name)
    for path in (sample.image, *mask_paths(sample)):
        if "\\" in path:
            yield broken("path-backslash", path=path)
    if max(sample.width, sample.height) > MAX_ASPECT * min(sample.width, sample.height):
        yield broken("size-aspect", width=sample.width, height=sample.height, most=MAX_ASPECT)
    if sample.image in mask_paths(sample):
        yield broken("mask-is-image", path=sample.image)
