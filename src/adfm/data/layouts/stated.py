"""What an entry of a list says about its image: label, defect type, size and split; what says nothing is a `ValueError`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from adfm.data.faults import DataFaultsError, broken
from adfm.data.layouts import names
from adfm.data.layouts.listed import Row, exists, is_file
from adfm.data.layouts.walk import SourceImage, image_files, truth
from adfm.geometry import Box
from adfm.records import Label, Split

_PLAIN = re.compile(r"[\W_]+")
_KNOWN = {"0": "normal", "false": "normal", "1": "defect", "true": "defect"}


def flag(row: Row, name: str) -> bool:
    """Return a field that is true (1) or false (0, null, missing).

    Raises:
        ValueError: it is anything else.
    """
    value = row.get(name)
    if value not in (None, False, True):
        raise ValueError(f"'{name}' must be true, false, 1 or 0, not {value!r:.60}")
    return bool(value)


def given_classes(row: Row, drawn: bool) -> list[str]:
    """Return the classes that an entry gives to its image as a whole: that of its `label`, if there is one.

    Raises:
        ValueError: it was removed, or nobody looked at it and nothing is drawn on it.
    """
    for name in ("annotated", "is_annotated", "labeled", "labelled", "reviewed"):
        if not drawn and row.get(name) is not None and not flag(row, name):
            raise ValueError(f"it is not '{name}', so nothing says that it is normal")
    if flag(row, "deleted"):
        raise ValueError("it is marked as deleted")
    return [] if row.get("label") is None else [named_class(row["label"])]


def named_class(value: Any) -> str:
    """Return the class that a truth value names: `normal` for 0 and false, `defect` for 1 and true, else its text.

    Numbers may be written in any way (0.0, "1,0").

    Raises:
        ValueError: it is another number, which could be any class, or it says nothing ("", NaN, "unknown").
    """
    plain = str(value).strip() if isinstance(value, str | int | float) else ""
    number = None
    with suppress(ValueError):
        number = f"{float(plain.replace(',', '.')):g}"
    if known := _KNOWN.get(number or plain.lower()):
        return known
    if number or not _PLAIN.sub("", plain) or not names.is_class(plain):
        raise ValueError(f"{value!r:.60} does not say whether it is normal: use 0, 1 or the name of a class")
    return plain


def shape_class(name: str) -> str:
    """Return the class of something drawn, which may be nameless or a number.

    Raises:
        ValueError: it does not say whether it is a defect.
    """
    if not names.is_class(name):
        raise ValueError(f"its class {name!r:.60} does not say whether it is a defect")
    return name.strip() if _PLAIN.sub("", name) else ""


def sides(row: Row, width: str, height: str) -> tuple[int, int] | None:
    """Return the (width, height) in pixels that a row gives for its image, or None where it gives none.

    Raises:
        ValueError: they are no whole numbers above 0.
    """
    given = [row.get(width), row.get(height)]
    if all(side in (None, "") for side in given):
        return None
    with suppress(ValueError, OverflowError):
        first, second = (float(side) if isinstance(side, str | int | float) else 0.0 for side in given)
        if first >= 1 and second >= 1 and first.is_integer() and second.is_integer():
            return int(first), int(second)
    raise ValueError(f"'{width}' and '{height}' must be whole numbers above 0, not {given!r:.60}")


def one_size(sizes: Iterable[tuple[int, int] | None]) -> tuple[int, int] | None:
    """Return the size that an entry gives, however often; None where it gives none.

    Raises:
        ValueError: it gives several.
    """
    known = sorted({size for size in sizes if size})
    if len(known) > 1:
        raise ValueError(f"it gives the sizes {' and '.join(f'{width} x {height}' for width, height in known)}")
    return known[0] if known else None


def split_in(path: Path) -> Split | None:
    """Return the split that a relative path names last (`train/...`, `instances_val2017.json`), or None."""
    found = names.SPLIT_IN_PATH.findall(path.as_posix().lower())
    return names.SPLIT_NAMES[found[-1]] if found else None


def split_of(row: Row, path: Path) -> Split | None:
    """Return the split that an entry names in `split` or `subset`, else the one of its path; None where neither does.

    Raises:
        ValueError: the entry names no split that is known, or another one than its path.
    """
    given = str(next(filter(None, (row.get(name) for name in ("split", "subset"))), "")).strip()
    named, own = names.split_of(given), split_in(path)
    if given and not named:
        raise ValueError(f"'{given:.60}' is no split (known: {', '.join(names.SPLIT_NAMES)})")
    if named and own and named != own:
        raise ValueError(f"it says the split {named}, its path says {own}")
    return named or own


def annotated_image(
    image: Path,
    category: str,
    shapes: Sequence[tuple[str, Box]],
    split: Split | None,
    *,
    classes: Iterable[str] = (),
    masks: tuple[Path, ...] = (),
    size: tuple[int, int] | None = None,
    tight: bool = True,
    doubts: tuple[str, ...] = (),
) -> SourceImage:
    """Return an image with the shapes (defect type, box) drawn on it and the classes given to it.

    A shape of a class named as OK is no defect. With masks alone, they decide the label; with nothing it is normal. An
    image with several defect types has none.

    Raises:
        ValueError: it is normal and anomalous at once.
    """
    judged = [(truth(kind) if kind else ("anomalous", None), box) for kind, box in shapes]
    truths = {*map(truth, classes), *(each for each, _ in judged if each[0] == "anomalous")}
    labels, kinds = {label for label, _ in truths}, {kind for _, kind in truths if kind}
    if len(labels) > 1:
        raise ValueError("it says both OK and that there is a defect")
    default: Label | None = None if masks and not shapes else "normal"
    label: Label | None = "anomalous" if "anomalous" in labels else "normal" if labels else default
    boxes = tuple(box for (each, _), box in judged if each == "anomalous")
    if len(boxes) < len(judged):
        doubts += ("a region of a class named as OK is no defect",)
    defect = kinds.pop() if len(kinds) == 1 else None
    return SourceImage(image, label, category, defect, masks, split, tight, boxes=boxes, size=size, doubts=doubts)


def require_normal(file: Path, images: Sequence[SourceImage]) -> None:
    """Refuse images that the name of a class alone makes anomalous where no image is normal: that class could be OK.

    Raises:
        DataFaultsError: there are such.
    """
    named = sorted({image.defect for image in images if image.defect and not image.boxes and not image.masks})
    if named and all(image.label == "anomalous" for image in images):
        raise DataFaultsError([broken("list-no-normal", names=", ".join(named)).at(file)])


def listed_image(
    root: Path, image: Path, category: str, defect: str | None, mask: Path | None, split: Split
) -> SourceImage:
    """Return a listed image; without a defect it is normal. A folder of the image's name holds several masks."""
    masks: tuple[Path, ...] = ()
    if mask and exists(
        root / mask, Path.is_dir
    ):  # any other folder is that of all masks, and says nothing about the image
        masks = tuple(path.relative_to(root) for path in image_files(root / mask) if mask.name == image.stem)
    elif mask and (defect or is_file(root / mask)):
        masks = (mask,)
    return SourceImage(image, "anomalous" if defect else "normal", category, defect, masks, split)
