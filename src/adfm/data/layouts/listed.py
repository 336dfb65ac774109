"""Lists that name every image of a set: how their files are read, what they refer to, and where their images are."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from adfm.data.faults import DataFaultsError, Fault, broken
from adfm.data.layouts.names import SPLIT_NAMES
from adfm.records import Split
from adfm.storage import read_file

Row = dict[str, Any]

_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
_LEVELS = 3  # below the root, where lists are looked for
_HEAD_BYTES = 65_536  # enough to see what a list is
_MAX_ENDS = 8  # folders of an address that the set may have too
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SEPARATORS = ",;\t|"


def list_files(root: Path, names: str, beginning: re.Pattern[bytes]) -> list[Path]:
    """Return the files of such names in a folder or up to three levels below whose first bytes fit, even if the rest is damaged.

    Hidden files, and links that lead out of the folder, are left out. A file counts once.
    """
    fitting, whole = [], root.resolve()
    patterns = (f"{'*/' * depth}{names}" for depth in range(_LEVELS + 1))
    found = [path for pattern in patterns for path in root.glob(pattern) if path.is_file()]
    found.sort(key=lambda path: path.resolve() == whole / path.relative_to(root))  # the last of one file stays: no link
    for real, path in {path.resolve(): path for path in found}.items():
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if not hidden and real.is_relative_to(whole):
            with suppress(OSError), path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
                encoding = "utf-16" if head.startswith(_UTF_16) else "utf-8-sig"
                fitting += [path] if beginning.search(head.decode(encoding, "ignore").encode()) else []
    return sorted(fitting)


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
        content = read_file(file)
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


def referring(
    file: Path, rows: Iterable[Row], name: str, known: Container[int | str], faults: Faults
) -> dict[int | str, list[Row]]:
    """Return rows by the id under `name`, which refers to an image; one that is not known is a fault."""
    found: dict[int | str, list[Row]] = defaultdict(list)
    for row in rows:
        with faults.caught(file, name):
            if (key := identity(file, row, name)) not in known:
                raise DataFaultsError([broken("list-image-unknown", id=f"{key!r:.60}").at(file)])
            found[key].append(row)
    return found


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
    return exists(path, Path.is_file)


def exists(path: Path, fits: Callable[[Path], bool]) -> bool:
    """Whether there is a path of that kind; a name that no file can have is not."""
    try:
        return fits(path)
    except (OSError, ValueError):  # a name that is too long
        return False
