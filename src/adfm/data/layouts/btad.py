"""BTAD: `train/ok`, `test/{ok,ko}`, `ground_truth/ko` in each of three products; .bmp and .png mixed, paired by stem."""

from __future__ import annotations

from pathlib import Path

from adfm.data.layouts import tree
from adfm.data.layouts.walk import below, recogniser

NAME = "btad"
SHAPE = "train/ok, test/ok, test/ko, ground_truth/ko (one product or several)"
TERMS: str | None = "BTAD: not known here; see its publisher"


def _is_category(folder: Path) -> bool:
    return below(folder, "train", "ok") and below(folder, "test", "ko")


recognise = recogniser(_is_category, "train/ok and test/ko")
read = tree.read
