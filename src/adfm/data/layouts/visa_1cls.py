"""VisA as its converter lays it out: the `mvtec` folders of its objects, in `1cls/` or without it; masks without `_mask`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from adfm.data.layouts import mvtec, visa
from adfm.data.layouts.walk import SourceImage

NAME = "visa-1cls"
SHAPE = "[1cls/]<object>/{train/good,test/{good,bad},ground_truth/bad} of two or more of VisA's objects"
TERMS: str | None = visa.TERMS

_NAMES = ("candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1", "macaroni2", "pipe_fryum")
_BOARDS = ("pcb1", "pcb2", "pcb3", "pcb4")


def _base(root: Path) -> Path:
    return root / "1cls" if (root / "1cls").is_dir() else root


def recognise(root: Path) -> str | None:
    """Say why a folder is VisA in this form, or None."""
    return mvtec.named(_base(root), (*_NAMES, *_BOARDS))


def read(root: Path) -> Iterator[SourceImage]:
    """Yield the images of every object."""
    below = _base(root).relative_to(root)
    for image in mvtec.read(_base(root)):
        yield replace(image, image=below / image.image, masks=tuple(below / mask for mask in image.masks))
