"""Pairs masks with images by name, and accounts for every image: what fits none, or two, is a fault."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from adfm.data.faults import DataFaultsError, Fault, broken
from adfm.data.layouts import names
from adfm.data.layouts.walk import Mask, SourceImage, Tree

Folders = tuple[str, ...]


def finished(
    tree: Tree, parts: Sequence[SourceImage], why: Mapping[Path, str] | None = None, faults: Sequence[Fault] = ()
) -> list[SourceImage]:
    """Return the parts that a layout found, each with its masks.

    `why` says of folders why their images are no parts; `faults` are what the layout itself found.

    Raises:
        DataFaultsError: an image or a mask of the tree is not used, or a name fits twice.
    """
    index = Index(parts)
    paired, of_masks = _paired(tree, index)
    of_parts = [*_unread(tree, parts, why or {}), *unsplit(tree.root, parts), *index.twice(tree.root)]
    if found := [*tree.faults, *faults, *of_parts, *of_masks]:
        raise DataFaultsError(found)
    return paired


def key(folders: Iterable[str]) -> Folders:
    """Return folders for comparison with others: levels that say nothing are left out, words of one meaning are equal."""
    return tuple(word for word in map(names.canonical, folders) if word not in (":level", ":mask"))


class Index:
    """Images by the end of their names: by stem, and by last folder and stem."""

    def __init__(self, parts: Sequence[SourceImage]) -> None:
        self.parts = parts
        keys: dict[Path, Folders] = {}  # of each folder once
        self._places: list[tuple[Folders, str]] = []
        self._ends: dict[Folders, list[int]] = defaultdict(list)
        for number, part in enumerate(parts):
            folder, stem = part.image.parent, names.plain_stem(part.image.name)
            folders = keys.setdefault(folder, key(folder.parts)) if folder not in keys else keys[folder]
            self._places.append((folders, stem))
            for end in ((stem,), (*folders[-1:], stem)) if folders else ((stem,),):
                self._ends[end].append(number)

    def twice(self, root: Path) -> list[Fault]:
        """Return a fault for each image that has the name of another one, in its folder or in the one above.

        Suffixes do not count. The second of two is often a mask.
        """
        first: dict[tuple[Folders, str], Path] = {}
        for part, place in zip(self.parts, self._places, strict=True):
            first.setdefault(place, part.image)
        faults = []
        for part, (folders, stem) in zip(self.parts, self._places, strict=True):
            others = (first[folders, stem], first.get((folders[:-1], stem), part.image))
            if other := next((other for other in others if other != part.image), None):
                faults.append(broken("name-twice", other=other).at(root / part.image))
        return faults

    def fitting(self, above: Folders, tail: Folders, stem: str) -> list[int]:
        """Return the images of a mask: those whose whole name it repeats, else whose end, else some of whose folders."""
        near = self._ranked((*(*above, *tail)[-1:], stem), above, tail)
        if near and min(near) <= (1 if tail else 0):  # all of this rank are in folders of this name
            return near[min(near)]
        ranks = self._ranked((stem,), above, tail)
        return ranks[min(ranks)] if ranks else []

    def _ranked(self, end: Folders, above: Folders, tail: Folders) -> dict[int, list[int]]:
        ranks: dict[int, list[int]] = defaultdict(list)
        for number in self._ends.get(end, ()):
            folders, _ = self._places[number]
            rest = folders[len(above) :]
            names_left = iter(rest)
            if folders[: len(above)] == above and all(name in names_left for name in tail):  # in this order
                ranks[0 if rest == tail else 1 if rest[len(rest) - len(tail) :] == tail else 2].append(number)
        return ranks

    def one_of(self, found: Sequence[int]) -> list[int]:
        """Return those whose mask it rather is: a defective part's, else a test part's."""
        for likely in (
            [number for number in found if self.parts[number].label != "normal"],
            [number for number in found if self.parts[number].split == "test"],
        ):
            if likely:
                return likely
        return list(found)

    def same(self, found: Sequence[int]) -> bool:
        """Whether images differ by their suffix alone."""
        return len({self._places[number] for number in found}) == 1


def _paired(tree: Tree, index: Index) -> tuple[list[SourceImage], list[Fault]]:
    masks: dict[int, list[tuple[Mask, bool]]] = defaultdict(list)
    faults: list[Fault] = []
    for mask in tree.masks:
        found, single = _images(mask, index)
        chosen = index.one_of(found)
        if not found:
            faults.append(broken("mask-unpaired").at(tree.root / mask.path))
        elif len(chosen) == 1:
            masks[chosen[0]].append((mask, single))
        elif not index.same(chosen):  # else their common name is the fault
            faults.append(broken("mask-ambiguous", name=mask.stem).at(tree.root / mask.path))
    parts = []
    for number, part in enumerate(index.parts):
        own = tuple(mask.path for mask, _ in masks[number])
        faults += _masks_twice(tree.root, masks[number])
        parts.append(replace(part, masks=own))
    return parts, faults


def _images(mask: Mask, index: Index) -> tuple[list[int], bool]:
    """Return the images that a mask fits, and whether it is the only one of its image by its name.

    A mask may also be in a folder of its image's name (`ground_truth/broken/007/000.png`, as in MVTec LOCO).
    """
    above, tail = key(mask.above), key(mask.tail)
    owner = key([mask.owner]) if mask.owner else ()
    for own in dict.fromkeys((owner, ())):
        if found := index.fitting(above, (*own, *tail), mask.stem):
            return found, mask.single
        if mask.tail and (found := index.fitting(above, (*own, *key(mask.tail[:-1])), names.plain_stem(mask.tail[-1]))):
            return found, False
    return [], mask.single


def _masks_twice(root: Path, masks: Sequence[tuple[Mask, bool]]) -> list[Fault]:
    """Return a fault where two masks of an image have one name; numbers, or a folder of its name, make them several."""
    first: dict[object, Path] = {}
    alone = next((mask.path for mask, single in masks if single), None)
    faults = []
    for mask, single in masks:
        name = "single" if single else (mask.path.parent, names.plain_stem(mask.path.name))
        in_folder = mask.single and not single
        other = alone if alone and in_folder else first.setdefault(name, mask.path)
        if other != mask.path:
            faults.append(broken("mask-twice", other=other).at(root / mask.path))
    return faults


def _unread(tree: Tree, parts: Sequence[SourceImage], why: Mapping[Path, str]) -> list[Fault]:
    """Return a fault for each folder with images that are neither parts nor masks, or with parts in no known format."""
    used = {part.image for part in parts}
    left: dict[Path, list[str]] = defaultdict(list)
    for path in tree.images:
        if path not in used:
            left[path.parent].append(path.name)
    return [
        broken(
            "folder-unread", count=len(files), first=files[0], why=why.get(folder, "the layout has no such folder")
        ).at(tree.root / folder)
        for folder, files in left.items()
    ]


def unsplit(root: Path, parts: Sequence[SourceImage]) -> list[Fault]:
    """Return a fault where some parts have a split of their own and others have none."""
    without = [part for part in parts if part.split is None]
    if not without or len(without) == len(parts):
        return []
    return [broken("split-partial", count=len(without), first=without[0].image).at(root)]
