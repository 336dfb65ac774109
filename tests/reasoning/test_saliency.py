"""The focus of normal parts: on the contrast, inside the picture, the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adfm.geometry import Box, Frame
from adfm.reasoning import focus_box


def picture(width: int, height: int, *marks: tuple[int, int, int, int]) -> Image.Image:
    pixels = np.full((height, width, 3), 180, dtype=np.uint8)
    for x1, y1, x2, y2 in marks:
        pixels[y1:y2, x1:x2] = (30, 40, 200)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("mark", [(40, 30, 60, 50), (500, 300, 530, 330), (600, 20, 630, 40), (10, 440, 40, 470)])
def test_it_holds_the_only_mark(mark: tuple[int, int, int, int]) -> None:
    box = focus_box(picture(640, 480, mark))
    assert box.x1 <= mark[0] + 2 and box.y1 <= mark[1] + 2 and box.x2 >= mark[2] - 2 and box.y2 >= mark[3] - 2
    assert (box.x2 - box.x1, box.y2 - box.y1) == (160, 120)


def test_it_prefers_the_stronger_mark() -> None:
    box = focus_box(picture(400, 400, (40, 40, 44, 44), (300, 300, 330, 330)))
    assert box.x1 > 200 and box.y1 > 200


@pytest.mark.parametrize("size", [(400, 400), (640, 480), (1, 1), (3, 2), (1000, 7)])
def test_an_even_picture_gives_the_middle(size: tuple[int, int]) -> None:
    box = focus_box(picture(*size))
    assert abs((box.x1 + box.x2) / 2 - size[0] / 2) <= max(2, 0.02 * size[0])
    assert abs((box.y1 + box.y2) / 2 - size[1] / 2) <= max(2, 0.02 * size[1])


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 9))
def test_any_picture_gives_a_whole_box_inside_it(width: int, height: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    box = focus_box(image)
    assert box == focus_box(image.copy())
    assert all(edge == int(edge) for edge in box)
    assert 0 <= box.x1 < box.x2 <= width and 0 <= box.y1 < box.y2 <= height
    frame = Frame.original(width, height)
    assert frame.to_original(frame.to_text(box)) == Box(*box)
