"""One file per folder layout, and the choice between them; a layout finds images and masks, it opens none."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from adfm.data.faults import DataFaultsError, Fault, broken
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
from adfm.data.layouts.walk import SourceImage
from adfm.data.settings import BuildSettings
from adfm.errors import ConfigError, DataError, nearest
from adfm.extensions import extended

__all__ = ["LAYOUTS", "Layout", "SourceImage", "choose", "known_layouts", "listed_images"]

GROUP = "adfm.layouts"  # of the entry points by which installed packages add layouts
ASKED = ("annotators",)  # settings of a build that some layouts take
PARTS = ("NAME", "SHAPE", "TERMS", "recognise", "read")


class Layout(Protocol):
    """What a layout module offers: its name, its folders in a few words, the publisher's terms of use, two functions.

    A module may also name, as `OPTIONS`, the settings of a build that its `read` takes by name.
    """

    NAME: str
    SHAPE: str
    TERMS: str | None

    def recognise(self, root: Path) -> str | None:
        """Say in one sentence why a folder has this layout, or None."""

    def read(self, root: Path) -> Iterator[SourceImage]:
        """Yield every image of the layout, in any order."""


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


def known_layouts() -> Mapping[str, Layout]:
    """Return every layout by its name: ours, then those of installed packages, which are imported when they are read.

    Raises:
        ConfigError: two layouts have the same name.
    """
    return extended(GROUP, {layout.NAME: layout for layout in LAYOUTS}, needs=PARTS)


def choose(root: Path, name: str = "auto") -> Layout:
    """Return the layout of that name, or with `auto` the one that recognises the folder.

    The layouts of published sets and of installed packages come first, then the general ones, then lists among the
    folders, then folders named as classes.

    Raises:
        DataFaultsError: the folder is missing, does not have the named layout, or none or several layouts fit.
        DataError: no layout has that name.
        ConfigError: a layout of an installed package cannot be used.
    """
    if not root.is_dir():
        raise DataFaultsError([broken("source-missing").at(root)])
    known = known_layouts()
    if name != "auto":
        if name not in known:
            raise DataError(f"layout '{name}' is unknown{nearest(name, known)}; known are auto, {', '.join(known)}")
        if not known[name].recognise(root):
            raise DataFaultsError([broken("layout-differs", name=name, shape=known[name].SHAPE).at(root)])
        return known[name]
    installed = tuple(layout for layout in known.values() if layout not in LAYOUTS)
    for rank in ((*SETS, *installed), GENERAL, LISTED, CLASSES):
        fitting = [layout for layout in rank if layout.recognise(root)]
        if len(fitting) > 1:
            names = " and ".join(layout.NAME for layout in fitting)
            raise DataFaultsError([broken("layout-ambiguous", names=names).at(root)])
        if fitting:
            return fitting[0]
    raise DataFaultsError([broken("layout-unknown", known=", ".join(known)).at(root)])


def listed_images(source: Path, layout: Layout, settings: BuildSettings | None = None) -> list[SourceImage]:
    """Return what a layout finds in a folder, sorted by path.

    Raises:
        DataFaultsError: nothing, one file twice, one mask of two images, or a fault that the layout found.
        ConfigError: a setting is given that is for other layouts.
    """
    names = getattr(layout, "OPTIONS", ())
    given = {name: getattr(settings, name) for name in ASKED if getattr(settings, name, None) is not None}
    if unused := [name for name in given if name not in names]:
        raise ConfigError(f"--{unused[0]}: the layout '{layout.NAME}' has no use for it; leave it out")
    read: Callable[..., Iterator[SourceImage]] = layout.read
    listed = sorted(read(source.resolve(), **given), key=lambda image: image.image)
    if not listed:
        raise DataFaultsError([broken("source-empty", name=layout.NAME, shape=layout.SHAPE).at(source)])
    twice = _twice(source.resolve(), [image.image for image in listed])
    if faults := [broken("image-twice", path=path).at(source) for path in twice] or _masks_used_twice(source, listed):
        raise DataFaultsError(faults)
    return listed


def _twice(root: Path, paths: Sequence[Path]) -> list[Path]:
    """Return the paths that are one file with an earlier one, by names that differ at most in case or in how accents are stored."""
    alike: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        alike[unicodedata.normalize("NFC", path.as_posix()).casefold()].append(path)
    return [
        path
        for first, *others in alike.values()
        for path in dict.fromkeys(others)
        if path == first
        or ((root / path).is_file() and (root / first).is_file() and (root / path).samefile(root / first))
    ]


def _masks_used_twice(source: Path, listed: list[SourceImage]) -> list[Fault]:
    """Return a fault for each mask that two images have, and for each that is an image itself."""
    images = {image.image for image in listed}
    owners: dict[Path, Path] = {}
    faults = []
    for image in listed:
        for mask in image.masks:
            if owners.setdefault(mask, image.image) != image.image:
                faults.append(broken("mask-of-two", first=owners[mask], second=image.image).at(source / mask))
            if mask in images:
                faults.append(broken("mask-is-image", path=mask).at(source / mask))
    return faults
