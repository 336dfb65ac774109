"""Opens an image after looking at its bytes: what it is, that it is whole, and that it is small enough to decode."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageFile, UnidentifiedImageError

from adfm.errors import ImageError
from adfm.images import jpeg, png, tiff
from adfm.images.depth import is_deep
from adfm.storage import NOT_REGULAR, regular_file

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff", ".webp"}) | JPEG_SUFFIXES
MAX_PIXELS = 100_000_000
MAX_SIDE = 1_000_000
MAX_FILE_BYTES = 512 << 20
DECODER = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    MemoryError,
    ArithmeticError,
    LookupError,
    TypeError,
    struct.error,
)
"""What Pillow, or a look at the bytes, raises for a file that is not what it seems."""

_REPLACE, _SHRINK = "replace or remove it", "tile or shrink it"
# How files begin, or go on after some bytes, and what they are. Those in FORMATS are read.
_BEGINNINGS = (
    (0, png.SIGNATURE, "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (8, b"WEBP", "WEBP"),
    (0, b"GIF8", "GIF"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphe", "HEIC"),
    (4, b"ftypm", "HEIC"),
    (4, b"JXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (128, b"DICM", "DICOM"),
    (0, b"v/1\1", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML"),
    (0, b"\0\0\1\0", "icon"),
    (0, b"PK\3\4", "ZIP"),
    (0, b"\x93NUMPY", "NumPy"),
    *((0, b"P%d" % number, "Netpbm") for number in range(1, 8)),
)
# Marks of data that belong to the one image of a JPEG: a map that brightens it on better screens.
_GAIN_MAPS = (b"hdrgm:Version", b"hdrgainmap", b"iso:ts:21496")

# Once and for Pillow alone: `catch_warnings` around a decode is not safe in threads (it can leave all warnings off).
warnings.filterwarnings("ignore", module=r"PIL\.")


@contextmanager
def faults_named(name: str) -> Iterator[None]:
    """Turn every failure to read or decode an image into an `ImageError` that calls it `name`."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise ImageError.of(name, "is damaged (its header)", _REPLACE) from error
    except FileNotFoundError as error:
        raise ImageError(f"{name}: no such file", "missing") from error
    except Image.DecompressionBombError as error:
        raise ImageError.of(name, f"is over {MAX_PIXELS} pixels", _SHRINK, "limit") from error
    except DECODER as error:
        if isinstance(error, OSError) and error.strerror == NOT_REGULAR:
            raise ImageError.of(name, NOT_REGULAR, _REPLACE, "format") from error
        raise ImageError.of(name, f"is damaged ({str(error)[:80] or type(error).__name__})", _REPLACE) from error


def read(path: Path) -> bytes:
    """Return the bytes of an image file for `decode`. Its kind and size are checked before it is read.

    Raises:
        ImageError: missing, not a regular file, over the limit, or not readable.
    """
    with faults_named(str(path)), regular_file(path) as file:
        content = file.read(MAX_FILE_BYTES + 1)
        _require_small_file(content, str(path))
        return content


def _require_small_file(content: bytes, name: str) -> None:
    if len(content) > MAX_FILE_BYTES:
        raise ImageError.of(name, f"is over {MAX_FILE_BYTES >> 20} MiB", _SHRINK, "limit")


def require_few_pixels(image: Image.Image, name: str) -> None:
    """Refuse an image of more pixels than the limit, or of a longer side: each row costs memory of its own."""
    if max(image.size) > MAX_SIDE:
        raise ImageError.of(name, f"{image.width} x {image.height} is over {MAX_SIDE} pixels long", _SHRINK, "limit")
    if image.width * image.height > MAX_PIXELS:
        why = f"{image.width} x {image.height} is over {MAX_PIXELS} pixels"
        raise ImageError.of(name, why, _SHRINK, "limit")


def kind_of(content: bytes, name: str) -> str:
    """Return which of `FORMATS` the bytes of a file begin as, whatever the name of the file is.

    Raises:
        ImageError: none of them; names what it is, where that is known.
    """
    found = next((kind for at, mark, kind in _BEGINNINGS if content[at : at + len(mark)] == mark), "")
    if found not in FORMATS:
        what = f"is {found}, " if found else "is "
        raise ImageError.of(name, f"{what}not a PNG, JPEG, BMP, TIFF or WebP image", "convert it", "format")
    return found


class Opened(NamedTuple):
    """An image that Pillow has opened, which of `FORMATS` it is, what else is known of it, and how to decode it.

    `deep` is more than 8 bits a channel, `previews` smaller copies or other helps behind the image.
    """

    image: ImageFile.ImageFile
    kind: str
    deep: bool
    previews: bool
    content: bytes
    parts: Any

    def load(self) -> ImageFile.ImageFile:
        """Decode all pixels, and return the image.

        Raises:
            OSError: some are missing.
        """
        if self.image.tile and self.kind in _LOADERS:
            _LOADERS[self.kind](self.image, self.content, self.parts)
        self.image.load()
        return self.image


@contextmanager
def opened(source: Path | bytes, name: str = "") -> Iterator[Opened]:
    """Open an image, check it against the limits and turn every failure into an `ImageError`.

    `name` is what messages call the image, by default the path of its file.
    """
    name = name or str(source)
    content = read(source) if isinstance(source, Path) else source
    with faults_named(name):
        _require_small_file(content, name)
        kind = kind_of(content, name)
        parts = _LOOKS[kind](content, name)
        # Pillow's own limit is left alone. Ours is lower and looks at the header, before any memory is taken.
        with Image.open(BytesIO(content), formats=(kind,)) as image:
            require_few_pixels(image, name)
            tiff.require_small_exif(image.info.get("exif", b""))
            previews = _previews(image, content, name) or parts is True
            yield Opened(image, kind, is_deep(image), previews, content, parts)


def _whole_webp(content: bytes, _: str) -> None:
    if int.from_bytes(content[4:8], "little") + 8 > len(content):
        raise OSError("is cut off")


def _plain_bmp(content: bytes, name: str) -> None:
    if content[14:18] != b"\x0c\0\0\0" and content[30:34] in (b"\1\0\0\0", b"\2\0\0\0"):
        # Its decoder is slow Python.
        raise ImageError.of(name, "is a run-length coded BMP", "save it as PNG", "format")


_LOOKS: dict[str, Callable[[bytes, str], Any]] = {
    "JPEG": jpeg.pieces,
    "PNG": png.chunks,
    "BMP": _plain_bmp,
    "TIFF": tiff.previews,
    "WEBP": _whole_webp,
}
_LOADERS: dict[str, Callable[[ImageFile.ImageFile, bytes, Any], None]] = {
    "JPEG": jpeg.load,
    "PNG": png.load,
    "TIFF": tiff.load,
}


def _previews(image: ImageFile.ImageFile, content: bytes, name: str) -> bool:
    """Whether a JPEG holds further images that are known to be no other view of the part.

    Raises:
        ImageError: a further image may be one.
    """
    if image.format == "MPO":
        entries = getattr(image, "mpinfo", {}).get(0xB002, [])[1:]
        kinds = [entry["Attribute"]["MPType"] for entry in entries]
        gain_map = any(mark in content for mark in _GAIN_MAPS)
        if all(kind.startswith("Large Thumbnail") or (kind == "Undefined" and gain_map) for kind in kinds):
            return bool(kinds)
        raise tiff.several(name)
    if image.format != "TIFF" and getattr(image, "n_frames", 1) > 1:
        raise tiff.several(name)
    return False


def is_image(path: Path) -> bool:
    """Whether a file's name ends as an image's does (any case), and it is not hidden. The file is not opened."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
