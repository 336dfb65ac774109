"""VisA as published: `Data/Images/{Normal,Anomaly}`, `Data/Masks/Anomaly`; with its `1cls` list of splits where there is one.

Its masks hold small class indices and look black; every value above 0 is a defect. The re-laid `1cls` tree is `mvtec`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from adfm.data.faults import DataFaultsError
from adfm.data.layouts import tree
from adfm.data.layouts.listed import wrong_shape
from adfm.data.layouts.names import TRAIN_TEST
from adfm.data.layouts.pairing import unsplit
from adfm.data.layouts.walk import SourceImage, below, recogniser
from adfm.records import Split

NAME = "visa"
SHAPE = "<object>/Data/Images/{Normal,Anomaly}, <object>/Data/Masks/Anomaly, split_csv/1cls.csv if there is one"
TERMS: str | None = "VisA: CC BY 4.0 (its LICENSE-DATASET)"


recognise = recogniser(lambda folder: below(folder, "data", "images", "normal"), "Data/Images/Normal")


def read(root: Path) -> Iterator[SourceImage]:
    """Yield the images of every object; without the list of splits none has a split of its own.

    Raises:
        DataFaultsError: the list of splits cannot be read.
    """
    splits: dict[str, Split] = {}
    if (file := root / "split_csv" / "1cls.csv").is_file():
        known: dict[str, Split] = {name: name for name in TRAIN_TEST}
        try:
            rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
            splits = {str(PurePosixPath(row["image"])): known[row["split"]] for row in rows}
        except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError) as error:
            why = f"must be a list with the columns image and split (train, test): {error}"
            raise wrong_shape(file, why) from error
    images = [replace(image, split=splits.get(image.image.as_posix())) for image in tree.read(root)]
    if faults := unsplit(root, images):
        raise DataFaultsError(faults)
    yield from images
