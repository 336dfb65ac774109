"""One file per folder layout, and the choice between them; a layout finds pictures and masks, it opens none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from adfm.data.layouts import (
    btad,
    coco,
    dagm,
    defect_spectrum,
    dtd_synthetic,
    folder,
    goodsad,
    imagefolder,
    imagefolder_metadata,
    kolektor,
    label_studio,
    magnetic,
    meta_json,
    mpdd,
    mvtec,
    mvtec2,
    mvtec_loco,
    real_iad,
    visa,
    visa_1cls,
)
from adfm.data.layouts.found import Found
from adfm.errors import DataError, nearest

__all__ = ["LAYOUTS", "Found", "Layout", "choose"]


class Layout(Protocol):
    """What a layout module offers."""

    NAME: str
    SHAPE: str
    TERMS: str | None

    def recognise(self, root: Path) -> str | None:
        """Say in one sentence why a folder has this layout, or None."""

    def read(self, root: Path) -> Iterator[Found]:
        """Yield every picture of the layout, in any order."""


# A set's own layout wins over the general ones, whose folders it may have too.
SETS: tuple[Layout, ...] = (
    btad,
    dagm,
    defect_spectrum,
    dtd_synthetic,
    goodsad,
    kolektor,
    magnetic,
    mpdd,
    mvtec2,
    mvtec_loco,
    real_iad,
    visa,
    visa_1cls,
)
LISTED: tuple[Layout, ...] = (meta_json, coco, label_studio, imagefolder_metadata)
CLASSES: tuple[Layout, ...] = (imagefolder,)
GENERAL: tuple[Layout, ...] = (mvtec, folder)
LAYOUTS: tuple[Layout, ...] = (*SETS, *GENERAL, *LISTED, *CLASSES)


def choose(root: Path, name: str = "auto") -> Layout:
    """Return the layout of that name, or with `auto` the one that recognises the folder.

    A published set's own layout comes before the general ones, these before a list that lies among the folders, and that
    before folders named as classes.

    Raises:
        DataError: the folder is missing, does not have the named layout, or none or several layouts fit.
    """
    if not root.is_dir():
        raise DataError(f"{root}: is not a folder; give the folder that holds the pictures")
    fitting = [layout for layout in LAYOUTS if layout.recognise(root)]
    if name != "auto":
        return _named(root, name, fitting)
    for kind in (SETS, GENERAL, LISTED, CLASSES):
        if len(alone := [layout for layout in kind if layout in fitting]) == 1:
            return alone[0]
        if alone:
            break
    shapes = "; ".join(f"{layout.NAME}: {layout.SHAPE}" for layout in LAYOUTS)
    found = " and ".join(layout.NAME for layout in fitting)
    fault = f"fits several layouts ({found}), name one with --layout" if fitting else "has no known layout"
    raise DataError(f"{root}: {fault}; known are {shapes}")


def _named(root: Path, name: str, fitting: list[Layout]) -> Layout:
    known = {layout.NAME: layout for layout in LAYOUTS}
    if name not in known:
        raise DataError(f"layout '{name}' is unknown{nearest(name, known)}; known are auto, {', '.join(known)}")
    if known[name] not in fitting:
        raise DataError(f"{root}: does not have the layout '{name}', which is {known[name].SHAPE}")
    return known[name]
