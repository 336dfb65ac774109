"""`manifest.meta.json`: where a manifest comes from, what it counts and what the user should know about it."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

import adfm
from adfm.data.layouts import SourceImage
from adfm.data.measure import Measurement
from adfm.data.settings import BuildSettings
from adfm.images import is_image
from adfm.records import Sample

_LICENCE_NAMES = ("license", "licence", "copying", "readme")
_LICENCE_SUFFIXES = ("", ".txt", ".md", ".rst")
_LICENCE_CHARACTERS = 32_768


def make_meta(
    samples: Sequence[Sample],
    layout: str,
    source: str,
    settings: BuildSettings,
    warnings: Sequence[str],
    licence: dict[str, str],
) -> dict[str, Any]:
    """Return the content of the meta file; `source` is the source folder relative to the manifest."""
    return {
        "adfm": adfm.__version__,
        "layout": layout,
        "source": Path(source).as_posix(),
        "seed": settings.seed,
        "settings": settings.model_dump(mode="json", exclude={"workers"}),
        "samples": len(samples),
        "counts": counts(samples),
        "defects": defects(samples),
        "boxes": box_statistics(samples),
        "warnings": list(warnings),
        "licence": licence or None,
    }


def counts(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return category -> split -> label -> number of samples."""
    return _nested_counts((sample.category, sample.split, sample.label) for sample in samples)


def defects(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return category -> defect type -> number of samples."""
    return _nested_counts((sample.category, sample.defect or "unnamed") for sample in samples if sample.anomalous)


def _nested_counts(keys: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for (*outer, last), count in sorted(Counter(keys).items()):
        inner = table
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = count
    return table


def box_statistics(samples: Sequence[Sample]) -> dict[str, Any] | None:
    """Return boxes per anomalous sample and box areas relative to their image; None where no place is known."""
    known = [sample for sample in samples if sample.anomalous and sample.boxes]
    if not known:
        return None
    numbers = [len(sample.boxes or ()) for sample in known]
    areas = [box.area / (sample.width * sample.height) for sample in known for box in sample.boxes or ()]
    return {
        "samples_with_boxes": len(known),
        "samples_without_boxes": sum(sample.anomalous and sample.boxes is None for sample in samples),
        "per_sample": {
            "mean": round(float(np.mean(numbers)), 4),
            "p50": float(np.median(numbers)),
            "p95": float(np.quantile(numbers, 0.95)),
            "max": max(numbers),
        },
        "share_of_several": round(sum(number > 1 for number in numbers) / len(numbers), 4),
        "not_tight": sum(not sample.tight for sample in known),
        "raised_dilation": sum(sample.box_ratio is not None for sample in known),
        "relative_area": {f"p{q}": round(float(np.quantile(areas, q / 100)), 6) for q in (5, 25, 50, 75, 95)},
    }


def licences(root: Path, listed: Sequence[SourceImage]) -> dict[str, str]:
    """Return file name -> text of the licence and readme files in the root and in the category folders below it."""
    folders = {root, *(root / image.image.parts[0] for image in listed if len(image.image.parts) > 1)}
    texts = {}
    for path in chain.from_iterable(sorted(folder.iterdir()) for folder in sorted(folders)):
        named = path.name.lower().startswith(_LICENCE_NAMES) and path.suffix.lower() in _LICENCE_SUFFIXES
        if named and path.is_file() and path.resolve().is_relative_to(root):
            with path.open(encoding="utf-8", errors="replace") as file:
                texts[path.relative_to(root).as_posix()] = file.read(_LICENCE_CHARACTERS)
    return texts


def doubts(measured: Iterable[Measurement]) -> list[str]:
    """Return one line for each type of doubt: how many images, and the first few names."""
    named: dict[str, list[str]] = defaultdict(list)
    for one in measured:
        for doubt in one.doubts:
            named[doubt].append(one.source.image.as_posix())
    return [f"{doubt}: {len(names)} ({_first_few(names)})" for doubt, names in sorted(named.items())]


def unmasked(listed: Iterable[SourceImage]) -> list[str]:
    """Name the folders where some images have masks and some have none, which is more often an accident than intended."""
    folders: dict[Path, list[bool]] = defaultdict(list)
    for image in listed:
        if image.label == "anomalous":
            folders[image.image.parent].append(bool(image.masks or image.boxes))
    return [
        f"{folder.as_posix()}: {masked.count(False)} of {len(masked)} images have no mask, the others do"
        for folder, masked in sorted(folders.items())
        if any(masked) and not all(masked)
    ]


def unused(root: Path, listed: Sequence[SourceImage]) -> list[str]:
    """Count what the layout did not use: other files, hidden ones, and images or masks without a pair."""
    used = {path for image in listed for path in (image.image, *image.masks)}
    images, others, hidden, links = [], 0, 0, 0
    for directory, names, files in os.walk(root):
        links += sum((Path(directory) / name).is_symlink() for name in names)
        hidden += sum(name.startswith(".") for name in [*names, *files])
        names[:] = [name for name in names if not name.startswith(".")]
        folder = Path(directory).relative_to(root)
        for path in (folder / name for name in files if not name.startswith(".")):
            if not is_image(path):
                others += 1
            elif path not in used:
                images.append(path.as_posix())
    counted = {
        f"images outside the layout or masks without an image: {len(images)} ({_first_few(sorted(images))})": images,
        f"files that are no images: {others}": others,
        f"hidden files and folders: {hidden}": hidden,
        f"links to folders, not followed: {links}": links,
    }
    return [note for note, count in counted.items() if count]


def _first_few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
