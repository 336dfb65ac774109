"""One sample's image against its line: file, format, pixels, size and hash; masks and boxes are checked elsewhere."""

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
from adfm.data.measure import file_fault
from adfm.errors import ImageError
from adfm.records import Sample
from adfm.storage import sha256_file

THUMB = 32  # side of a thumbnail, px

Thumb = NDArray[np.uint8]

_FORMATS = {".jpg": "JPEG", ".tif": "TIFF"}  # of the suffixes that are not their format's name
_PLAIN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "La", "RGBa")


@dataclass(frozen=True)
class Look:
    """What opening an image showed; `thumb` is a grey (32, 32) copy, None where it shows nothing to compare."""

    faults: tuple[Broken, ...]
    orientation: int = 1
    thumb: Thumb | None = None


def look(sample: Sample, place: Path, known: Mapping[str, str]) -> Look:
    """Open the image of a sample at `place`; `known` are hashes of bad images and why. Nothing is raised."""
    if fault := file_fault("image", place, place):
        return Look((fault,))
    try:
        head, pixels = images.load_with_header(place)
        digest = sha256_file(place)
    except ImageError as error:
        return Look((broken(f"image-{error.reason}", path=place, limit=images.MAX_PIXELS),))
    except OSError as error:
        return Look((broken("image-unreadable", path=place, why=error.strerror),))
    faults, listed, (width, height) = [*_header_faults(place, head)], (sample.width, sample.height), pixels.size
    if listed != (width, height):
        sizes = {"width": width, "height": height, "listed_width": listed[0], "listed_height": listed[1]}
        rotated = head.orientation in (5, 6, 7, 8) and listed == (height, width)
        faults.append(broken("image-rotated" if rotated else "image-size", path=place, origin="the manifest", **sizes))
    uniform = all(low == high for low, high in np.reshape(pixels.getextrema(), (-1, 2)))
    faults += [broken("image-uniform", path=place)] if uniform else []
    changed = SHA256.fullmatch(sample.sha256) and digest != sample.sha256
    faults += [broken("sha256-differs", path=place)] if changed else []
    faults += known_faults(sample, place, digest, known)
    # Triangles, since boxes of a fractional width alias: of four filters these move least when an image is shrunk first.
    thumb = None if uniform else np.asarray(pixels.convert("L").resize((THUMB, THUMB), Image.Resampling.BILINEAR))
    return Look(tuple(faults), head.orientation, thumb)


def _header_faults(place: Path, head: images.Header) -> Iterator[Broken]:
    suffix = place.suffix.lower()
    if suffix in images.SUFFIXES and _FORMATS.get(suffix, suffix[1:].upper()) != head.format:
        yield broken("image-suffix", path=place, format=head.format)
    if head.several:
        yield broken("image-frames", path=place)
    if head.deep:
        yield broken("image-depth", path=place, mode=head.mode)
    elif head.mode not in _PLAIN:
        yield broken("image-colours", path=place, mode=head.mode)
    if head.transparent:
        yield broken("image-alpha", path=place)
