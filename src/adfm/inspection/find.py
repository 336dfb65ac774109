"""Which files below a folder are inspected, and which are left out and why: none is passed over in silence."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from adfm import images
from adfm.data.layouts.names import qualifier
from adfm.errors import DataError, ImageError
from adfm.ownership import MARKER

NOTHING = frozenset({".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", ".directory", ".localized"})
"""Names in lower case of the files that desktops leave in folders. Only these are not mentioned."""
HOLDS = "an inspection"
"""What the marker of our output folder says, by which another inspection knows overlays from parts."""
NO_IMAGE = "is not a PNG, JPEG, BMP, TIFF or WebP image"


class Found(NamedTuple):
    """The files of a folder by their names: the path of each that is inspected, and why each other one is left out.

    A name is the path below the folder as text. A byte that is no UTF-8 is written as `\\xNN`.
    """

    images: dict[str, Path]
    left_out: dict[str, str]


def find(path: Path) -> Found:
    """Return an image itself, or what is below a folder, sorted. Only files without an image's suffix are opened.

    Raises:
        DataError: nothing there, or nothing to inspect.
    """
    if path.is_file():
        return Found({as_text(path.name): path}, {})
    if not path.is_dir():
        what = "is neither a file nor a folder" if os.path.lexists(path) else "no such image or folder"
        raise DataError(f"{path}: {what}; give an image or a folder of images")
    found = Found({}, {})
    for file, reason in sorted(_walk(path)):
        name = as_text(file.relative_to(path).as_posix())
        if not reason and name in found.images:
            reason = "has bytes that are no text in its name, and so the same name as another file; rename it"
        if reason:
            found.left_out[name] = reason
        else:
            found.images[name] = file
    if not found.images:
        why = next((f"; left out: '{name}' {reason}" for name, reason in found.left_out.items()), "")
        raise DataError(f"{path}: holds no PNG, JPEG, BMP, TIFF or WebP image{why}")
    return found


def as_text(name: str) -> str:
    """Return a file's name, or a message with one in it, as text. A byte that is no UTF-8 is written as `\\xNN`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _walk(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield every file below a folder, every folder that is not entered, and why it is left out ("": it is not)."""
    real, waiting = root.resolve(), [(root, "")]
    while waiting:
        folder, left_out = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            yield folder, f"is a folder that cannot be read ({error.strerror})"
            continue
        if folder != root and any(entry.name == MARKER and _is_ours(entry) for entry in entries):
            left_out = left_out or f"is in '{folder.name}', which holds the results of another inspection"
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                waiting.append((path, left_out or _reason_of_folder(entry.name)))
            elif not (entry.name.lower() in NOTHING and entry.is_file(follow_symlinks=False)):
                yield path, left_out or _reason_of_file(path, real)


def _is_ours(marker: os.DirEntry[str]) -> bool:
    """Whether the marker of an output folder says that it is an inspection's."""
    if not marker.is_file(follow_symlinks=False):
        return False
    with suppress(OSError), Path(marker.path).open("rb") as opened:
        return f'"{HOLDS}"'.encode() in opened.read(4096)
    return False


def _reason_of_folder(name: str) -> str:
    if name.startswith("."):
        return f"is in a hidden folder, '{name}'"
    if qualifier(name, ()) is not None:
        return f"is in a folder of masks, '{name}'; give that folder itself to inspect it"
    return ""


def _reason_of_file(path: Path, root: Path) -> str:
    """Return why a file is left out, "" where it is not. What has no image's suffix may still be one by its content."""
    try:
        if path.is_symlink() and not path.resolve(strict=True).is_relative_to(root):
            return "is a link out of the folder"
        mode = path.stat().st_mode
    except (OSError, RuntimeError):  # the latter for links in a circle
        return "is a link to nothing" if path.is_symlink() else "cannot be read, or has gone"
    if stat.S_ISDIR(mode):
        return "is a link to a folder, which is not followed"
    if not stat.S_ISREG(mode):
        return "is a pipe, a socket or a device"
    if path.name.startswith("."):
        return "is hidden"
    if images.is_image(path):
        return ""
    try:
        images.size(path)
    except ImageError as error:
        return NO_IMAGE if error.reason == "format" else ""
    return ""
