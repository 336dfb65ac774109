"""Decodes images: every pixel there, EXIF orientation applied, 8 bits a channel in RGB."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from adfm.errors import ImageError
from adfm.images import depth
from adfm.images.depth import Depth
from adfm.images.opening import Opened, faults_named, opened, require_few_pixels

_Pixels = TypeVar("_Pixels")
# EXIF orientation (2.32, table 4.6.4) -> what shows the stored image upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Header(NamedTuple):
    """How an image is stored: Pillow's format and mode, EXIF orientation (1: upright).

    `deep` is more than 8 bits a channel, `transparent` any transparency, `previews` smaller copies or other helps behind
    the image.
    """

    format: str
    mode: str
    orientation: int
    deep: bool
    transparent: bool
    previews: bool


class Measured(NamedTuple):
    """The size in pixels of an image as it is shown, and of one with more than 8 bits a channel its depth."""

    width: int
    height: int
    depth: Depth | None


def size(path: Path) -> tuple[int, int]:
    """Return (width, height) with EXIF orientation applied, without decoding.

    Raises:
        ImageError: not an image, cut off, or over the limits.
    """
    with opened(path) as (image, kind, *_):
        # Pillow has already swapped the sides of a TIFF.
        swapped = kind != "TIFF" and _orientation(image) in (5, 6, 7, 8)
        return (image.height, image.width) if swapped else (image.width, image.height)


def orientation(path: Path) -> int:
    """Return the EXIF orientation of an image, 1 to 8 (1: stored as it is shown), without decoding.

    Raises:
        ImageError: not an image, cut off, or over the limits.
    """
    with opened(path) as (image, *_):
        return _orientation(image)


def load(path: Path, white: float | None = None) -> Image.Image:
    """Decode a file as RGB, 8 bits a channel, EXIF orientation applied.

    Of more than 8 bits, 0 becomes black and `white` becomes white. Transparency becomes white.

    Raises:
        ImageError: not an image, damaged, of several frames, over the limits, or with values outside 0 to `white`.
    """
    with opened(path) as found:
        return _rgb(found, white, str(path))


def decode(content: bytes, name: str = "image", white: float | None = None) -> Image.Image:
    """Decode the bytes of an image file as `load` does, with the same limits. Messages call the image `name`.

    Raises:
        ImageError: as `load`.
    """
    with opened(content, name) as found:
        return _rgb(found, white, name)


def as_rgb(image: Image.Image, name: str = "image", white: float | None = None) -> Image.Image:
    """Return an image that Pillow has opened as `load` decodes its file. The given image is not changed.

    Raises:
        ImageError: damaged, over the limit of pixels, or with values outside 0 to `white`.
    """
    with faults_named(name):
        require_few_pixels(image, name)
        deep = depth.is_deep(image)
        return _to_rgb(turned(image.copy()), white, name, deep=deep)


def measured(path: Path) -> Measured:
    """Decode an image without converting it. Refuses whatever `load` refuses, but for values above a white level.

    Raises:
        ImageError: as `load`.
    """
    with opened(path) as found:
        upright = turned(found.load())
        if upright.has_transparency_data:
            _on_white(upright, str(path))
        upright.crop((0, 0, 1, 1)).convert("RGB")  # one pixel is enough to see whether a mode can become RGB
        return Measured(*upright.size, depth.depth_of(upright, str(path)) if found.deep else None)


def load_with_header(path: Path, white: float | None = None) -> tuple[Header, Image.Image]:
    """Decode an image as `load` does, and say how it was stored.

    Raises:
        ImageError: as `load`.
    """
    return with_header(path, lambda found: _rgb(found, white, str(path)))


def plain(path: Path) -> bool:
    """Whether any decoder shows an image as `load` does: stored upright, 8 bits a channel, opaque.

    Raises:
        ImageError: not an image, damaged, of several frames, or over the limits.
    """
    header, _ = with_header(path, lambda _: None)
    return header.orientation not in range(2, 9) and not header.deep and not header.transparent


def with_header(path: Path, convert: Callable[[Opened], _Pixels]) -> tuple[Header, _Pixels]:
    """Open and decode an image, and return how it is stored and what `convert` makes of it."""
    with opened(path) as found:
        image = found.load()  # some formats must be decoded for their EXIF
        transparent, tag = image.has_transparency_data, _orientation(image)
        return Header(found.kind, image.mode, tag, found.deep, transparent, found.previews), convert(found)


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(0x0112, 1))


def turned(image: Image.Image) -> Image.Image:
    """Return a decoded image upright: turned as its EXIF orientation says."""
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _rgb(found: Opened, white: float | None, name: str) -> Image.Image:
    return _to_rgb(turned(found.load()), white, name, deep=found.deep)


def _to_rgb(image: Image.Image, white: float | None, name: str, *, deep: bool) -> Image.Image:
    """Return an upright image as RGB, without the data that its file held beside the pixels."""
    if deep:
        image = depth.to_grey(image, white, name)
    if image.has_transparency_data:
        image = _on_white(image, name)
    # Pillow's `convert` would copy an image that is RGB already.
    rgb = image._new(image.im) if image.mode == "RGB" else image.convert("RGB")
    rgb.info = {}
    return rgb


def _on_white(image: Image.Image, name: str) -> Image.Image:
    """Return a transparent image on white as RGB, converted part by part to save memory.

    Raises:
        ImageError: it is transparent all over: on white it would look like a clean part.
    """
    shown, opaque = Image.new("RGB", image.size), False
    for area in depth.areas(image):
        part = image.crop(area).convert("RGBA")
        opaque |= bool(np.max(part.getchannel("A").getextrema()))
        shown.paste(Image.alpha_composite(Image.new("RGBA", part.size, "white"), part).convert("RGB"), area)
    if not opaque:
        raise ImageError.of(name, "is transparent all over", "save it without an alpha channel", "values")
    return shown
