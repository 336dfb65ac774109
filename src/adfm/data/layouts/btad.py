"""BTAD: `train/ok`, `test/{ok,ko}`, `ground_truth/ko` in each of three products; .bmp and .png mixed, paired by stem."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.names import TRAIN_TEST
from adfm.data.layouts.walk import SourceImage, categories, images_of, recogniser

NAME = "btad"
SHAPE = "train/ok, test/ok, test/ko, ground_truth/ko (one product or several)"
TERMS: str | None = "BTAD: not known here; see its publisher"


def _is_category(folder: Path) -> bool:
    return (folder / "train" / "ok").is_dir() and (folder / "test" / "ko").is_dir()


recognise = recogniser(_is_category, "train/ok and test/ko")


def read(root: Path) -> Iterator[SourceImage]:
    """Yield the images of every product; a mask has its image's stem, whatever the suffixes."""
    for name, folder in categories(root, _is_category):
        masks = folder / "ground_truth" / "ko"
        for split in TRAIN_TEST:
            yield from images_of(root, folder / split / "ok", name, "normal", split=split)
            yield from images_of(root, folder / split / "ko", name, "anomalous", "ko", masks=masks, split=split)
