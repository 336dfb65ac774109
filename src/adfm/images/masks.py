"""Reads masks as what their files store: codes, palette and alpha; nothing is scaled and nothing is decided."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adfm.errors import ImageError
from adfm.images.decoding import Header, turned, with_header
from adfm.images.opening import Opened, opened


class StoredMask(NamedTuple):
    """What a mask file holds: codes (H, W) or (H, W, 3), palette (colours, 4) of RGBA, alpha (H, W); None where it has none.

    `lossy` is JPEG, whose codes are near what was saved.
    """

    header: Header
    codes: NDArray[Any]
    palette: NDArray[np.uint8] | None
    alpha: NDArray[np.uint8] | None
    lossy: bool


def load_mask(path: Path) -> NDArray[Any]:
    """Decode a mask as stored codes: (H, W), or (H, W, 3) for a colour mask, EXIF orientation applied.

    An alpha channel is no code, and a palette image keeps its indices.

    Raises:
        ImageError: not an image, damaged, of several frames, or over the limits.
    """
    with opened(path) as found:
        return _codes(turned(found.load()))


def load_mask_with_header(path: Path) -> StoredMask:
    """Decode a mask as `load_mask` does, with all that says what its codes mean.

    Raises:
        ImageError: as `load_mask`.
    """
    header, (codes, palette, alpha, lossy) = with_header(path, _parts)
    return StoredMask(header, codes, palette, alpha, lossy)


def opacity(content: bytes, name: str = "image") -> NDArray[np.uint8]:
    """Decode the alpha channel of an image's bytes, (H, W) of 0 (clear) to 255 (opaque).

    Raises:
        ImageError: not an image, damaged, over the limits, or without transparency.
    """
    with opened(content, name) as found:
        image = found.load()
        if not image.has_transparency_data:
            raise ImageError.of(name, "has no transparency", "export it again")
        return np.asarray(image.convert("RGBA"))[..., 3]


_Parts = tuple[NDArray[Any], NDArray[np.uint8] | None, NDArray[np.uint8] | None, bool]


def _parts(found: Opened) -> _Parts:
    """Return the codes, palette and alpha of an open mask, and whether it was saved as JPEG."""
    lossy = found.kind == "JPEG" or found.image.info.get("compression") == "jpeg"
    image, palette, alpha = turned(found.load()), None, None
    if image.mode == "P":
        image.apply_transparency()
        palette = np.array(image.getpalette("RGBA"), np.uint8).reshape(-1, 4)
    elif image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("L", "LA", "La") else "RGBA")
        alpha = np.asarray(image.getchannel("A"))
    return _codes(image), palette, alpha, lossy


def _codes(image: Image.Image) -> NDArray[Any]:
    """Return what an upright mask stores, (H, W) or (H, W, channels).

    Pillow copies an image twice on its way to numpy, which takes half as long as decoding it. Through Arrow an 8-bit
    grey image is lent without a copy.
    """
    if image.mode in ("RGBA", "LA", "PA", "CMYK", "YCbCr"):
        image = image.convert({"LA": "L", "PA": "P"}.get(image.mode, "RGB"))
    if image.mode == "L" and hasattr(image, "__arrow_c_array__"):
        try:
            import pyarrow

            return np.asarray(pyarrow.array(image)).reshape(image.height, image.width)
        except (ImportError, ValueError):  # not installed, or a very large image that is in several pieces
            pass
    return np.asarray(image)
