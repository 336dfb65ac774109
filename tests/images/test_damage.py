"""Damage that a decoder can know of is refused, wherever a file is cut; whole files of every encoder are read."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from adfm import images
from adfm.errors import ImageError
from adfm.images import opening, png

CUTS = 30


def photo(width: int = 150, height: int = 110, seed: int = 0) -> Image.Image:
    """A noisy gradient with a dark defect near its lower end: no part of it is like another."""
    draw = np.random.default_rng(seed)
    pixels = draw.normal(0, 12, (height, width, 3)) + np.linspace(60, 190, width)[None, :, None]
    pixels[-height // 4 : -height // 8, width // 3 : width // 2] = 10
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


JPEGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "optimised": {"optimize": True, "quality": 95},
    "coarse": {"quality": 5},
    "restarts": {"restart_marker_rows": 1},
    "every block": {"restart_marker_blocks": 1},
    "progressive": {"progressive": True},
    "progressive 4:4:4": {"progressive": True, "subsampling": 0},
    "progressive restarts": {"progressive": True, "restart_marker_rows": 1},
}


@cache
def jpegs() -> dict[str, bytes]:
    """One image of every kind of JPEG that Pillow and OpenCV write."""
    found = {name: saved(photo(), "JPEG", **options) for name, options in JPEGS.items()}
    found |= {f"grey {name}": saved(photo().convert("L"), "JPEG", **options) for name, options in JPEGS.items()}
    found["cmyk"] = saved(photo().convert("CMYK"), "JPEG")
    found["flat"] = saved(Image.new("RGB", (150, 110), (9, 80, 160)), "JPEG")
    found["flat progressive"] = saved(Image.new("RGB", (150, 110), (9, 80, 160)), "JPEG", progressive=True)
    flags = {
        "cv2": [],
        "cv2 progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        "cv2 restarts": [cv2.IMWRITE_JPEG_RST_INTERVAL, 3],
        "cv2 optimised": [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
    }
    for name, values in flags.items():
        found[name] = cv2.imencode(".jpg", np.asarray(photo()), values)[1].tobytes()
    return found


def read_any(content: bytes) -> Image.Image | None:
    try:
        return images.decode(content)
    except ImageError as error:
        assert error.reason == "damaged", error
        return None


def scan_start(content: bytes) -> int:
    at = content.index(b"\xff\xda")
    return at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")


@pytest.mark.parametrize("name", jpegs())
def test_a_jpeg_that_is_cut_is_refused_though_an_end_marker_follows(name: str) -> None:
    content = jpegs()[name]
    begin, end = scan_start(content), len(content) - 2
    # To the last bytes, which hold no more than a block of this size: of flat areas up to three.
    places = sorted({begin + (end - 6 - begin) * number // CUTS for number in range(CUTS)})
    accepted = [place for place in places if read_any(content[:place] + b"\xff\xd9") is not None]
    assert accepted == []


def test_control_the_decoder_alone_takes_what_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, rows = jpegs()["baseline"], as_png(photo())
    cut = [picture[:place] + b"\xff\xd9" for place in range(scan_start(picture) + 10, len(picture) - 10, 999)]
    cut.append(repacked(rows, unpacked(rows)[: 40 * (1 + 150 * 3)]))
    assert not any(map(read_any, cut))
    monkeypatch.setattr(opening, "_LOADERS", {})
    assert all(map(read_any, cut))


def thumbnailed() -> bytes:
    """A JPEG with a whole JPEG in its EXIF data, as cameras write it."""
    inner = saved(photo(40, 30), "JPEG")
    exif = Image.Exif()
    exif[0x010F] = "maker"
    body = exif.tobytes() + inner
    content = saved(photo(), "JPEG")
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[2:]


WHOLE: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda content: content,
    "junk behind it": lambda content: content + b"\0\xff\xda junk " * 50,
    "zeros behind it": lambda content: content + bytes(4096),
    "another behind it": lambda content: content + content,
    "a comment": lambda content: content[:2] + b"\xff\xfe\0\x06\xff\xd9ab" + content[2:],
    "fill bytes": lambda content: content[:-2] + b"\xff\xff\xff\xff" + content[-2:],
    "zeros before its end": lambda content: content[:-2] + bytes(40) + content[-2:],
}


@pytest.mark.parametrize("change", WHOLE)
@pytest.mark.parametrize("name", jpegs())
def test_a_whole_jpeg_is_read_as_the_decoder_alone_reads_it(name: str, change: str) -> None:
    content = WHOLE[change](jpegs()[name])
    assert np.array_equal(images.decode(content), Image.open(BytesIO(content)).convert("RGB"))


def test_a_jpeg_with_a_thumbnail_in_its_exif_data_is_read_and_cut_is_refused() -> None:
    content = thumbnailed()
    assert images.decode(content) == images.decode(saved(photo(), "JPEG"))
    assert read_any(content[:-200] + b"\xff\xd9") is None


def test_a_hole_between_restart_markers_is_found() -> None:
    content = jpegs()["restarts"]
    first, second = (content.index(marker) for marker in (b"\xff\xd1", b"\xff\xd2"))
    assert read_any(content[: first + 20] + content[second:]) is None
    third = content.index(b"\xff\xd3")
    assert read_any(content[:second] + content[third:]) is None, "a part is missing with its marker"


def test_every_size_is_read() -> None:
    """Parts of blocks at the borders, and scans of one component, have their own numbers of units."""
    for width, height in ((1, 1), (7, 9), (8, 8), (9, 17), (16, 16), (17, 33), (1, 200), (300, 2)):
        for options in JPEGS.values():
            content = saved(photo(256, 256).resize((width, height)), "JPEG", **options)
            assert np.array_equal(images.decode(content), Image.open(BytesIO(content)).convert("RGB"))


def test_without_one_of_its_scans_a_progressive_jpeg_is_refused() -> None:
    content = jpegs()["progressive"]
    last = content.rindex(b"\xff\xda")
    assert read_any(content[:last] + b"\xff\xd9") is None
    Image.open(BytesIO(content[:last] + b"\xff\xd9")).load()  # control: the decoder alone takes it


@pytest.mark.parametrize("image", [photo(), photo().convert("L"), photo().convert("P"), Image.new("1", (150, 110))])
@pytest.mark.parametrize("interlaced", [False, True])
def test_a_png_whose_stream_ends_early_is_refused(image: Image.Image, interlaced: bool) -> None:
    content = as_png(image, interlaced=interlaced)
    assert np.array_equal(images.decode(content), image.convert("RGB"))
    raw = unpacked(content)
    accepted = []
    for number in range(CUTS):
        cut = repacked(content, raw[: len(raw) * number // CUTS])
        if read_any(cut) is not None:
            accepted.append(number)
    assert accepted == []


def test_a_png_that_looks_unfinished_and_is_not_is_read() -> None:
    """Every pixel has the value that memory has before decoding."""
    image = Image.new("RGB", (150, 110), (png._BLANK,) * 3)
    assert np.array_equal(images.decode(as_png(image)), image)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def as_png(image: Image.Image, *, interlaced: bool = False) -> bytes:
    """Pillow writes no interlaced PNG, so that one is made of rows without filters, pass by pass."""
    content = saved(image, "PNG")
    if not interlaced:
        return content
    depth = {"1": 1, "L": 8, "P": 8, "RGB": 8}[image.mode]
    pixels, rows = np.asarray(image), b""
    for left, top, across, down in png._PASSES:
        for row in pixels[top::down, left::across]:
            if row.size:
                rows += b"\0" + (np.packbits(row).tobytes() if depth == 1 else row.tobytes())
    header = content[16:28] + b"\1"
    palette = b"".join(content[one.start - 8 : one.end + 4] for one in png.chunks(content, "") if one.kind == b"PLTE")
    return png.SIGNATURE + chunk(b"IHDR", header) + palette + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def unpacked(content: bytes) -> bytes:
    parts = [content[one.start : one.end] for one in png.chunks(content, "") if one.kind == b"IDAT"]
    return zlib.decompress(b"".join(parts))


def repacked(content: bytes, raw: bytes) -> bytes:
    others = [one for one in png.chunks(content, "") if one.kind != b"IDAT"]
    texts = [content[one.start - 8 : one.end + 4] for one in others]
    return png.SIGNATURE + b"".join(texts[:-1]) + chunk(b"IDAT", zlib.compress(raw)) + texts[-1]


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_deflate"}),
        ("TIFF", {"compression": "packbits"}),
        ("TIFF", {"compression": "jpeg"}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_a_file_shorter_than_its_header_promises_is_refused(form: str, options: dict[str, Any]) -> None:
    content = saved(photo(), form, **options)
    images.decode(content)  # control
    begin = 200 if form != "TIFF" else 300
    for number in range(CUTS):
        place = begin + (len(content) - 8 - begin) * number // CUTS
        assert read_any(content[:place]) is None
        if form == "WEBP":  # as an honest end: the sizes in both headers are those of the rest
            rest = content[:4] + struct.pack("<I", place - 8) + content[8:16] + struct.pack("<I", place - 20)
            assert read_any(rest + content[20:place]) is None


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "jpeg"])
def test_a_tiff_with_strips_missing_or_too_short_is_refused(compression: str) -> None:
    content = saved(photo(), "TIFF", compression=compression, tiffinfo={278: 16})
    images.decode(content)  # control
    for tag in (273, 279):
        assert read_any(with_fewer(content, tag)) is None
    assert read_any(with_halved_lengths(content)) is None


def entries(content: bytes) -> dict[int, int]:
    """Tag -> the place of its entry in the first directory of a little-endian TIFF."""
    (at,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, at)
    return {struct.unpack_from("<H", content, at + 2 + 12 * n)[0]: at + 2 + 12 * n for n in range(count)}


def with_fewer(content: bytes, tag: int) -> bytes:
    place = entries(content)[tag]
    (count,) = struct.unpack_from("<I", content, place + 4)
    return content[: place + 4] + struct.pack("<I", count // 2) + content[place + 8 :]


def with_halved_lengths(content: bytes) -> bytes:
    place = entries(content)[279]
    kind, count, at = struct.unpack_from("<HII", content, place + 2)
    form = {3: "H", 4: "I"}[kind]
    lengths = struct.unpack_from(f"<{count}{form}", content, at)
    halved = struct.pack(f"<{count}{form}", *(length // 2 for length in lengths))
    return content[:at] + halved + content[at + len(halved) :]


def test_random_damage_ends_as_an_image_or_an_image_error() -> None:
    draw, refused = random.Random(3), 0
    for content in [*jpegs().values(), saved(photo(), "TIFF", compression="jpeg"), as_png(photo(), interlaced=True)]:
        for _ in range(8):
            damaged = bytearray(content)
            for _ in range(draw.randint(1, 6)):
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            try:
                images.decode(bytes(damaged))
            except ImageError:
                refused += 1
    assert refused > 60
