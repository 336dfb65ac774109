"""BTAD: `train/ok`, `test/{ok,ko}`, `ground_truth/ko` in each of three products; .bmp and .png mixed, paired by stem."""

from __future__ import annotations

from adfm.data.layouts import tree
from adfm.data.layouts.walk import below, recogniser

NAME = "btad"
SHAPE = "train/ok, test/ok, test/ko, ground_truth/ko (one product or several)"
TERMS: str | None = "BTAD: not known here; see its publisher"


recognise = recogniser(
    lambda folder: below(folder, "train", "ok") and below(folder, "test", "ko"), "train/ok and test/ko"
)
read = tree.read
