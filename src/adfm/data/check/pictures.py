"""One sample's picture against its line: file, format, pixels, size and hash; masks and boxes are not looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adfm import images
from adfm.data.check.known import known_faults
from adfm.data.check.rows import SHA256
from adfm.data.faults import Broken, broken
from adfm.errors import ImageError
from adfm.records import Sample
from adfm.storage import sha256_file

THUMB = 32  # side of a thumbnail, px

Thumb = NDArray[np.uint8]

_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
_PLAIN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "La", "RGBa")


@dataclass(frozen=True)
class Picture:
    """What opening a picture told; `thumb` is a grey (32, 32) copy, None where it shows nothing to compare."""

    faults: tuple[Broken, ...]
    orientation: int = 1
    thumb: Thumb | None = None


def look(sample: Sample, place: Path, known: Mapping[str, str]) -> Picture:
    """Open the picture of a sample that lies at `place`; nothing is raised."""
    missing = file_fault(place)
    if missing:
        return Picture((broken(f"image-{missing[0]}", path=place, why=missing[1]),))
    try:
        head, pixels = images.load_with_header(place)
        digest = sha256_file(place)
    except ImageError as error:
        return Picture((broken(f"image-{error.reason}", path=place, limit=images.MAX_PIXELS),))
    except OSError as error:
        return Picture((broken("image-unreadable", path=place, why=error.strerror),))
    uniform = all(low == high for low, high in _extrema(pixels))
    faults = [*_header_faults(place, head), *_size_faults(sample, place, head, pixels.size)]
    faults += [broken("image-uniform", path=place)] if uniform else []
    changed = SHA256.fullmatch(sample.sha256) and digest != sample.sha256
    faults += [broken("sha256-differs", path=place)] if changed else []
    faults += known_faults(sample, place, digest, known)
    return Picture(tuple(faults), head.orientation, None if uniform else _thumb(pixels))


def file_fault(path: Path) -> tuple[str, str] | None:
    """Return (`missing` | `unreadable` | `empty`, why) of what cannot be a picture file; a pipe would never end."""
    try:
        if not path.exists():
            return "missing", "no such file"
        if not path.is_file():
            return "unreadable", "not a file"
        return ("empty", "0 bytes") if path.stat().st_size == 0 else None
    except (OSError, ValueError) as error:
        return "unreadable", getattr(error, "strerror", None) or str(error)


def _header_faults(place: Path, head: images.Header) -> Iterator[Broken]:
    named = _FORMATS.get(place.suffix.lower(), head.format)
    if named != head.format:
        yield broken("image-suffix", path=place, format=head.format)
    if head.several:
        yield broken("image-frames", path=place)
    if head.deep:
        yield broken("image-depth", path=place, mode=head.mode)
    elif head.mode not in _PLAIN:
        yield broken("image-colours", path=place, mode=head.mode)
    if head.transparent:
        yield broken("image-alpha", path=place)


def _size_faults(sample: Sample, place: Path, head: images.Header, size: tuple[int, int]) -> Iterator[Broken]:
    told, (width, height) = (sample.width, sample.height), size
    if size == told:
        return
    if head.orientation in (5, 6, 7, 8) and (height, width) == told:
        yield broken("image-rotated", path=place, width=width, height=height)
    else:
        yield broken("image-size", path=place, width=width, height=height, told_width=told[0], told_height=told[1])


def _extrema(pixels: Image.Image) -> tuple[tuple[int, int], ...]:
    return tuple((int(low), int(high)) for low, high in pixels.getextrema())  # type: ignore[misc]


def _thumb(pixels: Image.Image) -> Thumb:
    # Triangles, since boxes of a fractional width alias: of four filters these move least when a picture is shrunk first.
    return np.asarray(pixels.convert("L").resize((THUMB, THUMB), Image.Resampling.BILINEAR))
