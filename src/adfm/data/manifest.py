"""`manifest.jsonl` in and out: the one form in which every later stage meets a data set (design section 2)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from adfm.data.contract import row_faults
from adfm.data.faults import Fault
from adfm.errors import DataError
from adfm.geometry import Box
from adfm.records import Sample, Split
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
        raise DataError(str(Fault(faults[0].code, str(file), number, faults[0].rule)))
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
