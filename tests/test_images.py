"""The decoder: orientation, depth, palettes, damage, bombs; whatever the bytes are, an image or an `ImageError`."""

from __future__ import annotations

import os
import random
import struct
import sys
import time
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adfm import images
from adfm.errors import ImageError
from adfm.images import opening


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises `width` x `height` pixels and holds none."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def scene() -> Image.Image:
    """An image that looks different in every orientation."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:16, :24] = (200, 30, 30)
    pixels[16:, 24:] = (30, 30, 200)
    return Image.fromarray(pixels)


_STORED = {  # how a camera stores the upright scene under each orientation tag (EXIF 2.32, table 4.6.4)
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_every_exif_orientation_is_shown_upright(tmp_path: Path, tag: int, suffix: str) -> None:
    turn = _STORED[tag]
    stored = scene() if turn is None else scene().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = tag
    stored.save(tmp_path / f"a.{suffix}", exif=exif, **({"quality": 95} if suffix in ("jpg", "webp") else {}))
    shown = images.load(tmp_path / f"a.{suffix}")
    assert (
        shown.size == (48, 32) == images.size(tmp_path / f"a.{suffix}") == images.measured(tmp_path / f"a.{suffix}")[:2]
    )
    assert np.abs(np.asarray(shown, int) - np.asarray(scene(), int)).mean() < 12


def test_a_mask_turns_with_its_tag(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (20, 10), 1).save(tmp_path / "m.png", exif=exif)
    assert images.load_mask(tmp_path / "m.png").shape == (20, 10)


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    part = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    part.putpixel((1, 2), (9, 8, 7, 255))
    part.save(tmp_path / "a.png")
    shown = np.asarray(images.load(tmp_path / "a.png"))
    assert shown[2, 1].tolist() == [9, 8, 7]
    assert (np.delete(shown.reshape(-1, 3), 9, axis=0) == 255).all()


def test_an_image_that_is_transparent_all_over_is_refused(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (90, 80, 70, 0)).save(tmp_path / "a.png")
    for read in (images.load, images.measured):
        with pytest.raises(ImageError, match="transparent all over") as error:
            read(tmp_path / "a.png")
        assert error.value.reason == "values"


def test_a_palette_mask_keeps_its_indices(tmp_path: Path) -> None:
    mask = Image.new("P", (6, 4), 0)
    mask.putpalette([255, 255, 255, 0, 0, 0, 0, 255, 0])  # index 0 is white, index 1 black: colours would mislead
    mask.paste(1, (0, 0, 2, 2))
    mask.paste(2, (3, 0, 5, 2))
    mask.save(tmp_path / "m.png")
    codes = images.load_mask(tmp_path / "m.png")
    assert sorted(np.unique(codes).tolist()) == [0, 1, 2]
    assert int((codes > 0).sum()) == 8


@pytest.mark.parametrize(("mode", "value"), [("1", 1), ("L", 1), ("I;16", 1), ("RGB", (0, 1, 0)), ("LA", (1, 0))])
def test_a_mask_code_of_one_survives_in_every_mode(tmp_path: Path, mode: str, value: object) -> None:
    Image.new(mode, (3, 2), value).save(tmp_path / "m.png")  # type: ignore[arg-type]
    assert (images.load_mask(tmp_path / "m.png") > 0).any()


def test_alpha_is_no_mask_code(tmp_path: Path) -> None:
    Image.new("RGBA", (3, 2), (0, 0, 0, 255)).save(tmp_path / "m.png")
    assert not (images.load_mask(tmp_path / "m.png") > 0).any()


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
def test_a_cut_file_is_damaged(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.effect_noise((64, 64), 90).convert("RGB").save(path)
    images.load(path)  # control: whole, it loads
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for read in (images.load, images.measured):
        with pytest.raises(ImageError, match=r"damaged|not a PNG") as error:
            read(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (11_000, 11_000), (2_000_000_000, 2_000_000_000)])
def test_a_bomb_is_refused_from_its_header(tmp_path: Path, width: int, height: int) -> None:
    (tmp_path / "a.png").write_bytes(png_header(width, height))
    begun = time.process_time()
    for read in (images.size, images.measured, images.load, images.load_mask):
        with pytest.raises(ImageError, match="over 100000000 pixels"):
            read(tmp_path / "a.png")
    assert time.process_time() - begun < 1


def test_other_formats_and_other_things_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "gif", "GIF")
    (tmp_path / "gif").rename(tmp_path / "a.png")  # the content decides, not the name
    (tmp_path / "b.png").write_text("no image")
    (tmp_path / "c.png").write_bytes(b"")
    (tmp_path / "d.png").mkdir()
    for name in "abcd":
        with pytest.raises(ImageError):
            images.load(tmp_path / f"{name}.png")
    with pytest.raises(ImageError, match="no such file"):
        images.load(tmp_path / "e.png")


def test_random_damage_is_an_image_or_an_image_error(tmp_path: Path) -> None:
    draw, refused = random.Random(5), 0
    for suffix in ("PNG", "JPEG", "TIFF", "BMP", "WEBP"):
        buffer = BytesIO()
        scene().save(buffer, suffix)
        for _ in range(60):
            content = bytearray(buffer.getvalue())
            for _ in range(draw.randint(1, 6)):
                content[draw.randrange(len(content))] = draw.randrange(256)
            (tmp_path / "a").write_bytes(content)
            for read in (images.load, images.load_mask, images.size, images.load_with_header):
                refused += result_of(read, tmp_path / "a") is None
            measured, loaded = (result_of(read, tmp_path / "a") for read in (images.measured, images.load))
            assert (measured and measured[:2]) == (loaded and loaded.size)
    assert refused > 50


def result_of(read: Callable[[Path], Any], path: Path) -> Any:
    try:
        return read(path)
    except ImageError:
        return None


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"]
)
def test_the_decoded_size_is_that_of_the_image(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    Image.new(mode, (7, 3), {"LA": (9, 255), "PA": (9, 255), "RGBA": "white"}.get(mode, 0)).save(path)
    assert images.measured(path)[:2] == images.load(path, 1).size == (7, 3)

    def unknown(image: Image.Image, *_: object) -> Image.Image:
        raise ValueError(f"conversion from {image.mode} to RGB not supported")

    monkeypatch.setattr(Image.Image, "convert", unknown)
    if mode not in ("CMYK", "LAB", "L"):
        return
    for read in (images.load, images.measured):
        with pytest.raises(ImageError, match="not supported"):
            read(path)
    assert images.size(path) == (7, 3)  # control: the header alone does not show it


def test_a_header_tells_what_decoding_loses_and_the_pixels_are_the_same(tmp_path: Path) -> None:
    plain, deep = scene(), Image.fromarray(np.full((32, 48), 65535, np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    plain.save(tmp_path / "plain.png")
    plain.save(tmp_path / "turned.jpg", exif=exif)
    deep.save(tmp_path / "deep.png")
    plain.convert("RGBA").save(tmp_path / "alpha.png")
    plain.save(tmp_path / "one.tif")
    heads = {path.name: images.load_with_header(path, 65535)[0] for path in tmp_path.iterdir()}
    assert heads["plain.png"] == images.Header("PNG", "RGB", 1, deep=False, transparent=False, previews=False)
    assert [name for name, head in heads.items() if head.orientation != 1] == ["turned.jpg"]
    assert [name for name, head in heads.items() if head.deep] == ["deep.png"]
    assert {name for name, head in heads.items() if head.transparent} == {"alpha.png"}
    for path in tmp_path.iterdir():
        assert images.load_with_header(path, 65535)[1] == images.load(path, 65535)
        assert (images.load_mask_with_header(path)[1] == images.load_mask(path)).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "missing"), (b"text", "format"), (png_header(20_000, 20_000), "limit"), (png_header(8, 8), "damaged")],
)
def test_a_refused_image_says_why(tmp_path: Path, content: bytes | None, reason: str) -> None:
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError) as error:
        images.load(tmp_path / "a.png")
    assert error.value.reason == reason


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
def test_bytes_decode_to_the_pixels_of_the_file(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    scene().save(tmp_path / f"a.{suffix}", **({} if suffix == "bmp" else {"exif": exif}))
    content = (tmp_path / f"a.{suffix}").read_bytes()
    assert images.decode(content) == images.load(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "format"), (b"text", "format"), (png_header(20_000, 20_000), "limit"), (png_header(8, 8), "damaged")],
)
def test_refused_bytes_name_the_image(content: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=r"^upload 3: ") as error:
        images.decode(content, "upload 3")
    assert error.value.reason == reason


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "I;16"])
def test_an_image_open_in_pillow_becomes_what_its_file_is(mode: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    scene().convert("L" if mode == "I;16" else mode).convert(mode).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        assert images.as_rgb(image, white=65535) == images.load(tmp_path / "a.png", 65535)
        assert image.mode == mode and image.size == scene().size, "the given image is not changed"


def test_an_image_open_in_pillow_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene().save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    with Image.open(BytesIO(content[: len(content) // 2])) as image, pytest.raises(ImageError, match=r"^part: is dam"):
        images.as_rgb(image, "part")
    monkeypatch.setattr(opening, "MAX_PIXELS", scene().width * scene().height - 1)
    with pytest.raises(ImageError, match="is over"):
        images.as_rgb(scene())


READERS = (
    images.load,
    images.read,
    images.load_mask,
    images.size,
    images.measured,
    images.load_with_header,
    images.load_mask_with_header,
)


@pytest.mark.parametrize("read", READERS)
def test_a_pipe_a_device_or_a_folder_is_refused_unopened(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # opening it would block for ever
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "device.png").symlink_to("/dev/zero")
    scene().save(tmp_path / "real.png")
    (tmp_path / "link.png").symlink_to("real.png")
    read(tmp_path / "link.png")  # control: a link to a regular file is followed
    for name in ("pipe", "folder", "device"):
        with pytest.raises(ImageError, match="not a regular file") as error:
            read(tmp_path / f"{name}.png")
        assert error.value.reason == "format"


@pytest.mark.parametrize("read", READERS)
def test_a_file_over_the_limit_is_not_read(
    tmp_path: Path, read: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene().save(tmp_path / "a.png")
    read(tmp_path / "a.png")  # control
    with (tmp_path / "a.png").open("r+b") as file:
        file.truncate(images.MAX_FILE_BYTES + 1)  # a sparse file: no disk is used
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    with pytest.raises(ImageError, match="over 512 MiB") as error:
        read(tmp_path / "a.png")
    assert error.value.reason == "limit"


def test_bytes_over_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = BytesIO()
    scene().save(buffer, "PNG")
    monkeypatch.setattr(opening, "MAX_FILE_BYTES", len(buffer.getvalue()))
    images.decode(buffer.getvalue())  # control
    with pytest.raises(ImageError, match="over"):
        images.decode(buffer.getvalue() + b"\0")


def test_decoding_in_threads_leaves_the_warning_filters_alone(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.png")
    before, interval = list(warnings.filters), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(images.load, [tmp_path / "a.png"] * 400))
    finally:
        sys.setswitchinterval(interval)
    assert list(warnings.filters) == before


def test_which_names_are_images() -> None:
    assert images.is_image(Path("a/B.JPG"))
    assert not images.is_image(Path("a/.b.jpg"))
    assert not images.is_image(Path("a/b.txt"))


@pytest.mark.parametrize("size", [(1, 1), (17, 3), (1500, 1000), (5000, 4000)])
def test_codes_are_the_same_with_and_without_arrow(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lent pixels outlive the closed image; one of many pieces, or without pyarrow, is copied."""
    codes = np.random.default_rng(0).integers(0, 256, size[::-1], dtype=np.uint8)
    Image.fromarray(codes).save(tmp_path / "mask.png", compress_level=1)
    assert np.array_equal(images.load_mask(tmp_path / "mask.png"), codes)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert np.array_equal(images.load_mask(tmp_path / "mask.png"), codes)
