"""The only decoder of images: whatever the bytes are, an upright 8-bit image or an `ImageError`, in bounded time and memory."""

from adfm.images.decoding import (
    Header,
    Measured,
    as_rgb,
    decode,
    load,
    load_with_header,
    measured,
    orientation,
    plain,
    size,
)
from adfm.images.depth import Depth, require_white, white_level
from adfm.images.masks import StoredMask, load_mask, load_mask_with_header, opacity
from adfm.images.opening import FORMATS, JPEG_SUFFIXES, MAX_FILE_BYTES, MAX_PIXELS, SUFFIXES, is_image, read

__all__ = [
    "FORMATS",
    "JPEG_SUFFIXES",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "SUFFIXES",
    "Depth",
    "Header",
    "Measured",
    "StoredMask",
    "as_rgb",
    "decode",
    "is_image",
    "load",
    "load_mask",
    "load_mask_with_header",
    "load_with_header",
    "measured",
    "opacity",
    "orientation",
    "plain",
    "read",
    "require_white",
    "size",
    "white_level",
]
