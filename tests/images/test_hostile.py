"""Hostile and odd images: each gives the right pixels or a typed error, in bounded time and memory."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adfm import images
from adfm.errors import ImageError
from adfm.images import jpeg, png, tiff

SECONDS = 10  # a guard against hangs; each takes milliseconds


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def part(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    rows, columns = np.mgrid[: size[1], : size[0]]
    pixels = np.stack((rows * 7, columns * 6, rows * 3 + columns * 3), axis=2).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


JPEG, PNG = saved(part(), "JPEG"), saved(part(), "PNG")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(kind: bytes, data: bytes, times: int = 1) -> bytes:
    """A PNG with further chunks behind its header."""
    return PNG[:33] + chunk(kind, data) * times + PNG[33:]


def with_segment(code: int, data: bytes, times: int = 1) -> bytes:
    """A JPEG with further segments behind its first marker."""
    return JPEG[:2] + (b"\xff" + bytes([code]) + struct.pack(">H", len(data) + 2) + data) * times + JPEG[2:]


def png_of(width: int, height: int, depth: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return png.SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def tiff_of(*entries: tuple[int, int, int, int], tail: bytes = b"", next_page: int = 0) -> bytes:
    rows = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + rows + struct.pack("<I", next_page) + tail


def greedy_tags(count: int) -> bytes:
    """A directory in which each tag claims the whole of the data."""
    return tiff_of(*((1000 + tag, 1, 50_000, 8) for tag in range(count)), tail=bytes(50_000 - 12 * count))


def large_tiff() -> bytes:
    content = saved(part(), "TIFF")
    for tag, side in ((256, 40), (257, 30)):
        entry = struct.pack("<HHI", tag, 4, 1)
        assert entry + struct.pack("<I", side) in content
        content = content.replace(entry + struct.pack("<I", side), entry + struct.pack("<I", 99_999))
    return content


def many_scans(times: int) -> bytes:
    content = saved(part(), "JPEG", progressive=True)
    return content[:-2] + content[content.rindex(b"\xff\xda") : -2] * times + b"\xff\xd9"


def repeated_scan(times: int) -> bytes:
    """A progressive JPEG whose first scan, of the coarse averages, comes that often."""
    content = saved(part(), "JPEG", progressive=True)
    begin = content.index(b"\xff\xda")
    end = content.index(b"\xff\xc4", begin)
    return content[:begin] + content[begin:end] * times + content[end:]


def bmp(width: int, height: int, compression: int, data: bytes) -> bytes:
    palette = bytes(1024)
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(data), 0, 0, 54 + 1024) + head + palette + data


def exif_of(body: bytes) -> bytes:
    return with_segment(0xE1, b"Exif\0\0" + body[:60_000])


def frame(code: int) -> bytes:
    at = JPEG.index(b"\xff\xc0")
    return JPEG[: at + 1] + bytes([code]) + JPEG[at + 2 :]


def sized(width: int, height: int) -> bytes:
    at = JPEG.index(b"\xff\xc0")
    return JPEG[: at + 5] + struct.pack(">HH", height, width) + JPEG[at + 9 :]


# What it is -> its bytes and the reason of the refusal, None where it is read as the part that it shows.
CASES: dict[str, tuple[Callable[[], bytes], str | None]] = {
    "nothing": (lambda: b"", "format"),
    "one byte": (lambda: b"\x89", "format"),
    "text": (lambda: b"a part that is fine", "format"),
    "zeros": (lambda: bytes(5000), "format"),
    "gif": (lambda: saved(part(), "GIF"), "format"),
    "animated gif": (lambda: saved(part(), "GIF", save_all=True, append_images=[part("L")]), "format"),
    "icon": (lambda: saved(part(), "ICO", sizes=[(16, 16)]), "format"),
    "icns": (lambda: b"icns" + bytes(300), "format"),
    "eps": (lambda: saved(part(), "EPS"), "format"),
    "pdf": (lambda: saved(part(), "PDF"), "format"),
    "svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", "format"),
    "svg bomb": (lambda: b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY a 'aaaa'>]>" + b"&a;" * 999, "format"),
    "netpbm": (lambda: saved(part(), "PPM"), "format"),
    "tga": (lambda: saved(part(), "TGA"), "format"),
    "jpeg 2000": (lambda: saved(part(), "JPEG2000"), "format"),
    "avif by name": (lambda: b"\0\0\0\x18ftypavif" + bytes(99), "format"),
    "zip": (lambda: b"PK\3\4" + bytes(99), "format"),
    "script with a picture behind it": (lambda: b"#!/bin/sh\nexit 0\n" + PNG, "format"),
    "pdf with a picture behind it": (lambda: b"%PDF-1.4\n" + JPEG, "format"),
    "png with a zip behind it": (lambda: PNG + b"PK\3\4" + bytes(999), None),
    "jpeg with a script behind it": (lambda: JPEG + b"<script>alert(1)</script>", None),
    "jpeg with a script in a comment": (lambda: with_segment(0xFE, b"<?php system('id'); ?>"), None),
    "png signature alone": (lambda: png.SIGNATURE, "damaged"),
    "png header alone": (lambda: PNG[:33], "damaged"),
    "png without an end": (lambda: PNG[:-12], "damaged"),
    "png with a wrong checksum": (lambda: PNG[:60] + bytes([PNG[60] ^ 1]) + PNG[61:], "damaged"),
    "png bomb": (lambda: png_of(60_000, 60_000), "limit"),
    "png too long": (lambda: png_of(1, 2_000_000), "limit"),
    "png of no width": (lambda: png_of(0, 5), "damaged"),
    "png of an odd depth": (lambda: png_of(5, 5, depth=7), "damaged"),
    "png with a text bomb": (lambda: with_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(30 << 20))), "damaged"),
    "png with many text bombs": (lambda: with_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 20)), 70), "damaged"),
    "png with a profile bomb": (lambda: with_chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(30 << 20))), "damaged"),
    "png with an international bomb": (
        lambda: with_chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(30 << 20))),
        "damaged",
    ),
    "png with greedy exif": (lambda: with_chunk(b"eXIf", greedy_tags(3000)), "damaged"),
    "png with broken exif": (lambda: with_chunk(b"eXIf", b"MM\0*\0\0\0\x08"), None),
    "png of many chunks": (lambda: with_chunk(b"abCd", b"", png.MAX_CHUNKS + 1), "limit"),
    "png of many empty parts": (
        lambda: PNG.replace(PNG[33:37] + b"IDAT", chunk(b"IDAT", b"") * 5000 + PNG[33:41]),
        None,
    ),
    "animated png": (lambda: saved(part(), "PNG", save_all=True, append_images=[part("L")]), "frames"),
    "jpeg header alone": (lambda: JPEG[:20], "damaged"),
    "jpeg that is cut": (lambda: JPEG[:-300], "damaged"),
    "jpeg that is cut, with an end": (lambda: JPEG[:-300] + b"\xff\xd9", "damaged"),
    "jpeg without a scan": (lambda: JPEG[: JPEG.index(b"\xff\xda")] + b"\xff\xd9", "damaged"),
    "jpeg bomb": (lambda: sized(65_500, 65_500), "limit"),
    "jpeg larger than its data": (lambda: sized(640, 480), "damaged"),
    "jpeg of no height": (lambda: sized(40, 0), "damaged"),
    "jpeg of many scans": (lambda: many_scans(2000), "limit"),
    "jpeg of 50 scans": (lambda: repeated_scan(40), None),
    "jpeg of many segments": (lambda: with_segment(0xFE, b"", jpeg.MAX_SEGMENTS + 1), "limit"),
    "jpeg of restart markers": (lambda: JPEG[:-2] + b"\xff\xd0" * 100_000 + b"\xff\xd9", "damaged"),
    "jpeg with markers in front": (lambda: b"\xff\xd8" * 100_000 + JPEG, "limit"),
    "arithmetic jpeg": (lambda: frame(0xC9), "format"),
    "lossless jpeg": (lambda: frame(0xC3), "format"),
    "jpeg with greedy exif": (lambda: exif_of(greedy_tags(3000)), "damaged"),
    "jpeg with exif that points nowhere": (lambda: exif_of(b"II*\0\xff\xff\xff\xff"), None),
    "jpeg with large metadata": (lambda: with_segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(60_000), 60), None),
    "bmp bomb": (lambda: bmp(2_000_000_000, 2, 0, b""), "limit"),
    "bmp with a run-length bomb": (lambda: bmp(999_999, 90, 1, b"\0\2\xff\xff" * 9), "format"),
    "bmp that is cut": (lambda: saved(part(), "BMP")[:-99], "damaged"),
    "tiff header alone": (lambda: b"II*\0\x08\0\0\0", "damaged"),
    "tiff whose directory is outside": (lambda: b"II*\0\xff\xff\xff\xff", "damaged"),
    "tiff with greedy tags": (lambda: greedy_tags(3000), "damaged"),
    "tiff of many tags": (lambda: tiff_of(*((t, 3, 1, 0) for t in range(tiff.MAX_ENTRIES + 1))), "damaged"),
    "tiff whose pages go in a circle": (
        lambda: tiff_of((254, 4, 1, 1), (256, 4, 1, 9), (257, 4, 1, 9), next_page=8),
        "frames",
    ),
    "tiff bomb": (large_tiff, "limit"),
    "tiff of two pages": (lambda: saved(part(), "TIFF", save_all=True, append_images=[part("L")]), "frames"),
    "tiff of 16 bits": (lambda: saved(Image.fromarray(np.ones((30, 40), np.uint16)), "TIFF"), "values"),
    "tiff of fractions": (lambda: saved(Image.fromarray(np.ones((30, 40), np.float32)), "TIFF"), "values"),
    "webp header alone": (lambda: b"RIFF\x20\0\0\0WEBPVP8 ", "damaged"),
    "webp that is cut": (lambda: saved(part(), "WEBP")[:-20], "damaged"),
    "animated webp": (lambda: saved(part(), "WEBP", save_all=True, append_images=[part("L")]), "frames"),
    "sound file": (lambda: b"RIFF\x20\0\0\0WAVEfmt " + bytes(99), "format"),
}


def test_there_are_enough() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", CASES)
def test_it_is_read_or_refused_for_the_right_reason(name: str, tmp_path: Path) -> None:
    make, reason = CASES[name]
    content = make()
    (tmp_path / "part.png").write_bytes(content)  # no name helps
    begun = time.process_time()
    for read in (images.load, images.measured):
        found, message = None, ""
        try:
            shown = read(tmp_path / "part.png")
        except ImageError as error:
            found, message = error.reason, str(error)
            assert "\n" not in message and len(message) < 300 and str(tmp_path / "part.png") in message
        if read is images.load or reason is None:
            assert found == reason, message
        if read is images.load and found is None:
            assert shown.size == (40, 30)
            assert np.abs(np.asarray(shown, int) - np.asarray(part(), int)).mean() < 12
    assert time.process_time() - begun < SECONDS


@pytest.mark.parametrize(
    ("name", "guard"),
    [
        ("jpeg of many scans", "adfm.images.jpeg.MAX_SCANS"),
        ("jpeg of many segments", "adfm.images.jpeg.MAX_SEGMENTS"),
        ("png of many chunks", "adfm.images.png.MAX_CHUNKS"),
        ("png too long", "adfm.images.opening.MAX_SIDE"),
    ],
)
def test_control_without_its_limit_it_goes_further(name: str, guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = CASES[name][0]()
    monkeypatch.setattr(guard, 10**12)
    try:
        images.decode(content)
    except ImageError as error:
        assert error.reason != "limit"


CHILD = """
import sys
from pathlib import Path
import adfm.images as images

def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

before = most()
images.load(Path(sys.argv[1]), float(sys.argv[2]))
print(most() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16", "F"])
def test_an_image_takes_no_more_memory_than_is_promised(mode: str, tmp_path: Path) -> None:
    """At most 10 bytes a pixel beside the file, as docs/security.md says. 16-bit images took 30."""
    side, path = 2000, tmp_path / "part.tif"
    if mode in ("I;16", "F"):
        rows = np.linspace(0, 255, side, dtype=np.uint16 if mode == "I;16" else np.float32)
        Image.fromarray(np.broadcast_to(rows, (side, side)).copy()).save(path)
    else:
        Image.new(mode, (side, side), "red").save(path)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), "255"], check=True, capture_output=True, text=True, env={**os.environ}
    )
    assert int(done.stdout) < 10 * side * side + path.stat().st_size + (24 << 20)
