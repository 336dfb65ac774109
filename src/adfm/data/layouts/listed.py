"""Lists in JSON that name every picture: `meta.json` of the AnomalyCLIP family, and Real-IAD's list per category."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adfm.data.layouts.found import Found
from adfm.errors import DataError
from adfm.records import Split

SPLITS: dict[str, Split] = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


def items(file: Path, value: Any) -> Iterator[tuple[Split, dict[str, Any]]]:
    """Yield (split, item) of `{split: [item, ...]}`; keys that are no split are left alone.

    Raises:
        DataError: it is not of that shape.
    """
    if not isinstance(value, dict):
        raise DataError(f"{file}: must be an object of splits")
    for name, rows in value.items():
        if (split := SPLITS.get(str(name).lower())) is None:
            continue
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(f"{file}: '{name}' must be a list of objects")
        yield from ((split, row) for row in rows)


def text(file: Path, row: dict[str, Any], name: str) -> str:
    """Return a field that must be a text.

    Raises:
        DataError: it is not.
    """
    if not isinstance(row.get(name), str):
        raise DataError(f"{file}: every item needs the text '{name}'")
    return str(row[name])


def inside(root: Path, file: Path, name: str) -> Path:
    """Return a listed path, relative to the root.

    Raises:
        DataError: it is absolute or leads out of the root.
    """
    place = (root / name.replace("\\", "/")).resolve()
    if not place.is_relative_to(root.resolve()):
        raise DataError(f"{file}: '{name:.200}' leads out of the set; list paths inside it")
    return place.relative_to(root.resolve())


def found(root: Path, image: Path, category: str, defect: str | None, masks: tuple[Path, ...], split: Split) -> Found:
    """Return a listed picture; without a defect it is normal. A mask that is no file (some lists name folders) is none."""
    kept = tuple(mask for mask in masks if (root / mask).is_file())
    return Found(image, "anomalous" if defect else "normal", category, defect, kept if defect else (), split)
