"""Lists that name every image of a set: what they may say, and where their images are."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from adfm.data.faults import DataFaultsError, broken
from adfm.data.layouts.names import SPLIT_IN_PATH, SPLIT_NAMES
from adfm.data.layouts.walk import SourceImage, truth
from adfm.errors import DataError
from adfm.geometry import Box
from adfm.records import Label, Split
from adfm.storage import read_json, read_jsonl

Row = dict[str, Any]

_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
_HEAD_BYTES = 65_536  # enough to see what a list is
_MAX_ENDS = 8  # folders of an address that the set may have too


def list_files(root: Path, names: str, beginning: re.Pattern[bytes]) -> list[Path]:
    """Return the files of such names in a folder or one level below whose first bytes fit, even if the rest is damaged.

    Hidden files, and links that lead out of the folder, are left out.
    """
    fitting = []
    for path in sorted(path for pattern in (names, f"*/{names}") for path in root.glob(pattern) if path.is_file()):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if not hidden and path.resolve().is_relative_to(root.resolve()):
            with suppress(OSError), path.open("rb") as file:
                fitting += [path] if beginning.search(file.read(_HEAD_BYTES)) else []
    return fitting


def recogniser(beginning: re.Pattern[bytes]) -> Callable[[Path], str | None]:
    """Return the `recognise` of a layout of JSON lists that begin so: the names of the lists, or None."""
    return lambda root: ", ".join(file.name for file in list_files(root, "*.json", beginning)) or None


def read_list(file: Path) -> Any:
    """Return the content of a list: the document of a .json file, or the rows of a .jsonl or .csv file.

    The fields of a .csv row are texts.

    Raises:
        DataFaultsError: it cannot be read.
    """
    try:
        if file.suffix == ".csv":
            return list(csv.DictReader(StringIO(file.read_text(encoding="utf-8-sig"), newline="")))
        return read_jsonl(file) if file.suffix == ".jsonl" else read_json(file)
    except (DataError, OSError, UnicodeDecodeError, csv.Error) as error:
        why = str(error).removeprefix(f"{file}:").lstrip()
        raise DataFaultsError([broken("list-unreadable", why=why).at(file)]) from error


def wrong_shape(file: Path, why: str) -> DataFaultsError:
    """Return the error of a list that does not have the shape of its format."""
    return DataFaultsError([broken("list-shape", why=why).at(file)])


def split_in(path: Path) -> Split | None:
    """Return the split that a relative path names last (`train/...`, `instances_val2017.json`), or None."""
    names = SPLIT_IN_PATH.findall(path.as_posix().lower())
    return SPLIT_NAMES[names[-1]] if names else None


def objects(file: Path, value: Any, name: str) -> list[Row]:
    """Return the list of objects under a name of an object.

    Raises:
        DataFaultsError: it is anything else.
    """
    rows = value.get(name) if isinstance(value, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise wrong_shape(file, f"'{name}' must be a list of objects")
    return rows


def items(file: Path, value: Any) -> Iterator[tuple[Split, Row]]:
    """Yield (split, item) of `{split: [item, ...]}`; keys that are no split are ignored.

    Raises:
        DataFaultsError: it is not of that shape.
    """
    if not isinstance(value, dict):
        raise wrong_shape(file, "must be an object of splits")
    for name in value:
        if split := SPLIT_NAMES.get(str(name).lower()):
            yield from ((split, row) for row in objects(file, value, name))


def text(file: Path, row: Row, name: str) -> str:
    """Return a field that must be a text.

    Raises:
        DataFaultsError: it is not.
    """
    if not isinstance(row.get(name), str):
        raise DataFaultsError([broken("list-field", what=f"the text '{name}'").at(file)])
    return str(row[name])


def texts(value: Any) -> list[str]:
    """Return the texts among the values of a list or an object; none of anything else."""
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for text in values if isinstance(text, str)]


def identity(file: Path, row: Row, name: str) -> int | str:
    """Return a field that identifies something: a whole number or a text.

    Raises:
        DataFaultsError: it is neither.
    """
    value = row.get(name)
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise DataFaultsError([broken("list-field", what=f"the number or text '{name}'").at(file)])
    return value


def sides(row: Row, width: str, height: str) -> tuple[int, int] | None:
    """Return the (width, height) in pixels that a row gives for its image, or None where it gives none."""
    first, second = row.get(width), row.get(height)
    return (first, second) if isinstance(first, int) and isinstance(second, int) else None


def inside(root: Path, file: Path, name: str) -> Path:
    """Return a listed path, relative to the root.

    Raises:
        DataFaultsError: it is absolute, leads out of the root, or cannot be a path.
    """
    try:
        path = (root / name.replace("\\", "/")).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a ring, a null character
        raise DataFaultsError([broken("path-text", path=name).at(file)]) from error
    if not path.is_relative_to(root.resolve()):
        raise DataFaultsError([broken("path-outside", path=name).at(file)])
    return path.relative_to(root.resolve())


def locate(root: Path, file: Path, names: Iterable[str], folders: Iterable[str]) -> Path:
    """Return the path of a listed image, relative to the root: the first of its names in the first folder that has it.

    Folders are tried in the list's own folder, then in those above it up to the root. An image that is nowhere gets its
    first possible path.

    Raises:
        DataFaultsError: a name leads out of the root.
    """
    bases = file.relative_to(root).parents
    ways = (inside(root, file, str(base / folder / name)) for name in names for base in bases for folder in folders)
    first = next(ways)
    return next((way for way in chain([first], ways) if _is_file(root / way)), first)


def address_names(address: str) -> list[str]:
    """Return the names that an image on a server may have in a folder: its path, the ends of that path, its bare name.

    Addresses of Label Studio are known: `?d=` holds the path of a local file, eight hex digits mark an upload.

    Raises:
        ValueError: it is no address.
    """
    parts = urlsplit(address)
    path = next(iter(parse_qs(parts.query).get("d", [])), unquote(parts.path)).replace("\\", "/").lstrip("/")
    names = path.split("/")
    shorter = ("/".join(names[start:]) for start in range(max(1, len(names) - _MAX_ENDS), len(names)))
    return [path, *shorter, _UPLOAD.sub("", names[-1])]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def annotated_image(
    image: Path,
    category: str,
    shapes: Sequence[tuple[str, Box]],
    split: Split | None,
    *,
    classes: Iterable[str] = (),
    size: tuple[int, int] | None = None,
    tight: bool = True,
) -> SourceImage:
    """Return an image with the shapes (defect type, box) drawn on it and the classes given to it; normal with neither.

    An image with several defect types has none.

    Raises:
        ValueError: it is normal and anomalous at once.
    """
    truths = {*(("anomalous", kind) for kind, _ in shapes), *map(truth, classes)}
    labels, kinds = {label for label, _ in truths}, {kind for _, kind in truths if kind}
    if len(labels) > 1:
        raise ValueError("it says both OK and that there is a defect")
    label: Label = "anomalous" if "anomalous" in labels else "normal"
    defect, boxes = kinds.pop() if len(kinds) == 1 else None, tuple(box for _, box in shapes)
    return SourceImage(image, label, category, defect, (), split, tight, boxes=boxes, size=size)


@contextmanager
def entry(file: Path, name: str) -> Iterator[None]:
    """Name the entry of a list in which a `ValueError` was raised.

    Raises:
        DataFaultsError: for a `ValueError`, or for values that are nested too deeply.
    """
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise DataFaultsError([broken("list-entry", entry=name, why=error).at(file)]) from error


def listed_image(
    root: Path, image: Path, category: str, defect: str | None, mask: Path | None, split: Split
) -> SourceImage:
    """Return a listed image; without a defect it is normal. A mask that is no file (some lists name folders) is none."""
    masks = (mask,) if defect and mask and _is_file(root / mask) else ()
    return SourceImage(image, "anomalous" if defect else "normal", category, defect, masks, split)
