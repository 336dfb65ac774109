"""Decodes every image: size and format limits before any pixel is read, EXIF orientation applied, one mode out."""

from __future__ import annotations

import stat
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from adfm.errors import ImageError

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 512 << 20
_Pixels = TypeVar("_Pixels")
_DECODER = (
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

# Once and for Pillow alone: `catch_warnings` around a decode is not safe in threads (it can leave all warnings off).
warnings.filterwarnings("ignore", module=r"PIL\.")


@contextmanager
def _faults_named(name: str) -> Iterator[None]:
    """Turn every failure to read or decode an image into an `ImageError` that calls it `name`."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: is not a PNG, JPEG, BMP, TIFF or WebP image", "format") from error
    except FileNotFoundError as error:
        raise ImageError(f"{name}: no such file", "missing") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: is over {MAX_PIXELS} pixels; tile or shrink it", "limit") from error
    except _DECODER as error:
        raise ImageError(
            f"{name}: is damaged ({str(error)[:80] or type(error).__name__}); replace or remove it"
        ) from error


def _require_small_file(source: Path | bytes, name: str) -> None:
    if isinstance(source, Path):
        status = source.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe or a device could block for ever
            raise ImageError(f"{name}: is not a regular file", "format")
        length = status.st_size
    else:
        length = len(source)
    if length > MAX_FILE_BYTES:
        raise ImageError(f"{name}: is over {MAX_FILE_BYTES >> 20} MiB; tile or shrink it", "limit")


def _require_few_pixels(image: Image.Image, name: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(
            f"{name}: {image.width} x {image.height} is over {MAX_PIXELS} pixels; tile or shrink it", "limit"
        )


@contextmanager
def _opened(source: Path | bytes, name: str = "", *, header_only: bool = False) -> Iterator[Image.Image]:
    """Open an image, check its header against the limits and turn every failure into an `ImageError`.

    A file is read into memory first, unless only its header is asked for. `name` is what messages call the image, by
    default the path of its file.
    """
    name = name or str(source)
    with _faults_named(name):
        _require_small_file(source, name)
        content = source.read_bytes() if isinstance(source, Path) and not header_only else source
        # Pillow's own limit is left alone. Ours is lower and looks at the header, before any memory is taken.
        with Image.open(BytesIO(content) if isinstance(content, bytes) else content, formats=FORMATS) as image:
            _require_few_pixels(image, name)
            yield image


def read(path: Path) -> bytes:
    """Return the bytes of an image file for `decode`. Its kind and size are checked before it is opened.

    Raises:
        ImageError: missing, not a regular file, over the limit, or not readable.
    """
    with _faults_named(str(path)):
        _require_small_file(path, str(path))
        return path.read_bytes()


def size(path: Path) -> tuple[int, int]:
    """Return (width, height) with EXIF orientation applied, from the header alone.

    Raises:
        ImageError: not an image, or over the limits.
    """
    with _opened(path, header_only=True) as image:
        # Pillow has already swapped the sides of a TIFF.
        swapped = image.format != "TIFF" and _orientation(image) in (5, 6, 7, 8)
        return (image.height, image.width) if swapped else (image.width, image.height)


def orientation(path: Path) -> int:
    """Return the EXIF orientation of an image, 1 to 8 (1: stored as it is shown), from its header.

    Raises:
        ImageError: not an image, or over the limits.
    """
    with _opened(path, header_only=True) as image:
        return _orientation(image)


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(0x0112, 1))


def load(path: Path) -> Image.Image:
    """Decode a file as RGB, 8 bits a channel, EXIF orientation applied.

    16-bit grey is scaled down, not cut, and transparency becomes white.

    Raises:
        ImageError: not an image, damaged, or over the limits.
    """
    with _opened(path) as image:
        return _rgb(image)


def decode(content: bytes, name: str = "image") -> Image.Image:
    """Decode the bytes of an image file as `load` does, with the same limits. Messages call the image `name`.

    Raises:
        ImageError: not an image, damaged, or over the limits.
    """
    with _opened(content, name) as image:
        return _rgb(image)


def opacity(content: bytes, name: str = "image") -> NDArray[np.uint8]:
    """Decode the alpha channel of an image's bytes, (H, W) of 0 (clear) to 255 (opaque).

    Raises:
        ImageError: not an image, damaged, over the limits, or without transparency.
    """
    with _opened(content, name) as image:
        if not image.has_transparency_data:
            raise ImageError(f"{name}: has no transparency")
        return np.asarray(image.convert("RGBA"))[..., 3]


def as_rgb(image: Image.Image, name: str = "image") -> Image.Image:
    """Return an image that Pillow has opened as `load` decodes its file. The given image is not changed.

    Raises:
        ImageError: damaged, or over the limit of pixels.
    """
    with _faults_named(name):
        _require_few_pixels(image, name)
        return _rgb(image.copy())


def load_mask(path: Path) -> NDArray[Any]:
    """Decode a mask as stored codes: (H, W), or (H, W, 3) for a colour mask, EXIF orientation applied.

    An alpha channel is no code, and a palette image keeps its indices.

    Raises:
        ImageError: not an image, damaged, or over the limits.
    """
    with _opened(path) as image:
        return _codes(image)


def decoded_size(path: Path) -> tuple[int, int]:
    """Return (width, height) with EXIF orientation applied, after decoding: refuses whatever `load` refuses.

    Raises:
        ImageError: not an image, damaged, or over the limits.
    """
    with _opened(path) as image:
        upright = _upright(image)
        # One pixel is enough to see whether a mode can become RGB.
        _to_rgb(upright.crop((0, 0, 1, 1)))
        return upright.size


class Header(NamedTuple):
    """How an image is stored: Pillow's format and mode, EXIF orientation (1: upright).

    `deep` is more than 8 bits a channel, `transparent` any transparency, `several` more than one frame.
    """

    format: str
    mode: str
    orientation: int
    deep: bool
    transparent: bool
    several: bool


class StoredMask(NamedTuple):
    """What a mask file holds: codes (H, W) or (H, W, 3), palette (colours, 4) of RGBA, alpha (H, W); None where it has none.

    `lossy` is JPEG, whose codes are near what was saved.
    """

    header: Header
    codes: NDArray[Any]
    palette: NDArray[np.uint8] | None
    alpha: NDArray[np.uint8] | None
    lossy: bool


def load_with_header(path: Path) -> tuple[Header, Image.Image]:
    """Decode an image as `load` does, and say how it was stored.

    Raises:
        ImageError: not an image, damaged, or over the limits.
    """
    return _with_header(path, _rgb)


def load_mask_with_header(path: Path) -> StoredMask:
    """Decode a mask as `load_mask` does, with all that says what its codes mean.

    Raises:
        ImageError: not an image, damaged, or over the limits.
    """
    header, (codes, palette, alpha, lossy) = _with_header(path, _mask_parts)
    return StoredMask(header, codes, palette, alpha, lossy)


def plain(path: Path) -> bool:
    """Whether any decoder shows an image as `load` does: stored upright, 8 bits a channel, opaque.

    Raises:
        ImageError: not an image, damaged, or over the limits.
    """
    header, _ = load_with_header(path)
    return header.orientation not in range(2, 9) and not header.deep and not header.transparent


def _with_header(path: Path, convert: Callable[[Image.Image], _Pixels]) -> tuple[Header, _Pixels]:
    with _opened(path) as image:
        kind = "JPEG" if image.format == "MPO" else str(image.format)  # a JPEG with a preview or a depth map behind it
        deep = image.mode[0] in "IF" or ";16" in str(getattr(image, "tile", ""))
        image.load()  # some formats must be decoded for their EXIF
        mode, transparent, orientation = image.mode, image.has_transparency_data, _orientation(image)
        pixels = convert(image)
        # Only now, because this leaves the first frame. Counting all frames could take long on a hostile file.
        try:
            image.seek(1)
            several = True
        except (*_DECODER, AttributeError):  # the latter where Pillow has closed a file of one frame
            several = False
    return Header(kind, mode, orientation, deep, transparent, several), pixels


def _upright(image: Image.Image) -> Image.Image:
    """Decode an open image and apply its EXIF orientation in place."""
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return image


def _rgb(image: Image.Image) -> Image.Image:
    return _to_rgb(_upright(image))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        peak = 65535.0 if image.mode.startswith("I") else max(float(np.nanmax(values, initial=0)), 1.0)
        grey = np.nan_to_num(values / peak * 255).clip(0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("RGB")


def _codes(image: Image.Image) -> NDArray[Any]:
    """Return what an open mask stores, (H, W) or (H, W, channels).

    Pillow copies an image twice on its way to numpy, which takes half as long as decoding it. Through Arrow an 8-bit
    grey image is lent without a copy.
    """
    image = _upright(image)
    if image.mode in ("RGBA", "LA", "PA", "CMYK", "YCbCr"):
        image = image.convert({"LA": "L", "PA": "P"}.get(image.mode, "RGB"))
    if image.mode == "L" and hasattr(image, "__arrow_c_array__"):
        try:
            import pyarrow

            return np.asarray(pyarrow.array(image)).reshape(image.height, image.width)
        except (ImportError, ValueError):  # not installed, or a very large image that is in several pieces
            pass
    return np.asarray(image)


_MaskParts = tuple[NDArray[Any], NDArray[np.uint8] | None, NDArray[np.uint8] | None, bool]


def _mask_parts(image: Image.Image) -> _MaskParts:
    """Return the codes, palette and alpha of an open mask, and whether it was saved as JPEG."""
    lossy = image.format in ("JPEG", "MPO") or image.info.get("compression") == "jpeg"
    image, palette, alpha = _upright(image), None, None
    if image.mode == "P":
        image.apply_transparency()
        palette = np.array(image.getpalette("RGBA"), np.uint8).reshape(-1, 4)
    elif image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("L", "LA", "La") else "RGBA")
        alpha = np.asarray(image.getchannel("A"))
    return _codes(image), palette, alpha, lossy


def is_image(path: Path) -> bool:
    """Whether a file's name ends as an image's does (any case), and it is not hidden. The file is not opened."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
