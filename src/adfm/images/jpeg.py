"""Decodes a JPEG and proves that no scan of it ends early, which the decoder alone fills with grey and does not report."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from PIL import Image, ImageFile

from adfm.errors import ImageError

MAX_SEGMENTS = 10_000
MAX_SCANS = 64
MAX_SCANNED = 2_000_000_000
"""Largest number of pixels times scans: each scan of a progressive JPEG goes over the whole image again."""

_MARKER = re.compile(rb"\xff([^\x00\xff])")
_RESTARTS, _START, _END, _SCAN, _INTERVAL, _NO_CODE = range(0xD0, 0xD8), 0xD8, 0xD9, 0xDA, 0xDD, 0x01
_FRAMES = {0xC0: "baseline", 0xC1: "sequential", 0xC2: "progressive"}
_OTHER_FRAMES = {*range(0xC3, 0xD0)} - {0xC4, 0xC8, 0xCC}
# Eight bytes of ones. The decoder looks at most that far ahead, and no code word is all ones: as data they are worth at
# most one block, and behind a complete scan they are skipped.
_AHEAD, _MORE = b"\xff\x00" * 8, b"\xff\x00"


@dataclass
class _Frame:
    """The size of an image in pixels, its components with their sampling, and which coefficients no scan has completed."""

    progressive: bool
    width: int
    height: int
    sampling: dict[int, tuple[int, int]]
    missing: dict[int, set[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.missing = {component: set(range(64)) for component in self.sampling}

    @classmethod
    def of(cls, code: int, body: bytes) -> _Frame:
        rows = [body[6 + 3 * number : 9 + 3 * number] for number in range(body[5])]
        sampling = {row[0]: (row[1] >> 4, row[1] & 15) for row in rows}
        height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
        return cls(_FRAMES[code] == "progressive", width, height, sampling)

    def scanned(self, body: bytes) -> int:
        """Note what a scan holds, and return of how many units (MCUs) it must consist."""
        components = [body[1 + 2 * number] for number in range(body[0])]
        first, last, precision = body[-3:]
        for component in components:
            if not self.progressive:
                self.missing[component].clear()
            elif precision & 15 == 0:
                self.missing[component].difference_update(range(first, last + 1))
        across, down = (max(pair[side] for pair in self.sampling.values()) for side in (0, 1))
        if len(components) == 1:  # a scan of one component has no padding to whole units of all
            own = self.sampling[components[0]]
            return ceil(ceil(self.width * own[0] / across) / 8) * ceil(ceil(self.height * own[1] / down) / 8)
        return ceil(self.width / (8 * across)) * ceil(self.height / (8 * down))


def pieces(content: bytes, name: str) -> list[int]:
    """Return where each scan, or part of one between restart markers, ends, and last where the image ends.

    Raises:
        ImageError: cut off, without all scans or restarts, of an unusual kind, or of more scans than are worth decoding.
    """
    ends: list[int] = []
    frame, interval, scans, position = None, 0, 0, 2
    for _ in range(MAX_SEGMENTS):
        marker, position = _next(content, position)
        if marker == _END:
            if frame is None or any(frame.missing.values()):
                raise OSError("a scan is missing")
            return [*ends, position]
        if marker in _RESTARTS or marker in (_START, _NO_CODE):
            continue
        length = int.from_bytes(content[position : position + 2], "big")
        body, position = content[position + 2 : position + length], position + length
        if marker in _OTHER_FRAMES:
            raise ImageError.of(name, "is an arithmetic or lossless JPEG", "save it as PNG", "format")
        if marker in _FRAMES:
            frame = _Frame.of(marker, body)
        elif marker == _INTERVAL:
            interval = int.from_bytes(body[:2], "big")
        elif marker == _SCAN and frame is not None:
            scans += 1
            if scans > MAX_SCANS or scans * frame.width * frame.height > MAX_SCANNED:
                why = f"has over {MAX_SCANS} scans, or too many for its size"
                raise ImageError.of(name, why, "save it again", "limit")
            units = frame.scanned(body)
            ends += _parts(content, position, ceil(units / interval) if interval else 1)
            position = ends[-1]
    raise ImageError.of(name, f"has over {MAX_SEGMENTS} segments", "save it again", "limit")


def _next(content: bytes, position: int) -> tuple[int, int]:
    """Return the next marker's code and where it ends. Padding before it is skipped, as decoders do."""
    found = _MARKER.search(content, position)
    if found is None:
        raise OSError("is cut off: no end marker")
    return found[1][0], found.end()


def _parts(content: bytes, position: int, expected: int) -> list[int]:
    """Return where the parts of a scan end, `expected` of them or, as some cameras write, one empty one more."""
    ends: list[int] = []
    for found in _MARKER.finditer(content, position):
        ends.append(found.start())
        restart = found[1][0] in _RESTARTS
        if not restart and len(ends) >= expected:
            return ends
        if not restart or len(ends) > expected:
            break
    raise OSError("is cut off or has parts missing in a scan")


def load(image: ImageFile.ImageFile, content: bytes, ends: list[int]) -> None:
    """Decode an image that Pillow has opened, piece by piece; `ends` is what `pieces` returned.

    Pillow's decoder stops where it lacks data. A scan is complete if the decoder goes on to look for a marker.

    Raises:
        OSError: data are missing or cannot be decoded.
    """
    image.load_prepare()
    (name, extents, _, arguments) = image.tile[0]
    decoder = Image._getdecoder(image.mode, name, arguments, image.decoderconfig)
    try:
        decoder.setimage(image.im, extents)
        used, start = 0, 0
        for end in ends[:-1]:
            used = _fed(decoder, content[start:end] + _AHEAD)
            if used < 0:  # all pixels are there
                break
            start = end
        if used >= 0 and _fed(decoder, content[start : ends[-1]], more=b"") >= 0:
            raise OSError("data are missing")
    finally:
        decoder.cleanup()
    image.tile = []
    image.load()


def _fed(decoder: Any, data: bytes, more: bytes = _MORE) -> int:
    """Hand data to a decoder that must use them all, and `more` too; return a negative number when it has finished."""
    used = 0
    for part in (data, more):
        used, error = decoder.decode(part)
        if error:
            raise OSError("its data cannot be decoded")
        if used < 0:
            break
        if used < len(part):
            raise OSError("data are missing")
    return used
