"""The folder layout: an OK folder and an NG folder by their common names; NG may hold one folder per kind of defect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.found import NG, OK, Found, MaskIndex, categories, folders, parts_of, pictures, recognised
from adfm.errors import DataError

NAME = "folder"
MASKS = frozenset({"mask", "masks", "ground_truth", "gt", "label", "labels"})
SHAPE = "OK/ and NG/ (or good, normal, pass / bad, nok, defect, anomaly, fail), masks in masks/ or ground_truth/"
TERMS: str | None = None


def _named(folder: Path, names: frozenset[str]) -> list[Path]:
    return [path for path in folders(folder) if path.name.lower() in names]


def _is_category(folder: Path) -> bool:
    return bool(_named(folder, OK) and _named(folder, NG))


def recognise(root: Path) -> str | None:
    """Say why a folder is an OK / NG set (one category or several), or None."""
    return recognised(categories(root, _is_category), "an OK folder and an NG folder")


def read(root: Path) -> Iterator[Found]:
    """Yield the pictures of every category; a mask mirrors its picture's name, with or without the NG folder's own.

    Raises:
        DataError: a mask's name fits several pictures.
    """
    for name, category in categories(root, _is_category):
        for ok in _named(category, OK):
            yield from parts_of(root, ok, name, "normal")
        for ng in _named(category, NG):
            yield from _defective(root, category, ng, name)


def _defective(root: Path, category: Path, ng: Path, name: str) -> Iterator[Found]:
    inner = _named(ng, MASKS)
    indices = [MaskIndex(folder) for folder in (*_named(category, MASKS), *inner)]
    paths = [path for path in pictures(ng) if not any(path.is_relative_to(folder) for folder in inner)]
    stems = Counter(path.stem for path in paths)
    for path in paths:
        below = path.relative_to(ng).with_suffix("")
        kind = below.parts[0] if len(below.parts) > 1 else None
        mirrored = [mask for index in indices for key in (ng.name / below, below) for mask in index.of(key)]
        flat = [mask for index in indices for mask in index.of(Path(below.name))]
        if not mirrored and flat and stems[path.stem] > 1:
            raise DataError(f"{flat[0]}: fits several pictures named {path.stem}; put masks in folders named as theirs")
        masks = tuple(mask.relative_to(root) for mask in dict.fromkeys(mirrored or flat))
        yield Found(path.relative_to(root), "anomalous", name, kind, masks)
