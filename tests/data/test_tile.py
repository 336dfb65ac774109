"""Tiles: they cover the image, show only what their boxes say, and never leak between the splits."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adfm.data.build import build
from adfm.data.check import check
from adfm.data.manifest import read_manifest
from adfm.data.settings import BuildSettings
from adfm.data.tile import distinct, grid, starts, tight, tile_boxes
from adfm.geometry import Box, boxes_from_mask
from adfm.records import Sample

Write = Callable[..., Path]


def built(source: Path, out: Path, **settings: Any) -> tuple[Sample, ...]:
    report = build(source, out, BuildSettings(**({"tile": 32} | settings)))
    return read_manifest(report.manifest).samples


def warnings(out: Path) -> str:
    return " | ".join(json.loads((out / "manifest.meta.json").read_text())["warnings"])


@settings(deadline=None)
@given(st.integers(1, 2000), st.integers(16, 700), st.floats(0, 0.9))
def test_tiles_cover_a_side_and_are_whole(length: int, size: int, overlap: float) -> None:
    found = starts(length, size, overlap)
    assert found == sorted(set(found))
    assert found[0] == 0
    if length <= size:
        assert found == [0]
    else:
        assert found[-1] + size == length
        assert all(b - a <= size for a, b in pairwise(found))


def test_a_grid_of_tiles() -> None:
    assert len(grid(640, 640, 160, 0.25)) == 25
    assert grid(20, 50, 32, 0) == [Box(0, 0, 20, 32), Box(0, 18, 20, 50)]


def canvas(*boxes: tuple[int, int, int, int]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    mask = np.zeros((200, 800), np.bool_)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = 1
    return mask


TILE = Box(50, 50, 150, 150)


@pytest.mark.parametrize(
    ("defect", "visible", "sliver"),
    [
        ((60, 60, 80, 80), (Box(10, 10, 30, 30),), False),  # inside
        ((40, 60, 60, 80), (Box(0, 10, 10, 30),), False),  # half of it
        ((34, 60, 54, 80), (), True),  # a fifth of it
        ((10, 60, 790, 70), (Box(0, 10, 100, 20),), False),  # a long scratch across: little of it, yet plain to see
        ((0, 0, 200, 200), (Box(0, 0, 100, 100),), False),  # larger than the tile
        ((150, 60, 170, 80), (), False),  # begins where the tile ends
    ],
)
def test_what_a_tile_shows(defect: tuple[int, int, int, int], visible: tuple[Box, ...], sliver: bool) -> None:
    mask = canvas(defect)
    assert tile_boxes(mask, [Box(*defect)], TILE) == (visible, sliver)


def test_the_empty_corner_of_a_diagonal_box_is_no_defect() -> None:
    mask = canvas(*[(n, n, n + 2, n + 2) for n in range(20, 120)])
    (box,) = boxes_from_mask(mask).boxes
    assert box == Box(20, 20, 121, 121)
    assert tile_boxes(mask, [box], Box(80, 20, 121, 60)) == ((), False)  # the box reaches in, the scratch does not


def test_tiles_say_what_their_pixels_and_masks_show(mvtec_set: Path, tmp_path: Path) -> None:
    samples = built(mvtec_set, tmp_path / "out", tile=24, tile_overlap=0.0)
    anomalous = [sample for sample in samples if sample.anomalous]
    assert anomalous
    assert all(sample.width == sample.height == 24 for sample in samples)
    for sample in anomalous:
        assert isinstance(sample.mask, str)
        mask = np.asarray(Image.open(tmp_path / "out" / sample.mask))
        assert mask.shape == (24, 24)
        for box in sample.boxes or ():
            assert tight(mask, box) == box
        source, _, place = sample.id.rpartition("-x")
        x, y = map(int, place.split("y"))
        whole = np.asarray(Image.open(mvtec_set / f"{source.removeprefix('valve/')}.png"))
        assert (np.asarray(Image.open(tmp_path / "out" / sample.image)) == whole[y : y + 24, x : x + 24]).all()
    assert all(
        not sample.boxes and sample.defect is None and sample.mask is None for sample in samples if not sample.anomalous
    )
    assert [str(fault) for fault in check(tmp_path / "out") if fault.level == "fault"] == []


def test_tiles_of_one_image_stay_together(mvtec_set: Path, tmp_path: Path) -> None:
    samples = built(mvtec_set, tmp_path / "out", split="fractions", tile=16)
    sides: dict[str | None, set[str]] = {}
    for sample in samples:
        assert sample.id.startswith(f"{sample.group}-x")
        sides.setdefault(sample.group, set()).add(sample.split)
    assert len(sides) == 20
    assert all(len(side) == 1 for side in sides.values())
    assert {sample.split for sample in samples} == {"train", "validation", "test"}


def test_a_small_image_is_one_tile(mvtec_set: Path, tmp_path: Path) -> None:
    samples = built(mvtec_set, tmp_path / "out", tile=64)
    assert {(sample.width, sample.height) for sample in samples} == {(48, 32)}
    assert len(samples) == 20
    boxed = next(sample for sample in samples if sample.group == "valve/test/scratch/000")
    assert boxed.boxes == (Box(4, 5, 20, 15),)


def test_images_with_unknown_places_are_left_out(mvtec_set: Path, tmp_path: Path) -> None:
    samples = built(mvtec_set, tmp_path / "out")
    assert not any("dent" in sample.id for sample in samples)
    assert "without boxes, not cut into tiles: 3" in warnings(tmp_path / "out")


def test_slivers_are_left_out_and_counted(mvtec_set: Path, tmp_path: Path, mask: Write) -> None:
    mask(mvtec_set / "ground_truth" / "scratch" / "000_mask.png", [(0, 0, 26, 5)])
    samples = built(mvtec_set, tmp_path / "out", tile=24, tile_overlap=0.0)
    places = {sample.id.rpartition("-")[2]: sample.label for sample in samples if "scratch/000" in sample.id}
    assert places["x0y0"] == "anomalous"
    assert places["x24y8"] == "normal"
    assert "x24y0" not in places  # 10 of 130 pixels
    assert "slivers of defects, left out: 1" in warnings(tmp_path / "out")


def test_normal_tiles_can_be_limited(mvtec_set: Path, tmp_path: Path) -> None:
    every = built(mvtec_set, tmp_path / "a", tile=16)
    some = built(mvtec_set, tmp_path / "b", tile=16, tile_normals=2)
    again = built(mvtec_set, tmp_path / "c", tile=16, tile_normals=2, workers=1)
    assert some == again
    for group in {sample.group for sample in some}:
        assert sum(sample.group == group and not sample.anomalous for sample in some) <= 2
    assert sum(s.anomalous for s in some) == sum(s.anomalous for s in every)
    assert len(some) < len(every)
    files = {path.relative_to(tmp_path / "b").as_posix() for path in (tmp_path / "b" / "tiles").rglob("*.png")}
    assert files == {path for sample in some for path in (sample.image, sample.mask) if path}


def test_equal_tiles_are_kept_once_and_never_on_both_sides(mvtec_set: Path, tmp_path: Path) -> None:
    for place in ("train/good/000.png", "test/good/000.png", "train/good/001.png"):
        pixels = np.asarray(Image.open(mvtec_set / place)).copy()
        pixels[:, :16] = 7
        Image.fromarray(pixels).save(mvtec_set / place)
    samples = built(mvtec_set, tmp_path / "out", tile=16, tile_overlap=0)
    assert len({sample.sha256 for sample in samples}) == len(samples)
    blank = [sample for sample in samples if np.asarray(Image.open(tmp_path / "out" / sample.image)).max() == 7]
    assert [sample.split for sample in blank] == ["test"]
    assert "content of another tile, left out: 5" in warnings(tmp_path / "out")


def test_of_equal_tiles_the_one_that_tests_is_kept() -> None:
    tile = Sample("a-x0y0", "a.png", 8, 8, "normal", "part", None, None, (), "train", "same")
    others = [replace(tile, id="b-x0y0", split="test"), replace(tile, id="c-x0y0", split="validation")]
    assert [kept.id for kept in distinct([tile, *others])] == ["b-x0y0"]
    assert [kept.id for kept in distinct([tile, others[1]])] == ["c-x0y0"]


def test_equal_tiles_with_opposite_labels_are_not_kept(mvtec_set: Path, tmp_path: Path, mask: Write) -> None:
    for place in ("train/good/000.png", "test/scratch/000.png"):
        pixels = np.asarray(Image.open(mvtec_set / place)).copy()
        pixels[:16, :16] = 7
        Image.fromarray(pixels).save(mvtec_set / place)
    mask(mvtec_set / "ground_truth" / "scratch" / "000_mask.png", [(2, 2, 12, 12)])
    samples = built(mvtec_set, tmp_path / "out", tile=16, tile_overlap=0)
    assert not any(np.asarray(Image.open(tmp_path / "out" / sample.image)).max() == 7 for sample in samples)


def test_grey_images_give_grey_tiles(tmp_path: Path) -> None:
    for place in ("ok/a.png", "ng/b.png"):
        (tmp_path / "set" / place).parent.mkdir(parents=True)
        noise = np.random.default_rng(ord(place[0])).integers(0, 256, (40, 40), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "set" / place)
    samples = built(tmp_path / "set", tmp_path / "out", tile=32, split="fractions")
    assert samples
    assert {Image.open(tmp_path / "out" / sample.image).mode for sample in samples} == {"L"}
