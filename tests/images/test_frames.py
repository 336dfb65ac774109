"""Files that hold several images: refused, unless what is behind the first is known to be no other view of the part."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from adfm import images
from adfm.errors import ImageError
from adfm.images import opening


def frame(colour: str) -> Image.Image:
    return Image.new("RGB", (48, 32), colour)


def several(form: str, **options: Any) -> bytes:
    buffer = BytesIO()
    frame("red").save(buffer, form, save_all=True, append_images=[frame("blue")], **options)
    return buffer.getvalue()


def multi_picture(kind: int, note: bytes = b"") -> bytes:
    """A JPEG with a second one behind it, of this MPF type; `note` is in a comment of it."""
    content = bytearray(several("MPO"))
    base = content.index(b"MPF\0") + 4  # a little-endian TIFF, in which tag B002 holds entries of 16 bytes
    entry = content.index(b"\x02\xb0\x07\x00", base)
    (offset,) = struct.unpack_from("<I", content, entry + 8)
    struct.pack_into("<L", content, base + offset + 16, kind)
    return bytes(content) + note


def pages(second: int) -> bytes:
    """A TIFF of two pages; the second has this NewSubfileType."""
    content = bytearray(several("TIFF"))
    (at,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, at)
    (at,) = struct.unpack_from("<I", content, at + 2 + 12 * count)
    struct.pack_into("<HHII", content, at + 2, 254, 4, 1, second)  # in place of its first tag, the width
    return bytes(content)


REFUSED = {
    "apng": lambda: several("PNG"),
    "webp": lambda: several("WEBP"),
    "tiff": lambda: several("TIFF"),
    "tiff of pages": lambda: pages(2),
    "mpo undefined": lambda: multi_picture(0),
    "mpo disparity": lambda: multi_picture(0x020002),
    "mpo panorama": lambda: multi_picture(0x020001),
}
READ = {
    "tiff with a smaller copy": lambda: pages(1),
    "mpo with a thumbnail": lambda: multi_picture(0x010001),
    "mpo with a gain map": lambda: multi_picture(0, b"<x hdrgm:Version='1.0'/>"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_several_images_are_refused(name: str) -> None:
    with pytest.raises(ImageError, match="several images or frames; save the one that counts alone") as error:
        images.decode(REFUSED[name]())
    assert error.value.reason == "frames"


@pytest.mark.parametrize("name", READ)
def test_a_preview_behind_the_image_is_said_and_no_fault(name: str, tmp_path: Any) -> None:
    (tmp_path / "a").write_bytes(READ[name]())
    header, shown = images.load_with_header(tmp_path / "a")
    assert header.previews
    assert shown.getpixel((3, 3))[0] > 200  # type: ignore[index]


def test_one_frame_is_no_animation(tmp_path: Any) -> None:
    for form in ("PNG", "WEBP", "TIFF", "MPO"):
        frame("red").save(tmp_path / "a", form, save_all=True)
        assert not images.load_with_header(tmp_path / "a")[0].previews


def test_control_without_the_look_the_first_frame_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_previews", lambda *_: False)
    for name in ("apng", "mpo disparity"):
        assert images.decode(REFUSED[name]()).getpixel((3, 3))[0] > 200  # type: ignore[index]


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPEG"])
def test_the_content_decides_what_an_image_is(suffix: str, tmp_path: Any) -> None:
    path = tmp_path / f"part{suffix}"
    frame("red").save(path, "JPEG")
    assert images.is_image(path)
    assert images.load_with_header(path)[0].format == "JPEG"


@pytest.mark.parametrize(
    ("begin", "name"),
    [
        (b"GIF89a", "GIF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypavif", "AVIF"),
        (b"%PDF-1.7", "PDF"),
        (b"%!PS-Adobe EPSF", "PostScript"),
        (b"<svg xmlns=", "SVG"),
        (b"8BPS", "Photoshop"),
        (b"\0" * 128 + b"DICM", "DICOM"),
        (b"P6 4 4 255 ", "Netpbm"),
        (b"\0\0\1\0\1\0", "icon"),
    ],
)
def test_another_format_is_named(begin: bytes, name: str) -> None:
    with pytest.raises(ImageError, match=f"is {name}, not a PNG, JPEG, BMP, TIFF or WebP image; convert it") as error:
        images.decode(begin + bytes(99))
    assert error.value.reason == "format"
