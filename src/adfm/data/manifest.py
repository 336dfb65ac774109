"""`manifest.jsonl` in and out: the one form in which every later stage meets a data set (design section 2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from adfm.errors import DataError
from adfm.geometry import Box
from adfm.records import LABELS, SPLITS, Sample, Split
from adfm.storage import read_jsonl, write_jsonl

MANIFEST = "manifest.jsonl"
META = "manifest.meta.json"


class Manifest(NamedTuple):
    """The samples of a manifest and the folder that their paths are relative to."""

    root: Path
    samples: tuple[Sample, ...]

    def only(self, split: Split) -> Manifest:
        """Return the manifest of one split.

        Raises:
            DataError: the split holds no sample.
        """
        chosen = tuple(sample for sample in self.samples if sample.split == split)
        if not chosen:
            raise DataError(f"{self.root / MANIFEST}: no sample is in the '{split}' split; build it with another split")
        return Manifest(self.root, chosen)

    def image_path(self, sample: Sample) -> Path:
        """Where a sample's picture lies."""
        return self.root / sample.image


def sample_json(sample: Sample) -> dict[str, Any]:
    """Return a sample as its manifest line; the contract's fields first, ours only where they say something."""
    row: dict[str, Any] = {
        "id": sample.id,
        "image": sample.image,
        "width": sample.width,
        "height": sample.height,
        "label": sample.label,
        "category": sample.category,
        "defect": sample.defect,
        "mask": list(sample.mask) if isinstance(sample.mask, tuple) else sample.mask,
        "boxes": None if sample.boxes is None else [[int(edge) for edge in box] for box in sample.boxes],
        "split": sample.split,
        "sha256": sample.sha256,
    }
    extra = {"group": sample.group, "box_ratio": sample.box_ratio, "tight": None if sample.tight else False}
    return row | {name: value for name, value in extra.items() if value is not None}


def mask_paths(sample: Sample) -> tuple[str, ...]:
    """Return the paths of a sample's masks as they stand in the manifest: none, one or several."""
    return (sample.mask,) if isinstance(sample.mask, str) else sample.mask or ()


def write_manifest(path: Path, samples: Iterable[Sample]) -> None:
    """Write a manifest atomically."""
    write_jsonl(path, map(sample_json, samples))


def manifest_path(path: Path) -> Path:
    """Accept a manifest file or the folder that holds one."""
    return path / MANIFEST if path.is_dir() else path


def read_manifest(path: Path) -> Manifest:
    """Read a manifest file, or the one in a folder; stops at the first fault (`adfm data check` lists them all).

    Raises:
        DataError: missing, empty, or a line that breaks the contract.
    """
    file = manifest_path(path)
    rows = read_jsonl(file)
    if not rows:
        raise DataError(f"{file}: holds no sample; run `adfm data build` first")
    samples = [_checked(file, number, row) for number, row in enumerate(rows, 1)]
    seen: set[str] = set()
    for number, sample in enumerate(samples, 1):
        if sample.id in seen:
            raise DataError(f"{file}:{number}: id '{sample.id}' is used twice; ids must be unique")
        seen.add(sample.id)
    return Manifest(file.parent, tuple(samples))


def _checked(file: Path, number: int, row: dict[str, Any]) -> Sample:
    faults = row_faults(row)
    if faults:
        raise DataError(f"{file}:{number}: {faults[0]}")
    return sample_from_json(row)


def sample_from_json(row: dict[str, Any]) -> Sample:
    """Build a sample from a manifest line that `row_faults` has passed."""
    mask, boxes = row.get("mask"), row.get("boxes")
    return Sample(
        id=row["id"],
        image=row["image"],
        width=row["width"],
        height=row["height"],
        label=row["label"],
        category=row["category"],
        defect=row.get("defect"),
        mask=tuple(mask) if isinstance(mask, list) else mask,
        boxes=_known_boxes(row["label"], boxes),
        split=row["split"],
        sha256=row["sha256"],
        group=row.get("group"),
        box_ratio=row.get("box_ratio"),
        tight=row.get("tight", True),
    )


def _known_boxes(label: str, boxes: list[list[int]] | None) -> tuple[Box, ...] | None:
    """A normal part has no boxes, also where its line says null; an anomalous one's null means unknown."""
    if boxes is None:
        return None if label == "anomalous" else ()
    return tuple(Box(*box) for box in boxes)


def row_faults(row: dict[str, Any]) -> list[str]:
    """Name every rule of the contract that a manifest line breaks; an empty list means that it can be read."""
    faults = [
        f"'{name}' must be a non-empty text"
        for name in ("id", "image", "category", "sha256")
        if not _text(row.get(name))
    ]
    faults += [
        f"'{name}' must be a whole number above 0" for name in ("width", "height") if not _positive(row.get(name))
    ]
    faults += _one_of(row, "label", LABELS) + _one_of(row, "split", SPLITS)
    faults += [f"'{name}' must be a text or null" for name in ("defect", "group") if not _text_or_none(row.get(name))]
    mask = row.get("mask")
    if not (_text_or_none(mask) or (isinstance(mask, list) and mask and all(map(_text, mask)))):
        faults.append("'mask' must be a path, a list of paths or null")
    paths = [row.get("image"), *(mask if isinstance(mask, list) else [mask])]
    faults += [
        f"path {path!r} must be relative and must not name a drive"
        for path in paths
        if _text(path) and not _relative(path)
    ]
    ratio = row.get("box_ratio")
    if ratio is not None and (
        isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 <= ratio < math.inf
    ):
        faults.append("'box_ratio' must be a number of at least 0 or absent")
    if not isinstance(row.get("tight", True), bool):
        faults.append("'tight' must be true, false or absent")
    if row.get("label") == "normal" and row.get("defect") is not None:
        faults.append("a normal sample must have no defect")
    return faults or _box_faults(row)


def _box_faults(row: dict[str, Any]) -> list[str]:
    boxes, width, height = row.get("boxes"), row["width"], row["height"]
    if boxes is None:
        return []
    if not isinstance(boxes, list):
        return ["'boxes' must be a list or null"]
    if row["label"] == "normal" and boxes:
        return ["a normal sample must have no boxes"]
    if row["label"] == "anomalous" and not boxes:
        return ["an anomalous sample must have boxes, or null where they are unknown"]
    return [
        f"box {box!r:.60} must be [x1, y1, x2, y2] inside {width} x {height}"
        for box in boxes
        if not _inside(box, width, height)
    ]


def _inside(box: Any, width: int, height: int) -> bool:
    if not (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(edge, int) and not isinstance(edge, bool) for edge in box)
    ):
        return False
    x1, y1, x2, y2 = box
    return bool(0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height)


def _relative(path: str) -> bool:
    """Whether a path is relative on every system, and could be opened at all."""
    return not PureWindowsPath(path).anchor and "\0" not in path


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _text_or_none(value: Any) -> bool:
    return value is None or _text(value)


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _one_of(row: dict[str, Any], name: str, allowed: Sequence[str]) -> list[str]:
    return [] if row.get(name) in allowed else [f"'{name}' must be one of {', '.join(allowed)}"]
