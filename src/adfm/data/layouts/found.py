"""What a layout finds, and the walking and the pairing of masks *by name* that layouts share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from adfm.geometry import Box
from adfm.images import is_image
from adfm.records import Label, Split

OK = frozenset({"ok", "good", "normal", "pass", "io"})
NG = frozenset({"ng", "nok", "bad", "defect", "defects", "anomaly", "anomalous", "ko", "fail", "nio"})
_PARTS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
_MASK_STEM = re.compile(r"(.+)_mask(?:[_-]?\d+)?")


class Saturation(NamedTuple):
    """What of a region counts in full (MVTec LOCO): a mask `code` and an area, as a share of the region or in pixels."""

    code: int
    threshold: float
    relative: bool

    def loose(self, area: int) -> bool:
        """Whether a region of that many pixels marks more places than the defect takes up."""
        return area > (self.threshold * area if self.relative else self.threshold)


@dataclass(frozen=True)
class Found:
    """A picture of a source folder; paths are relative to the source root; `split` is the layout's own, if it has one.

    `label` is None where the masks decide: a picture is anomalous if they mark something, and must have one.
    `masks` may name several pictures, whose foregrounds are united; empty means that no mask exists.
    `tight` is False where masks are known to mark more than the defect; with `saturations` each region's code decides.
    `boxes` are what annotators drew instead of masks, in original pixels of a picture of that `size` (width, height).
    `group` names what the layout knows to belong together (the pictures of one piece), which a split must not part.
    """

    image: Path
    label: Label | None
    category: str
    defect: str | None = None
    masks: tuple[Path, ...] = ()
    split: Split | None = None
    tight: bool = True
    saturations: tuple[Saturation, ...] = ()
    boxes: tuple[Box, ...] = ()
    size: tuple[int, int] | None = None
    group: str | None = None


def truth(name: str) -> tuple[Label, str | None]:
    """Return the label and the kind of defect that a class's name says; one that is no name of OK or NG is a kind."""
    plain = name.strip().lower()
    return ("normal", None) if plain in OK else ("anomalous", None if plain in NG else name.strip())


def folders(root: Path) -> list[Path]:
    """Return the visible sub-folders of a folder, sorted by name."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def pictures(folder: Path) -> list[Path]:
    """Return every visible picture below a folder, sorted; none if it is missing. Links to folders are not followed."""
    found: list[Path] = []
    for directory, names, files in os.walk(folder):
        names[:] = [name for name in names if not name.startswith(".")]
        found += [path for name in files if is_image(path := Path(directory) / name)]
    return sorted(found)


class Category(NamedTuple):
    """One kind of part: its name and its folder."""

    name: str
    folder: Path


def categories(root: Path, fits: Callable[[Path], bool]) -> list[Category]:
    """Return the root itself if it is one category, else its sub-folders that are; `train` or `test` is never one."""
    below = [root] if fits(root) else [f for f in folders(root) if f.name.lower() not in _PARTS and fits(f)]
    return [Category(folder.resolve().name, folder) for folder in below]


def recognised(found: Iterable[Category], what: str) -> str | None:
    """Say that `what` lies in the categories found; None where there are none."""
    names = ", ".join(each.name for each in found)
    return f"{what} in {names}" if names else None


class MaskIndex:
    """The masks below a folder, found by their relative name without suffix and without a `_mask` or `_mask_2` ending.

    A mask may also be a folder of that name which holds several (`ground_truth/broken/007/000.png`, as in MVTec LOCO).
    """

    def __init__(self, folder: Path) -> None:
        self._masks: dict[str, list[Path]] = {}
        for path in pictures(folder):
            relative = path.relative_to(folder).with_suffix("")
            plain = _MASK_STEM.fullmatch(relative.name)
            names = {relative, relative.parent, relative.with_name(plain[1]) if plain else relative}
            for name in names:
                self._masks.setdefault(name.as_posix(), []).append(path)

    def of(self, name: Path) -> list[Path]:
        """Return the masks of a relative picture name (a suffix is not part of it)."""
        return self._masks.get(name.as_posix(), [])


def relative(paths: Iterable[Path], root: Path) -> tuple[Path, ...]:
    """Return paths relative to the root."""
    return tuple(path.relative_to(root) for path in paths)


def parts_of(
    root: Path,
    folder: Path,
    category: str,
    label: Label,
    defect: str | None = None,
    *,
    masks: Path | None = None,
    split: Split | None = None,
) -> Iterator[Found]:
    """Yield every picture below a folder with that truth, and the masks that mirror its name below the folder `masks`."""
    index = MaskIndex(masks) if masks else None
    for path in pictures(folder):
        own = index.of(path.relative_to(folder).with_suffix("")) if index else ()
        yield Found(path.relative_to(root), label, category, defect, relative(own, root), split)
