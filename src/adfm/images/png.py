"""Checks a PNG: its chunks are whole, and its stream holds every row, which the decoder alone leaves black without a word."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from PIL import Image, ImageFile

from adfm.errors import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 70_000
_BLANK = 0xA5  # pixels have this value before they are decoded: a last row that still has it may be a missing one
_LOOKED_AT = 64  # pixels of that row
_BLOCK = 1 << 20
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


class Chunk(NamedTuple):
    """A chunk's kind, and where its data are in the file."""

    kind: bytes
    start: int
    end: int


def chunks(content: bytes, name: str) -> list[Chunk]:
    """Return the chunks of a PNG up to its end.

    Raises:
        OSError: one that decides pixels is damaged, or the end is missing.
        ImageError: there are too many.
    """
    found, position = [], len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        length, kind = struct.unpack_from(">I4s", content, position)
        chunk = Chunk(kind, position + 8, position + 8 + length)
        position = chunk.end + 4
        if position > len(content):
            raise OSError("is cut off")
        if kind[:1].isupper():  # the others are of no importance to pixels
            checksum = zlib.crc32(memoryview(content)[chunk.start - 4 : chunk.end])
            if checksum != int.from_bytes(content[chunk.end : position], "big"):
                raise OSError("a checksum is wrong")
        found.append(chunk)
        if kind == b"IEND":
            return found
    raise ImageError.of(name, f"has over {MAX_CHUNKS} chunks", "save it again", "limit")


def load(image: ImageFile.ImageFile, content: bytes, parts: list[Chunk]) -> None:
    """Decode an image that Pillow has opened; `parts` is what `chunks` returned.

    Raises:
        OSError: rows are missing.
    """
    bands = len(image.getbands())
    blank = Image.new(image.mode, image.size, (_BLANK,) * bands if bands > 1 else _BLANK)
    last_row = (0, image.height - 1, min(image.width, _LOOKED_AT), image.height)
    untouched = blank.crop(last_row).tobytes()
    image.im = blank.im
    image.load()
    interlaced = bool(content[28])
    if (interlaced or image.crop(last_row).tobytes() == untouched) and not _holds_all(content, parts):
        raise OSError("rows are missing")


def _holds_all(content: bytes, parts: list[Chunk]) -> bool:
    """Whether the compressed stream has as many bytes as the header asks for. At most a block of it is in memory."""
    needed, stream = _raw_bytes(content), zlib.decompressobj()
    for chunk in parts:
        rest = content[chunk.start : chunk.end] if chunk.kind == b"IDAT" else b""
        while rest and needed > 0:
            needed -= len(stream.decompress(rest, _BLOCK))
            rest = stream.unconsumed_tail
    return needed <= 0


def _raw_bytes(content: bytes) -> int:
    """Return how many bytes the rows of a PNG take before compression, each with its filter byte."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", content, 16)
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    total = 0
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = max(0, -((left - width) // across)), max(0, -((top - height) // down))
        total += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    return total
