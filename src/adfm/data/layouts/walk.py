"""What a layout yields for each image, and what layouts share: walking folders and pairing masks *by name*."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from adfm.data.layouts.names import DEFECTIVE, MASK_STEM, NORMAL, SPLIT_FOLDERS
from adfm.geometry import Box
from adfm.images import is_image
from adfm.records import Label, Split


class Saturation(NamedTuple):
    """From which area on a region of a mask counts as found in full (MVTec LOCO).

    `code` is the region's value in the mask; `threshold` is in pixels, or a share of the region where `relative`.
    """

    code: int
    threshold: float
    relative: bool


@dataclass(frozen=True)
class SourceImage:
    """One image of a source folder and what its layout says about it; every path is relative to the source.

    Attributes:
        label: None where the masks decide. The image then needs one, and is anomalous if they mark something.
        masks: files whose foregrounds are united; empty where no mask exists.
        split: the layout's own split, None where it has none.
        tight: False where masks are known to mark more than the defect.
        saturations: what decides `tight` for each region, by the region's code.
        boxes: what annotators drew instead of masks, in original pixels.
        size: (width, height) of the image that `boxes` refer to, where the layout gives it.
        group: what must stay on one side of a split, such as all images of one piece.
        doubts: what its layout did not use, or took by a rule; the meta file repeats it.
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
    doubts: tuple[str, ...] = ()

    def loose(self, code: int, area: int) -> bool:
        """Whether a region of that code and area (px) marks more places than the defect takes up; so for unknown codes."""
        limits = {known.code: known.threshold * (area if known.relative else 1) for known in self.saturations}
        return area > limits.get(code, 0)


def truth(name: str) -> tuple[Label, str | None]:
    """Return the label and the defect type that the name of a class stands for; an unknown name is a defect type."""
    plain = name.strip().lower()
    return ("normal", None) if plain in NORMAL else ("anomalous", None if plain in DEFECTIVE else name.strip())


def folders(root: Path) -> list[Path]:
    """Return the visible sub-folders of a folder, sorted by name."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def image_files(folder: Path) -> list[Path]:
    """Return every visible image below a folder, sorted; none if it is missing. Links to folders are not followed."""
    files: list[Path] = []
    for directory, below, names in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        files += [path for name in names if is_image(path := Path(directory) / name)]
    return sorted(files)


class Category(NamedTuple):
    """One type of part: its name and its folder."""

    name: str
    folder: Path


def categories(root: Path, fits: Callable[[Path], bool]) -> list[Category]:
    """Return the root itself if it is one category, else its sub-folders that are; `train` or `test` is never one."""
    below = [root] if fits(root) else [f for f in folders(root) if f.name.lower() not in SPLIT_FOLDERS and fits(f)]
    return [Category(folder.resolve().name, folder) for folder in below]


def recognised(fitting: Iterable[Category], what: str) -> str | None:
    """Say that the categories hold `what`; None where there are no categories."""
    names = ", ".join(category.name for category in fitting)
    return f"{what} in {names}" if names else None


def recogniser(is_category: Callable[[Path], bool], what: str) -> Callable[[Path], str | None]:
    """Return the `recognise` of a layout whose categories are the folders that `is_category` accepts."""
    return lambda root: recognised(categories(root, is_category), what)


class MaskIndex:
    """The masks below a folder, by their relative name without suffix and without a `_mask` or `_mask_2` ending.

    A mask may also be a folder of that name which holds several (`ground_truth/broken/007/000.png`, as in MVTec LOCO).
    """

    def __init__(self, folder: Path) -> None:
        self._masks: dict[str, list[Path]] = {}
        for path in image_files(folder):
            relative = path.relative_to(folder).with_suffix("")
            plain = MASK_STEM.fullmatch(relative.name)
            names = {relative, relative.parent, relative.with_name(plain[1]) if plain else relative}
            for name in names:
                self._masks.setdefault(name.as_posix(), []).append(path)

    def of(self, name: Path) -> list[Path]:
        """Return the masks of an image, given its relative name without suffix."""
        return self._masks.get(name.as_posix(), [])


def images_of(
    root: Path,
    folder: Path,
    category: str,
    label: Label,
    defect: str | None = None,
    *,
    masks: Path | None = None,
    split: Split | None = None,
) -> Iterator[SourceImage]:
    """Yield every image below a folder with that truth, and the masks that mirror its name below the folder `masks`."""
    index = MaskIndex(masks) if masks else None
    for path in image_files(folder):
        own = index.of(path.relative_to(folder).with_suffix("")) if index else ()
        relative = tuple(mask.relative_to(root) for mask in own)
        yield SourceImage(path.relative_to(root), label, category, defect, relative, split)
