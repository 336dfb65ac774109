"""What one manifest line must say before it can be read as a sample; pictures, masks and other lines are not looked at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import PureWindowsPath
from typing import Any

from adfm.data.faults import Broken, broken
from adfm.images import MAX_PIXELS
from adfm.records import LABELS, SPLITS

_REQUIRED = ("id", "image", "width", "height", "label", "category", "split", "sha256")


def row_faults(row: dict[str, Any]) -> list[Broken]:
    """Name every rule of the contract that a manifest line breaks; an empty list means that it can be read."""
    faults = [broken("field-missing", name=name) for name in _REQUIRED if name not in row]
    faults += [*_type_faults(row), *_choice_faults(row), *_path_faults(row)]
    if row.get("label") == "normal" and row.get("defect") is not None:
        faults.append(broken("defect-on-normal"))
    if not faults and row["width"] * row["height"] > MAX_PIXELS:
        faults.append(broken("size-limit", width=_short(row["width"]), height=_short(row["height"]), limit=MAX_PIXELS))
    return faults or _box_faults(row)


def _type_faults(row: dict[str, Any]) -> Iterator[Broken]:
    """Fields that are there and hold what they may not; absent ones are named elsewhere."""
    kinds = {
        "a non-empty text": (("id", "image", "category", "sha256"), _text),
        "a whole number above 0": (("width", "height"), _positive),
        "a text or null": (("defect", "group"), _text_or_none),
        "a path, a list of paths or null": (("mask",), _masks),
        "a number of at least 0 or absent": (("box_ratio",), _ratio),
        "true, false or absent": (("tight",), lambda value: isinstance(value, bool)),
    }
    for kind, (names, fits) in kinds.items():
        yield from (broken("field-type", name=n, kind=kind) for n in names if n in row and not fits(row[n]))


def _choice_faults(row: dict[str, Any]) -> Iterator[Broken]:
    choices: dict[str, Sequence[str]] = {"label": LABELS, "split": SPLITS}
    for name, known in choices.items():
        if name in row and row[name] not in known:
            yield broken(f"{name}-unknown", known=", ".join(known))


def _path_faults(row: dict[str, Any]) -> Iterator[Broken]:
    mask = row.get("mask")
    for path in filter(_text, (row.get("image"), *(mask if isinstance(mask, list) else [mask]))):
        if PureWindowsPath(path).anchor:
            yield broken("path-absolute", path=path)
        elif not _nameable(path):
            yield broken("path-text", path=path)


def _nameable(path: str) -> bool:
    """Whether a file could have this name on any system."""
    return "\0" not in path and not any("\ud800" <= character <= "\udfff" for character in path)


def _box_faults(row: dict[str, Any]) -> list[Broken]:
    boxes, width, height = row.get("boxes"), row["width"], row["height"]
    if boxes is None:
        return []
    if not isinstance(boxes, list):
        return [broken("boxes-type")]
    if row["label"] == "normal" and boxes:
        return [broken("boxes-on-normal")]
    if row["label"] == "anomalous" and not boxes:
        return [broken("boxes-empty")]
    return [fault for box in boxes for fault in _one_box_faults(box, width, height)]


def _one_box_faults(box: Any, width: int, height: int) -> Iterator[Broken]:
    told = _short(box)
    if not (isinstance(box, list) and len(box) == 4 and all(map(_whole, box))):
        yield broken("box-malformed", box=told)
        return
    x1, y1, x2, y2 = box
    if x1 >= x2 or y1 >= y2:
        yield broken("box-empty", box=told)
    elif x1 < 0 or y1 < 0 or x2 > width or y2 > height:
        yield broken("box-outside", box=told, width=width, height=height)


def _short(value: Any) -> str:
    """A value on one short line; a whole number may have more digits than Python is willing to write."""
    try:
        return f"{value!r:.60}"
    except (ValueError, RecursionError):
        return "(too long to show)"


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _text_or_none(value: Any) -> bool:
    return value is None or _text(value)


def _masks(value: Any) -> bool:
    return _text_or_none(value) or (isinstance(value, list) and bool(value) and all(map(_text, value)))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _positive(value: Any) -> bool:
    return _whole(value) and value > 0


def _ratio(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (number and 0 <= value < math.inf)
