"""What a layout yields for each image, and what layouts share: walking folders, where masks are never parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from adfm.data.faults import Fault, broken
from adfm.data.layouts import names
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
    if names.is_normal(name):
        return "normal", None
    return "anomalous", None if names.is_defective(name) else names.composed(name)


def hidden(name: str) -> bool:
    """Whether a file or folder is left by a system, not put there by its user."""
    return name.startswith(".") or name.lower() in names.NO_CONTENT


def folders(root: Path) -> list[Path]:
    """Return the visible sub-folders of a folder, sorted by name; links are none."""
    return sorted(path for path in root.iterdir() if not hidden(path.name) and path.is_dir() and not path.is_symlink())


def image_files(folder: Path) -> list[Path]:
    """Return the visible image files of a folder, sorted by name."""
    return sorted(path for path in folder.iterdir() if not hidden(path.name) and is_image(path) and path.is_file())


def below(folder: Path, *chain: str) -> bool:
    """Whether a chain of sub-folders of these names exists, in any case."""
    found = [folder]
    for name in chain:
        found = [inner for outer in found for inner in folders(outer) if names.folded(inner.name) == name]
    return bool(found)


class Category(NamedTuple):
    """One type of part: its name and its folder."""

    name: str
    folder: Path


def categories(root: Path, fits: Callable[[Path], bool]) -> list[Category]:
    """Return the root itself if it is one category, else its sub-folders that are; a split is never one."""
    found = [root] if fits(root) else [f for f in folders(root) if not names.split_of(f.name) and fits(f)]
    return [Category(folder.resolve().name, folder) for folder in found]


def recognised(fitting: Iterable[str], what: str) -> str | None:
    """Say that the categories hold `what`; None where there are no categories."""
    listed = ", ".join(dict.fromkeys(fitting))
    return f"{what} in {listed}" if listed else None


def recogniser(is_category: Callable[[Path], bool], what: str) -> Callable[[Path], str | None]:
    """Return the `recognise` of a layout whose categories are the folders that `is_category` accepts."""
    return lambda root: recognised([category.name for category in categories(root, is_category)], what)


@dataclass(frozen=True)
class Mask:
    """One mask and where its name puts it.

    Attributes:
        path: relative to the source.
        above: the folders above the mask folder, which hold the image too.
        tail: the folders below it, which the image's folders repeat.
        stem: the plain stem of its image.
        single: False where its name says that its image has several.
        owner: what the mask folder's own name says (`NG_masks`), or "".
    """

    path: Path
    above: tuple[str, ...]
    tail: tuple[str, ...]
    stem: str
    single: bool = True
    owner: str = ""


@dataclass(frozen=True)
class Tree:
    """Every image below a folder, relative to it and sorted: parts, masks apart; and what could not be read.

    `mask_folders` are the folders where every image is a mask.
    """

    root: Path
    images: tuple[Path, ...]
    masks: tuple[Mask, ...]
    others: tuple[Path, ...]
    mask_folders: frozenset[Path]
    faults: tuple[Fault, ...]


def walk(root: Path) -> Tree:
    """Walk a folder once. Images in mask folders, or with the name of a mask, are masks.

    Hidden files and folders that hold neither by agreement are left out.
    """
    tree = _Walk(root)
    for directory, inner, files in os.walk(root, onerror=tree.unreadable):
        tree.enter(Path(directory), inner, sorted(files))
    return Tree(
        root,
        tuple(sorted(tree.images)),
        tuple(sorted(tree.masks, key=lambda mask: mask.path)),
        tuple(sorted(tree.others)),
        frozenset(tree.inside),
        tuple(sorted(tree.faults, key=lambda fault: fault.file)),
    )


class _Walk:
    """What a walk has found so far."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images: list[Path] = []
        self.masks: list[Mask] = []
        self.others: list[Path] = []
        self.faults: list[Fault] = []
        # Of each folder below a mask folder: the folders above that one, those below it, and what its name says.
        self.inside: dict[Path, tuple[tuple[str, ...], tuple[str, ...], str]] = {}

    def unreadable(self, error: OSError) -> None:
        self.faults.append(broken("folder-unreadable", why=error.strerror).at(Path(error.filename)))

    def enter(self, folder: Path, inner: list[str], files: list[str]) -> None:
        """Sort the files of a folder, and leave in `inner` the folders to walk."""
        inner[:] = sorted(name for name in inner if not hidden(name) and not names.left_out(name))
        links = [name for name in inner if (folder / name).is_symlink()]
        self.faults += [broken("folder-link").at(folder / name) for name in links]
        inner[:] = [name for name in inner if name not in links]
        place = folder.relative_to(self.root)
        for name in inner:
            self._mark(place, name, inner)
        for name in (name for name in files if not hidden(name)):
            self._sort(place / name)

    def _mark(self, place: Path, name: str, beside: list[str]) -> None:
        """Remember that a folder is a mask folder, or is in one."""
        if place in self.inside:
            above, tail, owner = self.inside[place]
            self.inside[place / name] = above, (*tail, name), owner
        elif (owner_ := names.qualifier(name, beside)) is not None:
            self.inside[place / name] = place.parts, (), owner_

    def _sort(self, path: Path) -> None:
        if names.is_unread_picture(path):
            self.faults.append(broken("file-unread", path=path, suffix=path.suffix).at(self.root))
        elif not is_image(path):
            self.others.append(path)
        elif mask := self._mask(path):
            self.masks.append(mask)
        else:
            self.images.append(path)

    def _mask(self, path: Path) -> Mask | None:
        of = names.mask_stem(path.name)
        if path.parent in self.inside:
            above, tail, owner = self.inside[path.parent]
            stem, several = of or (names.plain_stem(path.name), False)
            return Mask(path, above, tail, stem, not several, owner)
        return Mask(path, path.parent.parts, (), of[0], not of[1]) if of else None
