"""Images of more than 8 bits: one white level for a set, recorded, carried to training, evaluation and inspection."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adfm import images
from adfm.cli.main import main
from adfm.data.build import build
from adfm.data.check import check
from adfm.data.faults import DataFaultsError
from adfm.data.manifest import read_manifest
from adfm.data.settings import BuildSettings
from adfm.errors import ImageError
from adfm.images import Depth, white_level
from adfm.images.depth import to_grey
from adfm.inspection.inspector import Decoded
from adfm.models.card import ModelCard, TrainedOn, white_of, write_card
from adfm.reasoning import DEFAULT


def tiff(values: Any, dtype: str) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.asarray(values, dtype)).save(buffer, "TIFF")
    return buffer.getvalue()


def shown(content: bytes, white: float | None) -> list[int]:
    return np.asarray(images.decode(content, white=white))[0, :, 0].tolist()


@pytest.mark.parametrize(
    ("values", "dtype", "white", "grey"),
    [
        ([[0, 2048, 4095]], "uint16", 4095, [0, 127, 255]),
        ([[0, 32768, 65535]], "uint16", 65535, [0, 127, 255]),
        ([[0, 128, 255]], "uint16", 255, [0, 128, 255]),
        ([[0, 500_000, 1_000_000]], "int32", 1_000_000, [0, 127, 255]),
        ([[0.0, 0.5, 1.0]], "float32", 1, [0, 127, 255]),
        ([[0.0, 0.004, 0.008]], "float32", 0.0078125 * 2, [0, 65, 130]),
    ],
)
def test_zero_is_black_and_the_level_is_white(values: Any, dtype: str, white: float, grey: list[int]) -> None:
    assert shown(tiff(values, dtype), white) == grey


@pytest.mark.parametrize(
    ("values", "dtype", "white", "why"),
    [
        ([[0, 5, np.inf]], "float32", 9, "not finite"),
        ([[0, 5, np.nan]], "float32", 9, "not finite"),
        ([[-np.inf, 5, 3]], "float32", 9, "not finite"),
        ([[-0.25, 5, 3]], "float32", 9, "below 0"),
        ([[-1, 5, 3]], "int32", 9, "below 0"),
        ([[1, 70_000, 3]], "int32", 65535, "up to 70000, above 65535"),
        ([[1, 4096, 3]], "uint16", 4095, "up to 4096, above 4095"),
        ([[1, 4096, 3]], "uint16", None, "nothing says which value is white; give --white N"),
        ([[0, 0.5, 1]], "float32", None, "nothing says which value is white"),
    ],
)
def test_a_value_that_has_no_grey_is_refused(values: Any, dtype: str, white: float | None, why: str) -> None:
    with pytest.raises(ImageError, match=why) as error:
        images.decode(tiff(values, dtype), "part", white)
    assert error.value.reason == "values"


@pytest.mark.parametrize("values", [[[1.0, np.inf]], [[-1.0, 1.0]]])
def test_control_without_the_check_a_value_becomes_black(values: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adfm.images.depth.depth_of", lambda *_: Depth(1))
    with np.errstate(invalid="ignore"):
        grey = np.asarray(to_grey(Image.fromarray(np.asarray(values, np.float32)), 1, ""))
    assert grey.tolist() != [[255, 255]]  # a part that no one would see as it is


@pytest.mark.parametrize(
    ("depths", "white"),
    [
        ([], None),
        ([Depth(4095), Depth(17)], 4095),
        ([Depth(3800)], 4095),
        ([Depth(4096)], 8191),
        ([Depth(3)], 255),
        ([Depth(65535)], 65535),
        ([Depth(70_000)], 131_071),
        ([Depth(1.0, floating=True), Depth(0.2, floating=True)], 1),
        ([Depth(0.9, floating=True)], 1),
        ([Depth(0.02, floating=True)], 0.03125),
        ([Depth(254.5, floating=True)], 256),
        ([Depth(0.0, floating=True)], 1),
    ],
)
def test_the_level_is_the_end_of_the_range_that_the_set_uses(depths: list[Depth], white: float | None) -> None:
    assert white_level(depths) == white


def test_fractions_and_whole_numbers_have_no_common_level() -> None:
    with pytest.raises(ValueError, match="save them alike"):
        white_level([Depth(1, floating=True), Depth(255)])


def deep_colour(tmp_path: Path, highest: int) -> Path:
    import cv2

    pixels = np.zeros((4, 6, 3), np.uint16)
    pixels[1, 2] = (highest, highest // 2, highest // 4)
    cv2.imwrite(str(tmp_path / "deep.png"), pixels)
    return tmp_path / "deep.png"


def test_deep_colours_are_read_at_full_range_and_refused_below_it(tmp_path: Path) -> None:
    path = deep_colour(tmp_path, 65535)
    assert images.measured(path) == (6, 4, Depth(65535, colour=True))
    assert np.asarray(images.load(path, 65535))[1, 2].tolist() == [63, 127, 255]
    for white in (4095, None):
        with pytest.raises(ImageError, match="over 8 bits"):
            images.load(path, white)
    dark = deep_colour(tmp_path, 4095)
    assert white_level([images.measured(dark).depth]) == 4095


@pytest.mark.parametrize(
    ("mode", "value", "rgb"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 255), (77, 77, 77)),
        ("LA", (100, 51), (224, 224, 224)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("CMYK", (0, 0, 0, 0), (255, 255, 255)),
        ("CMYK", (255, 0, 0, 0), (0, 255, 255)),
        ("YCbCr", (128, 128, 128), (128, 128, 128)),
    ],
)
def test_every_mode_of_8_bits_has_one_rule_and_needs_no_level(mode: str, value: Any, rgb: tuple[int, ...]) -> None:
    buffer = BytesIO()
    Image.new(mode, (3, 2), value).save(buffer, "TIFF")
    for white in (None, 9):
        assert images.decode(buffer.getvalue(), white=white).getpixel((1, 1)) == rgb


def test_where_0_is_white_in_more_than_8_bits_it_is_refused() -> None:
    content = tiff([[1, 2, 3]], "uint16")
    inverted = content.replace(b"\x06\x01\x03\x00\x01\x00\x00\x00\x01", b"\x06\x01\x03\x00\x01\x00\x00\x00\x00")
    assert inverted != content
    images.decode(content, white=255)  # control
    with pytest.raises(ImageError, match="0 is white"):
        images.decode(inverted, white=255)


@pytest.fixture
def twelve_bits(tmp_path: Path) -> Path:
    """Six good and six bad parts, each 12 bits in a 16-bit PNG; the brightest value is in a single one."""
    draw = np.random.default_rng(0)
    for kind in ("OK", "NG"):
        (tmp_path / "src" / kind).mkdir(parents=True)
        for number in range(6):
            pixels = draw.integers(900, 3000, (40, 60)).astype(np.uint16)
            if kind == "NG":
                pixels[10:20, 10:20] = 4000 if number else 4090
            Image.fromarray(pixels).save(tmp_path / "src" / kind / f"{kind}{number}.png")
    return tmp_path / "src"


def test_a_set_of_12_bits_is_shown_bright_and_says_how(
    twelve_bits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "build", str(twelve_bits), "--out", str(tmp_path / "data")]) == 0
    assert (
        "12, shown with the value 4095 as white (the highest is 4090; --white N sets another)"
        in capsys.readouterr().out
    )
    manifest = read_manifest(tmp_path / "data")
    assert {sample.white for sample in manifest.samples} == {4095} == {manifest.white}
    rows = [json.loads(line) for line in (tmp_path / "data" / "manifest.jsonl").read_text().splitlines()]
    assert {row["white"] for row in rows} == {4095}
    for sample in manifest.samples:
        pixels = manifest.load(sample)
        assert pixels == images.load(manifest.image_path(sample), 4095)
        assert 100 < np.asarray(pixels).mean() < 160
    assert not [fault for fault in check(tmp_path / "data") if fault.level == "fault"]


def test_a_given_level_decides_and_a_value_above_it_is_a_fault(twelve_bits: Path, tmp_path: Path) -> None:
    report = build(twelve_bits, tmp_path / "data", BuildSettings(white=65535))
    assert "65535 as white (as given)" in report.meta["warnings"][0]
    assert read_manifest(report.manifest).white == 65535
    with pytest.raises(DataFaultsError, match=r"image-values.*NG0.png.*up to 4090, above 4000") as error:
        build(twelve_bits, tmp_path / "low", BuildSettings(white=4000))
    assert len(error.value.faults) == 1
    assert not (tmp_path / "low").exists()


def test_tiles_of_deep_images_are_of_8_bits(twelve_bits: Path, tmp_path: Path) -> None:
    report = build(twelve_bits, tmp_path / "data", BuildSettings(tile=20, tile_overlap=0))
    manifest = read_manifest(report.manifest)
    tiles = {sample.id: sample for sample in manifest.samples}
    assert {sample.white for sample in tiles.values()} <= {None}


def test_an_8_bit_set_has_no_level_and_says_nothing(parts_data: Path) -> None:
    manifest = read_manifest(parts_data)
    assert manifest.white is None
    assert "white" not in (parts_data / "manifest.jsonl").read_text()
    assert "bits" not in "".join(json.loads((parts_data / "manifest.meta.json").read_text())["warnings"])


def test_a_set_of_fractions_and_whole_numbers_is_refused(twelve_bits: Path, tmp_path: Path) -> None:
    (twelve_bits / "OK" / "f.tif").write_bytes(tiff(np.random.default_rng(0).random((40, 60)), "float32"))
    with pytest.raises(DataFaultsError, match="save them alike"):
        build(twelve_bits, tmp_path / "data", BuildSettings())


def test_a_model_carries_the_level_of_its_training_to_inspection(twelve_bits: Path, tmp_path: Path) -> None:
    trained_on = TrainedOn(manifest_sha256=None, recipe_sha256="b" * 64, seed=3, start="nano", white=4095)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    write_card(tmp_path / "model", ModelCard(protocol=DEFAULT, trained_on=trained_on))
    white = white_of(str(tmp_path / "model"))
    part = twelve_bits / "NG" / "NG1.png"
    assert Decoded.of(part, white=white).image == images.load(part, 4095)
    with pytest.raises(ImageError, match="give --white N"):
        Decoded.of(part)
