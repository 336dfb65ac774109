"""The folder layout: an OK folder and an NG folder by their common names; NG may hold one folder per defect type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from adfm.data.faults import DataFaultsError, broken
from adfm.data.layouts.names import DEFECTIVE, MASK_FOLDERS, NORMAL
from adfm.data.layouts.walk import MaskIndex, SourceImage, categories, folders, image_files, images_of, recogniser

NAME = "folder"
SHAPE = "OK/ and NG/ (or good, normal, pass / bad, nok, defect, anomaly, fail), masks in masks/ or ground_truth/"
TERMS: str | None = None


def _named(folder: Path, names: frozenset[str]) -> list[Path]:
    return [path for path in folders(folder) if path.name.lower() in names]


def _is_category(folder: Path) -> bool:
    return bool(_named(folder, NORMAL) and _named(folder, DEFECTIVE))


recognise = recogniser(_is_category, "an OK folder and an NG folder")


def read(root: Path) -> Iterator[SourceImage]:
    """Yield the images of every category; a mask mirrors its image's name, with or without the NG folder's own.

    Raises:
        DataFaultsError: the name of a mask fits several images.
    """
    for name, category in categories(root, _is_category):
        for normal in _named(category, NORMAL):
            yield from images_of(root, normal, name, "normal")
        for defective in _named(category, DEFECTIVE):
            yield from _defective_images(root, category, defective, name)


def _defective_images(root: Path, category: Path, folder: Path, name: str) -> Iterator[SourceImage]:
    inner = _named(folder, MASK_FOLDERS)
    indices = [MaskIndex(masks) for masks in (*_named(category, MASK_FOLDERS), *inner)]
    paths = [path for path in image_files(folder) if not any(path.is_relative_to(masks) for masks in inner)]
    stems = Counter(path.stem for path in paths)
    for path in paths:
        below = path.relative_to(folder).with_suffix("")
        defect = below.parts[0] if len(below.parts) > 1 else None
        mirrored = [mask for index in indices for key in (folder.name / below, below) for mask in index.of(key)]
        flat = [mask for index in indices for mask in index.of(Path(below.name))]
        if not mirrored and flat and stems[path.stem] > 1:
            raise DataFaultsError([broken("mask-ambiguous", name=path.stem).at(flat[0])])
        masks = tuple(mask.relative_to(root) for mask in dict.fromkeys(mirrored or flat))
        yield SourceImage(path.relative_to(root), "anomalous", name, defect, masks)
