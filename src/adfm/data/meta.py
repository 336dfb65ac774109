"""`manifest.meta.json`: where a manifest comes from, what it counts and what the user should know about it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

import adfm
from adfm.data.layouts import Found
from adfm.data.settings import BuildSettings
from adfm.images import is_image
from adfm.records import Sample

_LICENCE_NAMES = ("license", "licence", "copying", "readme")
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


def counts(samples: Sequence[Sample]) -> dict[str, dict[str, dict[str, int]]]:
    """Return category -> split -> label -> number of samples."""
    table: dict[str, dict[str, dict[str, int]]] = {}
    for (category, split, label), count in sorted(Counter((s.category, s.split, s.label) for s in samples).items()):
        table.setdefault(category, {}).setdefault(split, {})[label] = count
    return table


def defects(samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
    """Return category -> kind of defect -> number of samples."""
    table: dict[str, dict[str, int]] = {}
    kinds = Counter((s.category, s.defect or "unnamed") for s in samples if s.anomalous)
    for (category, defect), count in sorted(kinds.items()):
        table.setdefault(category, {})[defect] = count
    return table


def box_statistics(samples: Sequence[Sample]) -> dict[str, Any] | None:
    """Return boxes per anomalous sample and box areas relative to their picture; None where no place is known."""
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


def licences(root: Path, found: Sequence[Found]) -> dict[str, str]:
    """Return file name -> text of the licence and readme files in the root and in the category folders below it."""
    folders = {root, *(root / each.image.parts[0] for each in found if len(each.image.parts) > 1)}
    files = chain.from_iterable(sorted(folder.iterdir()) for folder in sorted(folders))
    return {path.relative_to(root).as_posix(): _text(path) for path in files if _is_licence(path, root)}


def _is_licence(path: Path, root: Path) -> bool:
    plain = path.suffix.lower() in ("", ".txt", ".md", ".rst")
    named = path.name.lower().startswith(_LICENCE_NAMES) and plain
    return named and path.is_file() and path.resolve().is_relative_to(root)


def _text(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(_LICENCE_CHARACTERS)


def unused(root: Path, found: Sequence[Found]) -> list[str]:
    """Count what the layout did not use: other files, hidden ones, and pictures or masks without a pair."""
    used = {path for each in found for path in (each.image, *each.masks)}
    pictures, others, hidden, links = [], 0, 0, 0
    for directory, names, files in os.walk(root):
        links += sum((Path(directory) / name).is_symlink() for name in names)
        hidden += sum(name.startswith(".") for name in [*names, *files])
        names[:] = [name for name in names if not name.startswith(".")]
        folder = Path(directory).relative_to(root)
        for path in (folder / name for name in files if not name.startswith(".")):
            if not is_image(path):
                others += 1
            elif path not in used:
                pictures.append(path.as_posix())
    pictures.sort()
    shown = f"{', '.join(pictures[:3])}{', ...' if len(pictures) > 3 else ''}"
    notes = [f"pictures outside the layout or masks without a picture: {len(pictures)} ({shown})"] if pictures else []
    notes += [f"files that are no pictures: {others}"] if others else []
    notes += [f"hidden files and folders: {hidden}"] if hidden else []
    return [*notes, f"links to folders, not followed: {links}"] if links else notes
