"""The frame in which each family writes boxes is the one that its own processor makes, on any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from adfm.models.frames import MAX_ASPECT, frame_rule, model_frame
from PIL import Image

from adfm.errors import ImageError, ModelError
from adfm.geometry import Box, Frame
from adfm.models.files import load_processor
from adfm.reasoning import PIXELS, THOUSANDTHS, frame_hint

SIZES = ((1, 1), (64, 64), (56, 57), (27, 29), (640, 480), (1000, 1000), (1001, 6), (37, 4000), (333, 777))


def random_sizes(count: int = 40) -> list[tuple[int, int]]:
    random = np.random.default_rng(0)
    sides = np.exp(random.uniform(np.log(4), np.log(700), (count, 2))).astype(int)
    return [
        (int(width), int(height)) for width, height in sides if max(width, height) <= MAX_ASPECT * min(width, height)
    ]


@pytest.mark.parametrize("limits", [(56**2, 56**2), (56 * 56, 28 * 28 * 16), (4, 10**7)])
def test_qwen25_writes_pixels_of_the_grid_that_its_processor_makes(limits: tuple[int, int], tiny: Path) -> None:
    processor = load_processor(str(tiny))
    pictures = processor.image_processor
    pictures.size = {"shortest_edge": limits[0], "longest_edge": limits[1]}
    rule = frame_rule("qwen2_5_vl", processor)
    for size in (*SIZES[:7], *random_sizes()):
        _, rows, columns = pictures(images=[Image.new("RGB", size)], return_tensors="pt")["image_grid_thw"][0].tolist()
        assert rule(*size) == Frame(*size, columns * pictures.patch_size, rows * pictures.patch_size)


def test_qwen3_writes_thousandths(tiny_folders: dict[str, Path]) -> None:
    rule = model_frame(str(tiny_folders["qwen3"]))
    for size in SIZES:
        assert rule(*size) == Frame(*size, 1000, 1000)
        assert frame_hint(rule(*size)) == THOUSANDTHS


def test_qwen25_is_asked_for_pixels(tiny: Path) -> None:
    rule = model_frame(str(tiny))
    assert {frame_hint(rule(*size)) for size in SIZES} == {PIXELS}


def test_a_box_survives_the_way_through_the_text(either: Path) -> None:
    rule = model_frame(str(either))
    for width, height in ((640, 480), (31, 77), (1920, 200)):
        frame = rule(width, height)
        back = frame.to_original(frame.to_text(Box(3, 5, width - 2, height - 7)))
        errors = np.abs(np.subtract(back, (3, 5, width - 2, height - 7)))
        assert (errors <= [width / frame.units_x, height / frame.units_y] * 2).all()


@pytest.mark.parametrize("size", [(201, 1), (3, 700)])
def test_a_picture_that_no_processor_reads_is_its_own_fault(size: tuple[int, int], either: Path) -> None:
    with pytest.raises(ImageError, match="longer than 200 : 1"):
        model_frame(str(either))(*size)
    with pytest.raises(ValueError, match="aspect ratio"):  # so says the processor itself
        load_processor(str(either)).image_processor(images=[Image.new("RGB", size)], return_tensors="pt")


def test_an_unknown_family_is_refused(tiny: Path) -> None:
    with pytest.raises(ModelError, match="'llava': its box units are not known"):
        frame_rule("llava", load_processor(str(tiny)))
