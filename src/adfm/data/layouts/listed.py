"""Lists that name every image of a set: what they may say, and where their images are."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from adfm.data.faults import DataFaultsError, Fault, broken
from adfm.data.layouts.names import SPLIT_IN_PATH, SPLIT_NAMES
from adfm.data.layouts.walk import SourceImage, image_files, truth
from adfm.geometry import Box
from adfm.records import Label, Split

Row = dict[str, Any]

_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
_HEAD_BYTES = 65_536  # enough to see what a list is
_MAX_ENDS = 8  # folders of an address that the set may have too
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SEPARATORS = ",;\t|"
_PLAIN = re.compile(r"[\W_]+")
# What is no name of a class. With "yes" it depends on the question, which no list says.
_UNDECIDED = frozenset(
    {"na", "nan", "none", "null", "nil", "unknown", "unsure", "uncertain", "unclear", "undecided", "undefined"}
    | {"ambiguous", "maybe", "perhaps", "possible", "probably", "doubtful", "borderline", "notsure", "unlabeled"}
    | {"unlabelled", "unclassified", "unchecked", "todo", "tbd", "pending", "review", "skip", "skipped", "ignore"}
    | {"ignored", "yes", "no", "y", "n", "t", "f", "positive", "negative", "pos", "neg", "background", "void"}
)
_FLAGS = {"normal": ("0", "false"), "defect": ("1", "true")}


def list_files(root: Path, names: str, beginning: re.Pattern[bytes]) -> list[Path]:
    """Return the files of such names in a folder or one level below whose first bytes fit, even if the rest is damaged.

    Hidden files, and links that lead out of the folder, are left out.
    """
    fitting = []
    for path in sorted(path for pattern in (names, f"*/{names}") for path in root.glob(pattern) if path.is_file()):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if not hidden and path.resolve().is_relative_to(root.resolve()):
            with suppress(OSError), path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
                encoding = "utf-16" if head.startswith(_UTF_16) else "utf-8-sig"
                fitting += [path] if beginning.search(head.decode(encoding, "ignore").encode()) else []
    return fitting


def recogniser(beginning: re.Pattern[bytes]) -> Callable[[Path], str | None]:
    """Return the `recognise` of a layout of JSON lists that begin so: the names of the lists, or None."""
    return lambda root: ", ".join(file.name for file in list_files(root, "*.json", beginning)) or None


def read_list(file: Path) -> Any:
    """Return the content of a list: the document of a .json file, or the rows of a .jsonl or .csv file.

    A byte-order mark of UTF-8 is left out. The fields of a .csv row are texts. Its separator is the one of its first line.

    Raises:
        DataFaultsError: it cannot be read, or names a field of an object or a column twice.
    """
    try:
        content = file.read_bytes()
        if content.startswith(_UTF_16):
            raise ValueError("is UTF-16: save it as UTF-8")
        whole = content.decode("utf-8-sig")
        if file.suffix == ".csv":
            return _table(whole)
        return _lines(whole) if file.suffix == ".jsonl" else _document(whole)
    except OSError as error:
        raise _unreadable(file, error.strerror) from error
    except UnicodeDecodeError as error:
        raise _unreadable(file, f"is not UTF-8 text (byte {error.start})") from error
    except (ValueError, RecursionError, csv.Error) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, why: object) -> DataFaultsError:
    return DataFaultsError([broken("list-unreadable", why=why).at(file)])


def _once(names: Iterable[str], what: str) -> None:
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"names the {what} {twice[0]!r:.60} twice, and only one can count")


def _object(pairs: list[tuple[str, Any]]) -> Row:
    _once((name for name, _ in pairs), "field")
    return dict(pairs)


def _document(whole: str) -> Any:
    try:
        return json.loads(whole, object_pairs_hook=_object)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"is not valid JSON: {error}") from error


def _lines(whole: str) -> list[Row]:
    """Read JSON lines, whose names are the columns of a table: in lower case, without blanks around them."""
    rows = []
    for number, line in enumerate(whole.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = _document(line)
        except ValueError as error:
            raise ValueError(f"{number}: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"{number}: must be a JSON object, is {type(row).__name__}")
        rows.append(_object([(name.strip().lower(), value) for name, value in row.items()]))
    return rows


def _table(whole: str) -> list[Row]:
    """Read a table with the separator that divides its first line into the most columns."""
    first = next((line for line in whole.splitlines() if line.strip()), "")
    columns = [next(csv.reader([first], delimiter=separator), []) for separator in _SEPARATORS]
    separator = _SEPARATORS[max(range(len(columns)), key=lambda index: len(columns[index]))]
    lines = csv.reader(StringIO(whole, newline=""), delimiter=separator)
    head = [name.strip().lower() for name in next((line for line in lines if line), [])]
    _once(filter(None, head), "column")
    rows = []
    for fields in filter(None, lines):
        if len(fields) != len(head):
            raise ValueError(f"line {lines.line_num} has {len(fields)} fields, its first line {len(head)}")
        rows.append(dict(zip(head, fields, strict=True)))
    return rows


def wrong_shape(file: Path, why: str) -> DataFaultsError:
    """Return the error of a list that does not have the shape of its format."""
    return DataFaultsError([broken("list-shape", why=why).at(file)])


class Faults:
    """Gathers every fault of a set's lists, so that one pass names them all."""

    def __init__(self) -> None:
        self.found: list[Fault] = []

    @contextmanager
    def caught(self, file: Path, entry: str) -> Iterator[None]:
        """Keep the faults of one entry of a list and go on behind it; a `ValueError` says what is wrong with the entry."""
        try:
            yield
        except DataFaultsError as error:
            self.found += error.faults
        except (ValueError, RecursionError) as error:
            self.found.append(broken("list-entry", entry=entry, why=error).at(file))


@contextmanager
def gathered() -> Iterator[Faults]:
    """Raise what was gathered, at the end.

    Raises:
        DataFaultsError: there are faults.
    """
    yield (faults := Faults())
    if faults.found:
        raise DataFaultsError(faults.found)


def split_in(path: Path) -> Split | None:
    """Return the split that a relative path names last (`train/...`, `instances_val2017.json`), or None."""
    names = SPLIT_IN_PATH.findall(path.as_posix().lower())
    return SPLIT_NAMES[names[-1]] if names else None


def split_of(row: Row, path: Path) -> Split | None:
    """Return the split that an entry names in `split` or `subset`, else the one of its path; None where neither does.

    Raises:
        ValueError: the entry names no split that is known, or another one than its path.
    """
    given = str(next(filter(None, (row.get(name) for name in ("split", "subset"))), "")).strip().lower()
    if given and given not in SPLIT_NAMES:
        raise ValueError(f"'{given:.60}' is no split (known: {', '.join(SPLIT_NAMES)})")
    named, own = SPLIT_NAMES.get(given), split_in(path)
    if named and own and named != own:
        raise ValueError(f"it says the split {named}, its path says {own}")
    return named or own


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
    """Yield (split, item) of `{split: [item, ...]}`; anything but a list under another key is left out.

    Raises:
        DataFaultsError: it is not of that shape, or a list is under a key that is no split.
    """
    if not isinstance(value, dict):
        raise wrong_shape(file, "must be an object of splits")
    for name in value:
        if split := SPLIT_NAMES.get(str(name).lower()):
            yield from ((split, row) for row in objects(file, value, name))
        elif isinstance(value[name], list):
            raise wrong_shape(file, f"'{name:.60}' is no split (known: {', '.join(SPLIT_NAMES)})")


def text(file: Path, row: Row, name: str) -> str:
    """Return a field that must be a text.

    Raises:
        DataFaultsError: it is not.
    """
    if not isinstance(row.get(name), str):
        raise DataFaultsError([broken("list-field", what=f"the text '{name}'").at(file)])
    return str(row[name])


def texts(value: Any) -> list[str]:
    """Return the texts in a list or an object, also those in lists inside it; none of anything else."""
    values = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [each for one in values for each in ([one] if isinstance(one, str) else texts(one))]


def identity(file: Path, row: Row, name: str) -> int | str:
    """Return a field that identifies something: a whole number or a text.

    Raises:
        DataFaultsError: it is neither.
    """
    value = row.get(name)
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise DataFaultsError([broken("list-field", what=f"the number or text '{name}'").at(file)])
    return value


def identified(file: Path, rows: Iterable[Row], what: str) -> dict[int | str, Row]:
    """Return rows by their `id`.

    Raises:
        DataFaultsError: an id is missing, or several rows have it.
    """
    pairs = [(identity(file, row, "id"), row) for row in rows]
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise DataFaultsError([broken("list-id-twice", what=what, id=f"{name!r:.60}").at(file) for name in twice])
    return dict(pairs)


def flag(row: Row, name: str) -> bool:
    """Return a field that is true (1) or false (0, null, missing).

    Raises:
        ValueError: it is anything else.
    """
    value = row.get(name)
    if value not in (None, False, True):
        raise ValueError(f"'{name}' must be true, false, 1 or 0, not {value!r:.60}")
    return bool(value)


def named_class(value: Any) -> str:
    """Return the class that a truth value names: `normal` for 0 and false, `defect` for 1 and true, else its text.

    Numbers may be written in any way (0.0, "1.0").

    Raises:
        ValueError: it is another number, which could be any class, or it says nothing ("", NaN, "unknown").
    """
    plain = str(value).strip() if isinstance(value, str | int | float) else ""
    with suppress(ValueError, OverflowError):
        plain = f"{float(plain):g}"
    word = _PLAIN.sub("", plain.lower())
    if known := next((name for name, flags in _FLAGS.items() if plain.lower() in flags), None):
        return known
    if not word or word.isdigit() or word in _UNDECIDED or _is_number(plain):
        raise ValueError(f"{value!r:.60} does not say whether it is normal: use 0, 1 or the name of a class")
    return plain


def shape_class(name: str) -> str:
    """Return the class of something drawn, which may be nameless or a number.

    Raises:
        ValueError: it says that the place is not judged.
    """
    if (word := _PLAIN.sub("", name.lower())) in _UNDECIDED:
        raise ValueError(f"its class {name!r:.60} does not say whether it is a defect")
    return name.strip() if word else ""


def _is_number(plain: str) -> bool:
    with suppress(ValueError):
        float(plain.replace(",", "."))
        return True
    return False


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


def inside(root: Path, file: Path, name: str) -> Path:
    """Return a listed path, relative to the root.

    Raises:
        DataFaultsError: it is absolute, leads out of the root, or cannot be a path.
    """
    try:
        whole, path = root.resolve(), (root / name.replace("\\", "/")).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a ring, a null character
        raise DataFaultsError([broken("path-text", path=name).at(file)]) from error
    if not path.is_relative_to(whole):
        raise DataFaultsError([broken("path-outside", path=name).at(file)])
    return path.relative_to(whole)


def spellings(name: str) -> Iterable[str]:
    """Return a name as it is, and with its accents composed and apart, as other systems store it."""
    return dict.fromkeys((name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))))


def locate(root: Path, file: Path, names: Iterable[str], folders: Sequence[str] = ("",)) -> Path:
    """Return the path of a listed image, relative to the root: the first of its names that some folder has.

    Beside the list comes first. Then folders are tried in the list's own folder and in those above it up to the root. An
    image that is nowhere gets its first possible path.

    Raises:
        DataFaultsError: a name leads out of the root, or fits several files.
    """
    bases = file.relative_to(root).parents
    spelt = list(chain.from_iterable(map(spellings, names)))
    for name in spelt:
        beside, *ways = (str(base / folder / name) for folder in ("", *folders) for base in bases)
        found = _found(root, file, [beside]) or _found(root, file, ways)
        if len(found) > 1:
            places = " and ".join(way.as_posix() for way in found)
            raise DataFaultsError([broken("list-path-ambiguous", name=name, places=places).at(file)])
        if found:
            return found[0]
    return inside(root, file, str(bases[0] / spelt[0]))


def _found(root: Path, file: Path, ways: Iterable[str]) -> list[Path]:
    """Return the files among listed paths; only what is there is followed through links, which takes long."""
    plain = (way.replace("\\", "/") for way in ways)
    there = (way for way in plain if ".." in way or "\0" in way or way.startswith("/") or is_file(root / way))
    found = dict.fromkeys(inside(root, file, way) for way in there)
    return [way for way in found if is_file(root / way)]


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


def is_file(path: Path) -> bool:
    """Whether a path is a file; a name that no file can have is not."""
    return _exists(path, Path.is_file)


def _exists(path: Path, fits: Callable[[Path], bool]) -> bool:
    try:
        return fits(path)
    except (OSError, ValueError):  # a name that is too long
        return False


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
    if mask and _exists(
        root / mask, Path.is_dir
    ):  # another folder is that of all masks, and says nothing about the image
        masks = tuple(path.relative_to(root) for path in image_files(root / mask) if mask.name == image.stem)
    elif mask and (defect or is_file(root / mask)):
        masks = (mask,)
    return SourceImage(image, "anomalous" if defect else "normal", category, defect, masks, split)
