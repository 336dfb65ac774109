"""Where the files of an image go in the output folder: its own name, or a short one where that name cannot be kept."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from adfm.storage import sha256_bytes

VERDICT, OVERLAY = ".json", ".overlay.png"
MAX_PART = 255 - len(OVERLAY)  # bytes: what file systems allow in a name, less what is added
MAX_NAME = 1000  # bytes, so that a path fits into the 4096 that Linux allows
MAX_DEPTH = 64  # folders
MAX_SHORT = 40  # characters


def places(names: Iterable[str]) -> dict[str, str]:
    """Return the place of each image by its name: `PLACE.json` and `PLACE.overlay.png` below the output folder.

    A place is the name, so that the output mirrors the input, or the short one. Two places differ in more than case and
    Unicode form, because not every file system knows those apart.
    """
    taken: set[str] = set()
    found = {}
    for name in names:
        place = name if can_be_kept(name) else short(name)
        if _folded(place) in taken:
            place = short(name)
        taken.add(_folded(place))
        found[name] = place
    return found


def can_be_kept(name: str) -> bool:
    """Whether files can be called after a name, and none of them can be in the way of another.

    Refused are names that are too long, too deep or hidden, control characters, and folders that are called like a file of ours.
    """
    parts = name.split("/")
    return (
        len(name.encode()) <= MAX_NAME
        and len(parts) <= MAX_DEPTH
        and all(len(part.encode()) <= MAX_PART and not part.startswith(".") for part in parts)
        and not any(unicodedata.category(character) == "Cc" for character in name)
        and not any(part.lower().endswith((VERDICT, ".jsonl", OVERLAY)) for part in parts[:-1])
    )


def short(name: str) -> str:
    """Return the short place of a name: what can be kept of its last part, and the start of the SHA-256 of it all."""
    last = "".join(c if c.isalnum() or c in "-_." else "_" for c in name.rpartition("/")[2])
    return f"{last.lstrip('.')[:MAX_SHORT]}~{sha256_bytes(name.encode())[:16]}"


def _folded(place: str) -> str:
    return unicodedata.normalize("NFC", place).casefold()
