"""MVTec AD 2: `test_public/{good,bad}` with the truth inside it; the private tests carry no labels and are left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from adfm.data.layouts import tree
from adfm.data.layouts.walk import SourceImage, below, folders, recognised

NAME = "mvtec2"
SHAPE = "train/good, validation/good, test_public/{good,bad,ground_truth/bad}; test_private* is left out"
TERMS: str | None = "MVTec AD 2: CC BY-NC-SA 4.0"

_TEST = "test_public"
_NUMBER = re.compile(r"\d+(?=_)")  # of a part; the light follows (`003_overexposed`, `003_shift_1`)


def recognise(root: Path) -> str | None:
    """Say why a folder is MVTec AD 2, or None; some archives hold a category in a folder of its own name."""
    outer = [root, *folders(root)]
    nested = [inner for folder in outer[1:] for inner in folders(folder) if inner.name == folder.name]
    return recognised((folder.resolve().name for folder in (*outer, *nested) if below(folder, _TEST)), _TEST)


def read(root: Path) -> Iterator[SourceImage]:
    """Yield the images of every category that have a label; a part under all its lights is a group.

    Raises:
        DataFaultsError: something in the folder is not read, or a name fits twice.
    """
    for image in tree.read(root):
        number = _NUMBER.match(image.image.stem)
        folder = image.image.parent.as_posix()
        yield replace(image, group=f"{folder}/{number[0]}") if number else image
