"""One sample's image against its line: file, format, pixels, size, hash, and the lists of images known to be bad."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adfm import images
from adfm.data.check.rows import SHA256
from adfm.data.faults import Broken, broken
from adfm.data.marks import file_fault
from adfm.errors import DataError, ImageError
from adfm.records import Sample
from adfm.storage import read_file, sha256_bytes, sha256_file

THUMB = 32  # side of a thumbnail, px

Thumb = NDArray[np.uint8]

_FORMATS = dict.fromkeys(images.JPEG_SUFFIXES, "JPEG") | {
    ".tif": "TIFF"
}  # of the suffixes that are not their format's name
_LINE = re.compile(r"(?P<sha256>[0-9a-fA-F]{64})(?:\s+\*?(?P<why>.*))?")
_PLAIN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "La", "RGBa")


class BadName(NamedTuple):
    """Images of one category that a published set got wrong: the end of their path, and what is wrong with them.

    A corrected copy of the set has the same names as the first one, so a name is a reason to look, not a verdict.
    """

    category: str
    ending: re.Pattern[str]
    why: str


NAMES = (
    BadName(
        "pill",
        re.compile(r"(?:^|/)pill/image/good/0(?:[01]\d|2[01])\.[^/.]+$"),
        "in the first MMAD archive DS-MVTec/pill/image/good/000 to 021 are metal nuts; jam-cc/MMAD issues 15, 19, 21",
    ),
)


@dataclass(frozen=True)
class Look:
    """What opening an image showed; `thumb` is a grey (32, 32) copy, None where it shows nothing to compare.

    `colours` is a hash of how often each level of each colour occurs, which no turn changes.
    """

    faults: tuple[Broken, ...]
    orientation: int = 1
    thumb: Thumb | None = None
    colours: str = ""


def look(sample: Sample, place: Path, known: Mapping[str, str]) -> Look:
    """Open the image of a sample at `place`; `known` are hashes of bad images and why. Nothing is raised."""
    if fault := file_fault("image", place, place):
        return Look((fault,))
    try:
        head, pixels = images.load_with_header(place, sample.white)
        digest = sha256_file(place)
    except ImageError as error:
        return Look((broken(f"image-{error.reason}", path=place, limit=images.MAX_PIXELS, why=error.why),))
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
    colours = sha256_bytes(np.array(pixels.histogram()).tobytes())
    return Look(tuple(faults), head.orientation, thumb, colours)


def _header_faults(place: Path, head: images.Header) -> Iterator[Broken]:
    suffix = place.suffix.lower()
    if suffix in images.SUFFIXES and _FORMATS.get(suffix, suffix[1:].upper()) != head.format:
        yield broken("image-suffix", path=place, format=head.format)
    if head.previews:
        yield broken("image-previews", path=place)
    if head.deep:
        yield broken("image-depth", path=place, mode=head.mode)
    elif head.mode not in _PLAIN:
        yield broken("image-colours", path=place, mode=head.mode)
    if head.transparent:
        yield broken("image-alpha", path=place)


def read_known(path: Path) -> dict[str, str]:
    """Read a list of bad images, sha256 -> reason: the output of `sha256sum`, or any text behind each hash.

    Raises:
        DataError: the file cannot be read, or a line does not begin with 64 hexadecimal digits.
    """
    try:
        lines = read_file(path).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of hashes ({error})") from error
    known = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise DataError(f"{path}:{number}: must begin with a sha256 of 64 digits; write `sha256sum` lines")
            known[match["sha256"].lower()] = match["why"] or path.name
    return known


def known_faults(sample: Sample, place: Path, digest: str, known: Mapping[str, str]) -> Iterator[Broken]:
    """Yield why an image is known, or likely, to be bad; `digest` is the sha256 of its file as it is now."""
    if digest in known:
        yield broken("known-bad", path=place, why=known[digest])
    for bad in NAMES:
        if sample.category == bad.category and bad.ending.search(sample.image):
            yield broken("known-bad-name", path=place, why=bad.why)
