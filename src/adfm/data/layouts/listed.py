"""Lists that name every picture, from wherever they come: what they may say, and where their pictures lie."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from adfm.data.layouts.found import Found, truth
from adfm.errors import DataError
from adfm.geometry import Box
from adfm.records import Label, Split
from adfm.storage import read_jsonl

Row = dict[str, Any]

_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
_HEAD = 65_536  # bytes that tell what a list is
_ENDS = 8  # folders of an address that may lie in the set
_SPLIT = re.compile(r"(?:^|[^a-z])(train|val|valid|validation|test)(?:[^a-z]|$)")
_NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
}
SPLITS = {name: split for split, names in _NAMES.items() for name in names}


def lists(root: Path, names: str, beginning: re.Pattern[bytes]) -> list[Path]:
    """Return the files of such names in a folder or in one below it that begin so, whatever is damaged behind it.

    Hidden files and links that lead out of the folder are left alone.
    """
    files = sorted(path for pattern in (names, f"*/{names}") for path in root.glob(pattern) if path.is_file())
    return [path for path in files if _is_own(root, path) and beginning.search(_head(path))]


def _is_own(root: Path, path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return not hidden and path.resolve().is_relative_to(root.resolve())


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def table(file: Path) -> list[Row]:
    """Return the rows of a .csv file, whose fields are texts, or of a .jsonl file.

    Raises:
        DataError: it cannot be read.
    """
    if file.suffix == ".jsonl":
        return read_jsonl(file)
    try:
        return list(csv.DictReader(StringIO(file.read_text(encoding="utf-8-sig"), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: cannot be read as a table ({error}); export it again") from error


def split_in(path: Path) -> Split | None:
    """Return the split that a relative path names last (`train/...`, `instances_val2017.json`), or None."""
    names = _SPLIT.findall(path.as_posix().lower())
    return SPLITS[names[-1]] if names else None


def objects(file: Path, value: Any, name: str) -> list[Row]:
    """Return the list of objects that a list holds under a name.

    Raises:
        DataError: it does not.
    """
    rows = value.get(name) if isinstance(value, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{file}: '{name}' must be a list of objects; export the list again")
    return rows


def items(file: Path, value: Any) -> Iterator[tuple[Split, Row]]:
    """Yield (split, item) of `{split: [item, ...]}`; keys that are no split are left alone.

    Raises:
        DataError: it is not of that shape.
    """
    if not isinstance(value, dict):
        raise DataError(f"{file}: must be an object of splits")
    for name, rows in value.items():
        if (split := SPLITS.get(str(name).lower())) is None:
            continue
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(f"{file}: '{name}' must be a list of objects")
        yield from ((split, row) for row in rows)


def text(file: Path, row: Row, name: str) -> str:
    """Return a field that must be a text.

    Raises:
        DataError: it is not.
    """
    if not isinstance(row.get(name), str):
        raise DataError(f"{file}: every item needs the text '{name}'")
    return str(row[name])


def texts(value: Any) -> list[str]:
    """Return the texts among the values of a list or an object; none of anything else."""
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [each for each in values if isinstance(each, str)]


def identity(file: Path, row: Row, name: str) -> int | str:
    """Return a field that names something: a whole number or a text.

    Raises:
        DataError: it is neither.
    """
    value = row.get(name)
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise DataError(f"{file}: every item needs the number or text '{name}'")
    return value


def sides(row: Row, width: str, height: str) -> tuple[int, int] | None:
    """Return what a row says of its picture's width and height, or None where it does not."""
    first, second = row.get(width), row.get(height)
    return (first, second) if isinstance(first, int) and isinstance(second, int) else None


def inside(root: Path, file: Path, name: str) -> Path:
    """Return a listed path, relative to the root.

    Raises:
        DataError: it is absolute or leads out of the root.
    """
    try:
        place = (root / name.replace("\\", "/")).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a ring, a null character
        raise DataError(f"{file}: {name!r:.200} cannot be a path ({error}); mend it") from error
    if not place.is_relative_to(root.resolve()):
        raise DataError(f"{file}: {name!r:.200} leads out of the set; list paths inside it")
    return place.relative_to(root.resolve())


def place(root: Path, file: Path, names: Iterable[str], folders: Iterable[str]) -> Path:
    """Return where a listed picture lies, relative to the root: the first of its names in the first folder that has it.

    Folders are seen from the list's own folder, then from those above it up to the root; without any the first is named.

    Raises:
        DataError: a name leads out of the root.
    """
    bases = file.relative_to(root).parents
    ways = (inside(root, file, str(base / folder / name)) for name in names for base in bases for folder in folders)
    first = next(ways)
    return next((way for way in chain([first], ways) if _is_file(root / way)), first)


def ends(address: str) -> list[str]:
    """Return what a picture on a server may be named in a folder of its own: its path, the ends of it, its bare name.

    Label Studio's addresses are known: `?d=` holds the path of a local file, eight hex digits mark an upload.

    Raises:
        ValueError: it is no address.
    """
    parts = urlsplit(address)
    path = next(iter(parse_qs(parts.query).get("d", [])), unquote(parts.path)).replace("\\", "/").lstrip("/")
    names = path.split("/")
    shorter = ("/".join(names[start:]) for start in range(max(1, len(names) - _ENDS), len(names)))
    return [path, *shorter, _UPLOAD.sub("", names[-1])]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def drawn_on(
    image: Path,
    category: str,
    shapes: Sequence[tuple[str, Box]],
    split: Split | None,
    *,
    said: Iterable[str] = (),
    size: tuple[int, int] | None = None,
    tight: bool = True,
) -> Found:
    """Return a picture with the shapes (kind, box) drawn on it and the classes said of it: with neither it is normal.

    Of several kinds of defect it has none.

    Raises:
        ValueError: it is normal and anomalous at once.
    """
    truths = {*(("anomalous", kind) for kind, _ in shapes), *map(truth, said)}
    labels, kinds = {label for label, _ in truths}, {kind for _, kind in truths if kind}
    if len(labels) > 1:
        raise ValueError("it says both OK and that there is a defect")
    label: Label = "anomalous" if "anomalous" in labels else "normal"
    defect, boxes = kinds.pop() if len(kinds) == 1 else None, tuple(box for _, box in shapes)
    return Found(image, label, category, defect, (), split, tight, boxes=boxes, size=size)


@contextmanager
def described(file: Path, what: str) -> Iterator[None]:
    """Turn what is wrong with a shape into one line.

    Raises:
        DataError: for a `ValueError`.
    """
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: {what}: {error}; mend or remove it") from error


def found(root: Path, image: Path, category: str, defect: str | None, masks: tuple[Path, ...], split: Split) -> Found:
    """Return a listed picture; without a defect it is normal. A mask that is no file (some lists name folders) is none."""
    kept = tuple(mask for mask in masks if _is_file(root / mask))
    return Found(image, "anomalous" if defect else "normal", category, defect, kept if defect else (), split)
