"""Checks a TIFF, or the EXIF data that have its form, before Pillow reads them: sizes, further pages, strips."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any, NamedTuple

from PIL import Image, ImageFile

from adfm.errors import ImageError
from adfm.images import jpeg

MAX_ENTRIES = 4_096
MAX_PAGES = 16
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_REDUCED, _OLD_REDUCED, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _TABLES = (
    254,
    255,
    258,
    259,
    262,
    277,
    284,
    347,
)
_PLACES = ((273, 279), (324, 325))
"""Tags of the offsets and lengths of strips, and of tiles."""
_UNCOMPRESSED, _JPEG, _MIN_IS_WHITE = 1, 7, 0


class Entry(NamedTuple):
    """The length of a tag's data in bytes, and its first value, 0 where that is stored elsewhere."""

    length: int
    first: int


Page = dict[int, Entry]


def pages(content: bytes) -> Iterator[Page]:
    """Yield the directories of a TIFF, at most `MAX_PAGES`.

    Raises:
        OSError: a directory is outside the file, too long, or claims more data than the file has.
    """
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", content, 2)[0] == 43
    count_form, entry_form, link_form, first = ("Q", "HHQ", "Q", 8) if big else ("H", "HHI", "I", 4)
    (position,) = struct.unpack_from(order + link_form, content, first)
    head, width = struct.calcsize(order + entry_form), struct.calcsize(order + link_form)
    for _ in range(MAX_PAGES):
        if not position:
            return
        (count,) = struct.unpack_from(order + count_form, content, position)
        if count > MAX_ENTRIES:
            raise OSError(f"has over {MAX_ENTRIES} tags")
        position += struct.calcsize(order + count_form)
        page: Page = {}
        for _ in range(count):
            tag, kind, values = struct.unpack_from(order + entry_form, content, position)
            form = {3: "H", 4: "I"}.get(kind, "B")
            inline = values * _SIZES.get(kind, 1) <= width
            (value,) = struct.unpack_from(order + form, content, position + head) if inline else (0,)
            page[tag] = Entry(values * _SIZES.get(kind, 1), value)
            position += head + width
        if sum(entry.length for entry in page.values()) > len(content):
            raise OSError("its tags claim more data than it has")
        yield page
        (position,) = struct.unpack_from(order + link_form, content, position)


def previews(content: bytes, name: str) -> bool:
    """Whether there are pages behind the first. They must be smaller copies of it.

    Raises:
        OSError: as `pages`.
        ImageError: a further page is no smaller copy, or there are too many.
    """
    found = list(pages(content))
    none = Entry(0, 0)
    for page in found[1:]:
        if not (page.get(_REDUCED, none).first & 1 or page.get(_OLD_REDUCED, none).first == 2):
            raise several(name)
    if len(found) == MAX_PAGES:
        raise several(name)
    return len(found) > 1


def several(name: str) -> ImageError:
    """Return the refusal of an image that holds several, any of which could be the part."""
    return ImageError.of(name, "holds several images or frames", "save the one that counts alone", "frames")


def require_small_exif(data: bytes) -> None:
    """Refuse EXIF data that claim more than they hold: Pillow would copy what each of their tags claims.

    Raises:
        OSError: they do.
    """
    with suppress(struct.error):  # Pillow says what it thinks of them
        next(pages(data.removeprefix(b"Exif\0\0")), None)


def load(image: ImageFile.ImageFile, content: bytes, _: object = None) -> None:
    """Check that the pixels of a TIFF that Pillow has opened are all there, and decode it.

    Raises:
        OSError: strips or tiles are missing or too short, or 0 is white in more than 8 bits, which Pillow ignores.
    """
    tags: dict[int, Any] = dict(getattr(image, "tag_v2", {}))
    bits, samples = tags.get(_BITS, (1,)), tags.get(_SAMPLES, 1)
    if tags.get(_PHOTOMETRIC) == _MIN_IS_WHITE and max(bits) > 8:
        raise OSError("0 is white in more than 8 bits")
    compression = tags.get(_COMPRESSION, _UNCOMPRESSED)
    if compression == _UNCOMPRESSED:
        planes = samples if tags.get(_PLANAR) == 2 else 1
        areas = [tile[1] or (0, 0, 0, 0) for tile in image.tile]
        covered = sum((right - left) * (bottom - top) for left, top, right, bottom in areas)
        lengths = [int(length) for _, tag in _PLACES for length in tags.get(tag) or ()]
        needed = image.width * image.height * samples * bits[0] // 8
        if covered < image.width * image.height * planes or (lengths and sum(lengths) < needed):
            raise OSError("strips or tiles are missing or too short")
    if compression == _JPEG:
        _require_whole_jpegs(tags, content)
    image.load()


def _require_whole_jpegs(tags: dict[int, tuple[int, ...]], content: bytes) -> None:
    """Decode every strip or tile that is a JPEG by itself, since libtiff hides what is missing in one."""
    tables = bytes(tags.get(_TABLES, b"\xff\xd8\xff\xd9"))[:-2]
    for offsets, lengths in _PLACES:
        for offset, length in zip(tags.get(offsets, ()), tags.get(lengths, ()), strict=True):
            strip = tables + content[offset + 2 : offset + length]
            ends = jpeg.pieces(strip, "a strip")
            with Image.open(BytesIO(strip), formats=("JPEG",)) as part:
                jpeg.load(part, strip, ends)
