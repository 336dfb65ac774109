"""The focus of normal parts: on the contrast, inside the picture, the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adfm.geometry import Box, Frame
from adfm.reasoning import focus_box, saliency
from adfm.reasoning.saliency import _contrast as contrast


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


def slow_focus(table: np.ndarray, width: int, height: int) -> Box:
    """Every window one by one: the largest sum, and among equals the one nearest to the middle."""
    tall, wide = table.shape
    rows, columns = max(1, round(tall / 4)), max(1, round(wide / 4))
    corners = [(y, x) for y in range(tall - rows + 1) for x in range(wide - columns + 1)]
    sums = {(y, x): table[y : y + rows, x : x + columns].sum() for y, x in corners}
    best = [corner for corner in corners if sums[corner] >= max(sums.values()) - 1e-6]
    top, left = min(best, key=lambda at: (at[0] - (tall - rows) / 2) ** 2 + (at[1] - (wide - columns) / 2) ** 2)
    sx, sy = width / wide, height / tall
    return Box(round(left * sx), round(top * sy), round((left + columns) * sx), round((top + rows) * sy))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 14), st.integers(1, 14), st.integers(0, 3), st.data())
def test_it_is_the_best_of_all_windows(tall: int, wide: int, levels: int, data: st.DataObject) -> None:
    """Few levels make many ties, and zero levels nothing but ties."""
    cells = data.draw(st.lists(st.integers(0, levels), min_size=tall * wide, max_size=tall * wide))
    width, height = (data.draw(st.integers(side, 5 * side)) for side in (wide, tall))
    table = np.array(cells, dtype=np.float64).reshape(tall, wide)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saliency, "_contrast", lambda image: table)
        assert focus_box(Image.new("RGB", (width, height))) == slow_focus(table, width, height)


@pytest.mark.parametrize(
    ("size", "shape"),
    [((1, 1), (1, 1)), ((100, 40), (40, 100)), ((128, 64), (64, 128)), ((512, 256), (64, 128)), ((2000, 3), (1, 128))],
)
def test_contrast_is_measured_on_a_small_picture(size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert contrast(picture(*size)).shape == shape


def test_contrast_is_the_same_in_both_directions_and_for_dark_and_bright() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    found = contrast(Image.fromarray(pixels))
    assert found.max() > 50
    assert np.allclose(contrast(Image.fromarray(pixels.transpose(1, 0, 2))), found.T, atol=0.01)
    assert np.allclose(contrast(Image.fromarray(255 - pixels)), found, atol=0.01)


def test_an_even_picture_and_the_noise_of_single_pixels_have_no_contrast() -> None:
    assert contrast(picture(300, 200)).max() == 0
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    coarse = Image.fromarray(noise.repeat(8, axis=0).repeat(8, axis=1))
    fine = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8))
    assert contrast(fine).mean() < 5 < 15 < contrast(coarse).mean()
