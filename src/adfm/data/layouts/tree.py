"""Reads a tree by what its folders' names say: category, split, OK or NG, type of defect; nothing is passed over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adfm.data.faults import Fault, broken
from adfm.data.layouts import names
from adfm.data.layouts.pairing import finished
from adfm.data.layouts.walk import SourceImage, Tree, folders, walk
from adfm.records import Label, Split

_DEPTH = 5  # of the folders that say what a tree holds

Splits = Mapping[str, Split]


@dataclass(frozen=True)
class Place:
    """What the names of the folders above an image say; `named` is False where only a type of defect says its label."""

    category: str | None
    split: Split | None
    label: Label
    defect: str | None
    named: bool


def place(parts: Sequence[str], splits: Splits) -> Place | str:
    """Return what the folders of an image say, or why they do not say enough.

    Args:
        parts: the names from the root down.
        splits: names of folders that are splits in this layout alone.
    """
    roles = ["split" if name in splits else names.role(name) for name in parts]
    labels = [role for role in roles if role in ("normal", "defective")]
    if len(set(labels)) > 1:
        return "its names say both OK and NG"
    split_at = [i for i, role in enumerate(roles) if role == "split"]
    if not labels and not split_at:
        return "no folder above says OK, NG or a split"
    # The category is before the first folder that says OK or NG, else before the last split; a defect type is after it.
    pivot = roles.index(labels[0]) if labels else split_at[-1]
    plain = [(i, name) for i, name in enumerate(parts) if roles[i] in ("name", "unclear")]
    before = list(dict.fromkeys(name for i, name in plain if i < pivot))  # archives nest a folder in itself
    after = [name for i, name in plain if i > pivot]
    last = parts[split_at[-1]] if split_at else ""
    split = splits.get(last) or names.split_of(last)
    if doubt := _doubt(before, after, split, bool(labels)):
        return doubt
    category = names.composed(before[0]) if before else None
    if "normal" in labels:
        return Place(category, split, "normal", None, True)
    return Place(category, split, "anomalous", names.composed(after[0]) if after else None, bool(labels))


def _doubt(before: list[str], after: list[str], split: Split | None, has_class: bool) -> str | None:
    """Return why names cannot be relied on, or None."""
    if len(before) > 1:
        return f"'{before[0]}' and '{before[1]}' cannot both be the category"
    if split is None and before and names.may_be_split(before[0]):
        return f"'{before[0]}' may be a split: name it train, validation or test"
    if maybe := next((name for name in (*before, *after) if names.doubt(name) == "masks"), None):
        return f"'{maybe}' may hold masks: name it masks"
    if has_class:
        return None
    if not after:
        return "no folder says OK or NG"
    meaning = names.doubt(after[0])
    return f"'{after[0]}' may mean {meaning}, so it is no type of defect" if meaning else None


def read(root: Path, splits: Splits | None = None) -> Iterator[SourceImage]:
    """Yield every part below a folder with its masks.

    Raises:
        DataFaultsError: an image or a mask whose names do not say what it is, or that fits twice.
    """
    tree = walk(root)
    places = {folder: place(folder.parts, splits or {}) for folder in {path.parent for path in tree.images}}
    known = {folder: found for folder, found in places.items() if isinstance(found, Place)}
    good = {found.category for found in known.values() if found.label == "normal"}
    why = {folder: found for folder, found in places.items() if isinstance(found, str)}
    for folder, found in list(known.items()):
        if not found.named and found.category not in good:
            why[folder] = "no folder beside it holds OK parts"
            del known[folder]
    parts = []
    for path in tree.images:
        if path.parent in known:
            own = known[path.parent]
            parts.append(SourceImage(path, own.label, own.category or root.resolve().name, own.defect, (), own.split))
    faults = [*_mixed(root, known), *_empty(tree, splits or {}, known.values())]
    yield from finished(tree, parts, why, faults)


def _mixed(root: Path, known: Mapping[Path, Place]) -> list[Fault]:
    """Return a fault for each category in a folder that is one category itself: it may be masks, or copies."""
    named = {found.category for found in known.values()} - {None}
    whole = any(found.category is None for found in known.values())
    return [broken("category-mixed", name=name).at(root) for name in sorted(map(str, named))] if whole else []


def _empty(tree: Tree, splits: Splits, read_: Iterable[Place]) -> list[Fault]:
    """Return a fault for each class whose folder holds files, but no image."""
    filled = set(read_)
    held = Counter(path.parent for path in tree.others if path.parent not in tree.mask_folders)
    places = {folder: place(folder.parts, splits) for folder in held}
    return [
        broken("class-empty", count=held[folder]).at(tree.root / folder)
        for folder, found in sorted(places.items())
        if isinstance(found, Place) and found not in filled
    ]


def classes(root: Path, splits: Splits | None = None) -> Iterator[tuple[Path, Place]]:
    """Yield the folders below a root whose names say OK or NG, relative to it, and what they say."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        for inner in folders(folder):
            parts = inner.relative_to(root).parts
            if names.left_out(inner.name) or names.role(inner.name) == "mask":
                continue
            found = place(parts, splits or {})
            if isinstance(found, Place) and found.named:
                yield inner.relative_to(root), found
            elif len(parts) < _DEPTH:
                waiting.append(inner)
