"""VisA as published: `Data/Images/{Normal,Anomaly}`, `Data/Masks/Anomaly`; its `1cls` list of splits where it lies beside.

Its masks hold small class indices and look black; every value above 0 is a defect. The re-laid `1cls` tree is `mvtec`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from adfm.data.layouts.found import Found, MaskIndex, categories, pictures, relative
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
    names = [folder.name for folder in categories(root, _is_category)]
    return f"Data/Images/Normal in {', '.join(names)}" if names else None


def read(root: Path) -> Iterator[Found]:
    """Yield the pictures of every object; without the list of splits none has a split of its own.

    Raises:
        DataError: the list of splits cannot be read.
    """
    splits = _listed(root / "split_csv" / "1cls.csv")
    for category in categories(root, _is_category):
        data, name = category / "Data", category.resolve().name
        masks = MaskIndex(data / "Masks" / "Anomaly")
        for path in pictures(data / "Images"):
            kind = path.relative_to(data / "Images").parts[0]
            place = path.relative_to(root)
            split = splits.get(place.as_posix())
            if kind == "Normal":
                yield Found(place, "normal", name, split=split)
            elif kind == "Anomaly":
                yield Found(place, "anomalous", name, None, relative(masks.of(Path(path.stem)), root), split)


def _listed(file: Path) -> dict[str, Split]:
    """Return picture -> split of a list with the columns `image` and `split`; none where there is no list."""
    if not file.is_file():
        return {}
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
        return {str(PurePosixPath(row["image"])): _SPLITS[row["split"]] for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError) as error:
        raise DataError(f"{file}: must be a list with the columns image and split (train, test): {error}") from error
