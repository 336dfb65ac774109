"""Writes files atomically, reads JSON and JSON lines, and hashes: a reader never sees half a file."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, TextIO

from adfm.errors import DataError, UserError, WriteError

NOT_REGULAR = "is not a regular file"
STAGING = ".adfm-part"
"""How the names of files and folders end that are being written. A kill leaves them, the next start removes them."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to a sibling, flush it to the disk and rename it over `path`.

    Raises:
        WriteError: there is no room, no right or no such place; what was at `path` is untouched.
    """
    with writing(path, len(content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _staged(path) as handle:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
            _publish(staging_of(path), path, 0o666)


@contextmanager
def writing(path: Path, size: int | None = None) -> Iterator[None]:
    """Turn the system's refusal to write `path` into one line that names it, and how many bytes it needs.

    Raises:
        WriteError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        need = "" if size is None else f"; it needs {size:,} bytes"
        raise WriteError(
            f"{path}: cannot be written ({error.strerror or error}){need}; make room there or give another place"
        ) from error


def staging_of(path: Path) -> Path:
    """Return the sibling in which `path` is prepared. Its name is short, however long that of `path` is."""
    return path.with_name(f".{sha256_bytes(os.fsencode(path.name))[:16]}{STAGING}")


@contextmanager
def _staged(path: Path) -> Iterator[int]:
    """Yield the handle of an empty staging file. What a killed writer left there is cut, a live writer is waited for."""
    staged = staging_of(path)
    while True:
        handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            lock(handle, wait=True)
            if not _is_at(handle, staged):
                continue  # the writer that was waited for has renamed it
            try:
                os.ftruncate(handle, 0)
                yield handle
            except BaseException:
                staged.unlink(missing_ok=True)
                raise
            return
        finally:
            os.close(handle)


def lock(handle: int, *, wait: bool = False) -> bool:
    """Lock an open file or folder until its handle is closed or its process dies. Return whether it is ours.

    Where the file system knows no locks, it is.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF):
            raise
    return True


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file or folder is still what is at `path`."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


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
    return _parsed(_text(path), str(path))


def read_jsonl(path: Path, *, torn_tail: bool = False) -> list[dict[str, Any]]:
    """Read JSON lines; with `torn_tail` a last line without a newline (a killed writer) is left out.

    Raises:
        DataError: the file is missing, or a line is not a JSON object.
    """
    rows = []
    for number, line in enumerate(_text(path, torn_tail=torn_tail).split("\n"), 1):
        if line.strip():
            row = _parsed(line, f"{path}:{number}")
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}: must be a JSON object, is {type(row).__name__}")
            rows.append(row)
    return rows


@contextmanager
def regular_file(path: Path) -> Iterator[BufferedReader]:
    """Open a file that a user named. A pipe, a socket, a device or a folder is refused before it can block.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    _require_regular(path.stat(), path)
    # The name may mean something else by now, so the open file is looked at too, and opening it cannot block.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        _require_regular(os.fstat(file.fileno()), path)
        yield file


def _require_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, NOT_REGULAR, str(path))


def read_file(path: Path) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        OSError: as `regular_file`.
    """
    with regular_file(path) as file:
        return file.read()


def _text(path: Path, *, torn_tail: bool = False) -> str:
    """Read UTF-8 text, with `torn_tail` up to the last newline."""
    try:
        content = read_file(path)
        return (content[: content.rfind(b"\n") + 1] if torn_tail else content).decode()
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
        self.path = path
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not fresh and path.exists():
                content = read_file(path)
                write_bytes(path, content[: content.rfind(b"\n") + 1])
            self._file: TextIO = path.open("w" if fresh else "a", encoding="utf-8", errors="replace")

    def append(self, row: dict[str, Any]) -> None:
        """Append one row and hand it to the operating system.

        Raises:
            WriteError: there is no room. Part of the row may stand in the file, as after a kill.
        """
        line = encode_line(row)
        with writing(self.path, len(line.encode(errors="replace"))):
            self._file.write(line)
            self._file.flush()

    def sync(self) -> None:
        """Flush every row to the disk, so that it survives a power cut."""
        with writing(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush to the disk and close."""
        self.sync()
        self._file.close()


def sha256_bytes(content: bytes) -> str:
    """Return the hexadecimal SHA-256 of `content`."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in pieces."""
    with regular_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_tree(folder: Path) -> str:
    """Return the hexadecimal SHA-256 of every file below `folder`, by name and content. Links to folders are not followed."""
    paths = [Path(directory) / name for directory, _, names in os.walk(folder) for name in names]
    lines = [f"{path.relative_to(folder).as_posix()} {sha256_file(path)}" for path in sorted(paths) if path.is_file()]
    return sha256_bytes(os.fsencode("\n".join(lines)))


@contextmanager
def published_folder(target: Path) -> Iterator[Path]:
    """Yield a sibling folder to fill; on success it becomes `target`, on failure nothing is left.

    Raises:
        UserError: `target` exists and is not an empty folder, or another process is filling it.
        WriteError: a file cannot be written.
    """
    require_new_folder(target)
    staging = staging_of(target)
    with writing(target):
        staging.mkdir(parents=True, exist_ok=True)
        handle = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if not lock(handle) or not _is_at(handle, staging):
            raise UserError(f"{target}: another process is making it; wait for that one or give another --out folder")
        try:
            with writing(target):
                for left in staging.iterdir():
                    _remove(left)
                yield staging
                sync_tree(staging)
                require_new_folder(target)
                _publish(staging, target, 0o777)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def remove_leftovers(folder: Path) -> None:
    """Remove below `folder` what killed writers left. What a live writer holds stays, and so does what is not ours."""
    for directory, folders, names in os.walk(folder):
        for name in [name for name in (*folders, *names) if name.startswith(".") and name.endswith(STAGING)]:
            path = Path(directory) / name
            with suppress(OSError):
                handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    if lock(handle):
                        _remove(path)
                finally:
                    os.close(handle)
        folders[:] = [name for name in folders if not name.endswith(STAGING)]


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
