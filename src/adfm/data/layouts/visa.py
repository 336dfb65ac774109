"""VisA as published: `Data/Images/{Normal,Anomaly}`, `Data/Masks/Anomaly`; its `1cls` list of splits where it lies beside.

Its masks hold small class indices and look black; every value above 0 is a defect. The re-laid `1cls` tree is `mvtec`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from adfm.data.layouts.found import Found, categories, parts_of, recognised
from adfm.errors import DataError
from adfm.records import Split

NAME = "visa"
SHAPE = "<object>/Data/Images/{Normal,Anomaly}, <object>/Data/Masks/Anomaly, split_csv/1cls.csv if there is one"
TERMS: str | None = "VisA: CC BY 4.0 (its LICENSE-DATASET)"

_SPLITS: dict[str, Split] = {"train": "train", "test": "test"}


def _is_category(folder: Path) -> bool:
    return (folder / "Data" / "Images" / "Normal").is_dir()


def recognise(root: Path) -> str | None:
    """Say why a folder is VisA, or None."""
    return recognised(categories(root, _is_category), "Data/Images/Normal")


def read(root: Path) -> Iterator[Found]:
    """Yield the pictures of every object; without the list of splits none has a split of its own.

    Raises:
        DataError: the list of splits cannot be read.
    """
    splits = _listed(root / "split_csv" / "1cls.csv")
    for name, folder in categories(root, _is_category):
        images, masks = folder / "Data" / "Images", folder / "Data" / "Masks" / "Anomaly"
        normal = parts_of(root, images / "Normal", name, "normal")
        for each in (*normal, *parts_of(root, images / "Anomaly", name, "anomalous", masks=masks)):
            yield replace(each, split=splits.get(each.image.as_posix()))


def _listed(file: Path) -> dict[str, Split]:
    """Return picture -> split of a list with the columns `image` and `split`; none where there is no list."""
    if not file.is_file():
        return {}
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
        return {str(PurePosixPath(row["image"])): _SPLITS[row["split"]] for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError) as error:
        raise DataError(f"{file}: must be a list with the columns image and split (train, test): {error}") from error
