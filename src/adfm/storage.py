"""Writes files atomically, reads JSON and JSON lines, and hashes: a reader never sees half a file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from adfm.errors import DataError, UserError


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to a sibling, flush it to the disk and rename it over `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _publish(Path(name), path, 0o666)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _publish(staged: Path, target: Path, mode: int) -> None:
    """Rename a finished file or folder to `target`, as readable as any other: the staging was private."""
    umask = os.umask(0)
    os.umask(umask)
    staged.chmod(mode & ~umask)
    staged.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename in it survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write text atomically as UTF-8; a lone surrogate (half of a broken character) becomes a question mark."""
    write_bytes(path, text.encode("utf-8", errors="replace"))


def write_json(path: Path, value: Any) -> None:
    """Write one JSON document atomically; NaN and infinity are refused, because other readers refuse them."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a JSON-lines file atomically."""
    write_text(path, "".join(encode_line(row) for row in rows))


def encode_line(row: dict[str, Any]) -> str:
    """Return one JSON line, ending in a newline."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """Read one JSON document.

    Raises:
        DataError: the file is missing or is not JSON.
    """
    return _parsed(_text(path, "strict"), str(path))


def read_jsonl(path: Path, *, torn_tail: bool = False) -> list[dict[str, Any]]:
    """Read JSON lines; with `torn_tail` a last line without a newline (a killed writer) is left out.

    Raises:
        DataError: the file is missing, or a line is not a JSON object.
    """
    lines = _text(path, "replace" if torn_tail else "strict").split("\n")
    rows = []
    for number, line in enumerate(lines[:-1] if torn_tail else lines, 1):
        if line.strip():
            row = _parsed(line, f"{path}:{number}")
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}: must be a JSON object, is {type(row).__name__}")
            rows.append(row)
    return rows


def _text(path: Path, errors: str) -> str:
    """Read UTF-8 text; `errors` says what becomes of other bytes, as in `bytes.decode`."""
    try:
        return path.read_text(encoding="utf-8", errors=errors)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text (byte {error.start})") from error


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: is not valid JSON ({error})") from error


class Journal:
    """A JSON-lines file that grows while work goes on.

    Every line is flushed. `fresh` starts an empty file; otherwise the file is continued, without a torn last line.
    """

    def __init__(self, path: Path, *, fresh: bool = True) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        if not fresh and path.exists():
            content = path.read_bytes()
            write_bytes(path, content[: content.rfind(b"\n") + 1])
        self._file: TextIO = path.open("w" if fresh else "a", encoding="utf-8", errors="replace")

    def append(self, row: dict[str, Any]) -> None:
        """Append one row and hand it to the operating system."""
        self._file.write(encode_line(row))
        self._file.flush()

    def close(self) -> None:
        """Flush to the disk and close."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def sha256_bytes(content: bytes) -> str:
    """Return the hexadecimal SHA-256 of `content`."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def published_folder(target: Path) -> Iterator[Path]:
    """Yield a sibling folder to fill; on success it becomes `target`, on failure nothing is left.

    Raises:
        UserError: `target` exists and is not an empty folder.
    """
    require_new_folder(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    try:
        yield staging
        sync_tree(staging)
        _publish(staging, target, 0o777)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below `folder` to the disk."""
    for directory, _, names in os.walk(folder):
        for name in names:
            with (Path(directory) / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(directory))


def require_new_folder(folder: Path) -> None:
    """Refuse an output folder that already holds something.

    Raises:
        UserError: `folder` is a file, or a folder that is not empty.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; give another --out folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: is not empty; give another --out folder or remove this one")
