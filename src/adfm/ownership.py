"""Output folders: ours by a marker that we wrote, and one process at a time works in one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adfm.errors import UserError
from adfm.storage import lock, remove_leftovers, sync_folder, writing

MARKER = ".adfm"
"""The file in an output folder that says what the folder holds. Its lock is the lock of the folder."""
_held: set[int] = set()


@contextmanager
def owned_folder(folder: Path, holds: str) -> Iterator[None]:
    """Claim an output folder, remove what kills left in it, and keep other processes out until the block ends.

    A folder is ours if it is new, empty, or marked by us as one that holds the same. The lock ends with the process.

    Args:
        folder: the output folder; it is made where it is missing.
        holds: what it holds, in a few words that a message can quote, like `a training run`.

    Raises:
        UserError: it holds files of somebody else or other results of ours, or another process works in it.
        WriteError: it cannot be made.
    """
    require_claimable(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / MARKER, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    _held.add(handle)
    try:
        if not lock(handle):
            raise UserError(f"{folder}: another adfm process works in it; wait for that one or give another folder")
        _mark(handle, folder, holds)
        remove_leftovers(folder)
        yield
    finally:
        _held.discard(handle)
        os.close(handle)


def require_claimable(folder: Path) -> None:
    """Refuse an output folder that holds files and no marker of ours.

    Raises:
        UserError: it is a file, or holds what adfm did not write.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; give another folder")
    if folder.is_dir() and not (folder / MARKER).is_file():
        first = next(iter(sorted(path.name for path in folder.iterdir())), None)
        if first is not None:
            raise UserError(
                f"{folder}: holds files that adfm did not write ('{first}'); give an empty folder or a new one"
            )


def require_replaceable(file: Path, mark: bytes) -> None:
    """Refuse an output file that is there and that we did not write: its first 4 KiB lack `mark`. An empty one may go.

    Raises:
        UserError: it is a folder, or somebody else's file.
    """
    if file.is_dir():
        raise UserError(f"{file}: is a folder; give a file")
    if file.is_file() and file.stat().st_size:
        with file.open("rb") as opened:
            if mark not in opened.read(4096):
                raise UserError(f"{file}: was not written by this command and is kept; give another --out")
    elif file.exists() and not file.is_file():
        raise UserError(f"{file}: is no regular file; give another --out")


def _mark(handle: int, folder: Path, holds: str) -> None:
    """Write the marker into an empty file, or check that an earlier one says the same."""
    found = os.read(handle, 4096)
    if not found:  # new, or its writer was killed before the first byte
        with writing(folder / MARKER):
            os.write(handle, json.dumps({"holds": holds}).encode() + b"\n")
            os.fsync(handle)
            sync_folder(folder)
        return
    held = None
    with suppress(ValueError, TypeError, KeyError):
        held = json.loads(found)["holds"]
    if held != holds:
        what = held if isinstance(held, str) else f"a broken marker {MARKER}"
        raise UserError(f"{folder}: holds {what}, not {holds}; give another folder")


def _forget_in_child() -> None:
    """Close the markers in a forked child: a lock must end with the process that took it."""
    for handle in _held:
        with suppress(OSError):
            os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)
