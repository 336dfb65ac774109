"""BTAD: `train/ok`, `test/{ok,ko}`, `ground_truth/ko` in each of three products; .bmp and .png mixed, paired by stem."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adfm.data.layouts.found import Found, MaskIndex, categories, pictures, relative
from adfm.records import Split

NAME = "btad"
SHAPE = "train/ok, test/ok, test/ko, ground_truth/ko (one product or several)"
TERMS: str | None = "BTAD: not known here; see its publisher"

_SPLITS: dict[str, Split] = {"train": "train", "test": "test"}


def _is_category(folder: Path) -> bool:
    return (folder / "train" / "ok").is_dir() and (folder / "test" / "ko").is_dir()


def recognise(root: Path) -> str | None:
    """Say why a folder is BTAD, or None."""
    names = [folder.name for folder in categories(root, _is_category)]
    return f"train/ok and test/ko in {', '.join(names)}" if names else None


def read(root: Path) -> Iterator[Found]:
    """Yield the pictures of every product; a mask has its picture's stem, whatever the suffixes."""
    for category in categories(root, _is_category):
        name, masks = category.resolve().name, MaskIndex(category / "ground_truth" / "ko")
        for part, split in _SPLITS.items():
            ok, ko = category / part / "ok", category / part / "ko"
            yield from (Found(path.relative_to(root), "normal", name, split=split) for path in pictures(ok))
            for path in pictures(ko):
                found = relative(masks.of(path.relative_to(ko).with_suffix("")), root)
                yield Found(path.relative_to(root), "anomalous", name, "ko", found, split)
