"""What a mask file marks, by what it shows: its codes, palette and transparency to booleans, or why it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adfm import images
from adfm.data.faults import Broken, broken
from adfm.errors import ImageError

LEVELS = 32  # more grey levels than any set has codes; what has more was smoothed, scaled or saved as JPEG
QUARTER = 4  # in such a mask, what is below this part of its brightest level is background
_DIM = 64  # a JPEG without any brighter level holds noise, or codes that were lost
_BLACK = 16  # the brightest level of a palette's black

Mask = NDArray[np.bool_]
_Doubt = tuple[str, dict[str, object]]  # the code and the details of a warning


@dataclass(frozen=True)
class Marks:
    """What one mask marks, (height, width); `orientation` is its EXIF tag, `doubts` are warnings."""

    pixels: Mask
    orientation: int
    doubts: tuple[Broken, ...]


class _UnclearError(Exception):
    """Why nobody can tell what a mask marks."""


def read_marks(path: Path) -> Marks | Broken:
    """Return what a mask marks, or the fault for which it cannot be read.

    Black and what is transparent is background, code 0 too where the palette shows it as black; all else is marked. Where
    the colours of a palette or the transparency say the opposite of that, the mask is refused.
    """
    if fault := file_fault("mask", path, path):
        return fault
    try:
        stored = images.load_mask_with_header(path)
    except (ImageError, OSError) as error:
        return broken("mask-unreadable", path=path, why=str(error).removeprefix(f"{path}: "))
    try:
        pixels, doubts = _marked(stored)
    except _UnclearError as error:
        return broken("mask-unclear", path=path, why=error)
    return Marks(pixels, stored.header.orientation, tuple(broken(code, path=path, **more) for code, more in doubts))


def surrounds(marked: Mask) -> bool:
    """Whether an (H, W) mask marks more than half of itself and of its border, as an inverted one does."""
    border = [marked[0], marked[-1], marked[:, 0], marked[:, -1]]
    return float(marked.mean()) > 0.5 and float(np.concatenate(border).mean()) > 0.5


def _marked(stored: images.StoredMask) -> tuple[Mask, list[_Doubt]]:
    """Return the marked pixels and each doubt."""
    codes = stored.codes
    if stored.palette is not None:
        return _by_palette(codes, stored.palette)
    if codes.ndim == 3 and stored.header.deep:
        raise _UnclearError("its colours have 16 bits, of which only 8 can be read")
    level = codes if codes.ndim == 2 else np.maximum(np.maximum(codes[:, :, 0], codes[:, :, 1]), codes[:, :, 2])
    if stored.alpha is not None and not stored.alpha.all():
        return _by_alpha(level, stored.alpha), []
    cut, doubts = _cut(level, lossy=stored.lossy)
    marked = level if level.dtype == np.bool_ else level > cut
    # Codes that differ by more than noise are not those of one colour.
    if marked.all() and np.ptp(codes.astype(float), axis=(0, 1)).max() * 8 > codes.max():
        raise _UnclearError("nothing in it is black")
    if codes.ndim == 3 and not stored.lossy and any((codes[:, :, 0] != codes[:, :, n]).any() for n in (1, 2)):
        doubts.append(("mask-colour", {}))
    return marked, doubts


def _by_palette(codes: NDArray[Any], palette: NDArray[np.uint8]) -> tuple[Mask, list[_Doubt]]:
    """Code 0 is background where it shows as black, else whatever shows as black, else code 0 again."""
    shown = np.zeros(256, np.uint8)  # an entry that the palette lacks shows as black
    shown[: len(palette)] = np.where(palette[:, 3] > 0, palette[:, :3].max(axis=1), 0)
    if shown[0] <= _BLACK:
        cut, doubts = _cut(shown[codes], lossy=False)
        return (shown[codes] > cut) if cut else codes > 0, doubts
    black = (shown <= _BLACK)[codes]
    marked = ~black if black.any() else codes > 0
    if surrounds(marked) or not (black.any() or marked.any()):
        raise _UnclearError("code 0 of its palette is not black, and what it marks may be the background")
    return marked, []


def _by_alpha(level: NDArray[Any], alpha: NDArray[np.uint8]) -> Mask:
    """What is visible and not black is marked; where all that is visible is black, the transparency is the mask."""
    visible = alpha > 0
    marked = visible & (level > 0)
    if not visible.any() and level.min() != level.max():
        raise _UnclearError("it is transparent all over, and its colours mark something")
    if not marked.any():
        marked = visible
    if surrounds(marked):
        raise _UnclearError("what is transparent in it may be the mark or the background")
    return np.asarray(marked)


def _cut(level: NDArray[Any], *, lossy: bool) -> tuple[float, list[_Doubt]]:
    """Return the highest level of the background, and the doubts about it."""
    if level.dtype == np.bool_:
        return 0, []
    if level.dtype.kind != "u" and not (np.isfinite(level).all() and (level >= 0).all()):
        raise _UnclearError("it holds values below 0, or that are no numbers")
    if level.dtype != np.uint8:
        return 0, [("mask-soft", {"most": LEVELS, "cut": 0})] if _many(level) else []
    counts = np.array(Image.fromarray(np.ascontiguousarray(level)).histogram())  # counted without sorting
    several, top = int(np.count_nonzero(counts)), int(np.flatnonzero(counts)[-1])
    quarter, bright = top // QUARTER, top - top // 8
    if lossy and 0 < top < _DIM:
        raise _UnclearError("it is a JPEG and too dark to tell its codes from noise")
    between = counts[top // 8 + 1 : bright].sum()
    if several > LEVELS and between > level.size / 2:
        raise _UnclearError("most of it is neither dark nor bright, as in a photograph")
    # Noise at both ends, and few pixels between them: a picture of black and white.
    smooth = counts[1 : top // 8 + 1].any() and counts[bright:top].any() and between < counts[bright:].sum()
    cut = quarter if lossy or (smooth and top >= _DIM) else 0
    if lossy:
        return cut, [("mask-lossy", {"cut": cut})]
    return cut, [("mask-soft", {"most": LEVELS, "cut": cut})] if several > LEVELS else []


def _many(level: NDArray[Any]) -> bool:
    """Whether there are more than `LEVELS` levels; of a large mask only some rows are sorted at a time."""
    known: set[float] = set()
    for y in range(0, len(level), 64):
        known.update(np.unique(level[y : y + 64]).tolist())
        if len(known) > LEVELS:
            return True
    return False


def file_fault(kind: Literal["image", "mask"], path: Path, shown: Path) -> Broken | None:
    """Return why a path cannot be an image or a mask, before it is opened (a pipe would never end), or None.

    `shown` is the path that the fault names.
    """
    try:
        if not path.exists():
            return broken(f"{kind}-missing", path=shown)
        why = "not a file" if not path.is_file() else "0 bytes" if path.stat().st_size == 0 else None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
    if why == "0 bytes" and kind == "image":
        return broken("image-empty", path=shown)
    return broken(f"{kind}-unreadable", path=shown, why=why) if why else None
