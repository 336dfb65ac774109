"""Boxes, frames and masks against slow, independent implementations and against their stated rules."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from adfm.errors import UserError
from adfm.geometry import (
    Box,
    Frame,
    TextBox,
    best_sum,
    boxes_from_mask,
    clip,
    foreground,
    giou,
    iou,
    pairwise,
    set_iou,
    union_mask_iou,
)
from adfm.geometry.boxes import matched_sum
from adfm.geometry.masks import enclosing, filled, kernel_size

# --- masks to boxes, the slow way: plain Python, sets of pixels, no library ---

Pixels = set[tuple[int, int]]


def slow_components(pixels: Pixels) -> list[Pixels]:
    """8-connected components by flood fill."""
    left, found = set(pixels), []
    while left:
        stack, part = [left.pop()], set()
        while stack:
            y, x = stack.pop()
            part.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            stack += near
        found.append(part)
    return found


def slow_ellipse(size: int) -> list[tuple[int, int]]:
    """The offsets of an elliptic structuring element: in each row a half-width of c * sqrt(1 - (dy / r)^2), rounded."""
    r = size // 2
    return [
        (dy, dx)
        for dy in range(-r, r + 1)
        for dx in range(-r, r + 1)
        if abs(dx) <= round(r * math.sqrt((r * r - dy * dy) / (r * r)))
    ]


def slow_boxes(mask: NDArray[np.uint8], ratio: float, min_area: int) -> list[Box]:
    height, width = mask.shape
    parts = slow_components({(int(y), int(x)) for y, x in np.argwhere(mask > 0)})
    if not parts:
        return []
    kept = [part for part in parts if len(part) >= min_area] or [
        max(parts, key=lambda part: (len(part), -min(part)[0]))
    ]
    clean = set().union(*kept)
    grown = set(clean)
    if ratio > 0:
        size = max(3, round(ratio * min(height, width)))
        offsets = slow_ellipse(size if size % 2 else size + 1)
        grown = {(y + dy, x + dx) for y, x in clean for dy, dx in offsets}
        grown = {(y, x) for y, x in grown if 0 <= y < height and 0 <= x < width}
    boxes = []
    for group in slow_components(grown):
        rows, columns = zip(*(group & clean))
        boxes.append(Box(min(columns), min(rows), max(columns) + 1, max(rows) + 1))
    return sorted(boxes, key=lambda box: (box.y1, box.x1, box.y2, box.x2))


def random_mask(seed: int) -> NDArray[np.uint8]:
    """Blobs, specks and lines with small class indices as codes, on an image of any small shape."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 48, 2)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(0, 7)):
        y, x = rng.integers(0, height), rng.integers(0, width)
        h, w = rng.integers(1, 9, 2) if rng.random() < 0.7 else (1, 1)
        mask[y : y + h, x : x + w] = rng.integers(1, 256)
    mask[rng.random(mask.shape) < rng.choice([0, 0, 0.01, 0.05])] = 1
    return mask


def has_unique_largest(mask: NDArray[np.uint8], min_area: int) -> bool:
    sizes = sorted(len(part) for part in slow_components({(int(y), int(x)) for y, x in np.argwhere(mask > 0)}))
    return not sizes or sizes[-1] >= min_area or sizes.count(sizes[-1]) == 1


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.1, 0.3])
@pytest.mark.parametrize("min_area", [0, 1, 5, 40])
def test_boxes_equal_the_slow_way(ratio: float, min_area: int) -> None:
    several = 0
    for seed in range(60):
        mask = random_mask(seed)
        if has_unique_largest(mask, min_area):  # among equals either may stay
            expected = slow_boxes(mask, ratio, min_area)
            assert list(boxes_from_mask(mask, ratio=ratio, min_area=min_area, max_boxes=10**6).boxes) == expected, seed
            several += len(expected) > 1
    assert several > 5 or min_area == 40 or ratio == 0.3  # the masks do exercise more than one box


def mask_of(
    *boxes: tuple[int, int, int, int], size: tuple[int, int] = (100, 100), code: int = 255
) -> NDArray[np.uint8]:
    mask = np.zeros((size[1], size[0]), np.uint8)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = code
    return mask


def test_any_code_above_zero_is_foreground() -> None:
    assert boxes_from_mask(mask_of((3, 4, 9, 12), code=1)).boxes == (Box(3, 4, 9, 12),)
    colour = np.dstack([mask_of(), mask_of((3, 4, 9, 12), code=2), mask_of()])
    assert boxes_from_mask(colour).boxes == (Box(3, 4, 9, 12),)
    assert foreground(colour).max() == 1


def test_an_empty_mask_has_no_boxes_and_a_full_one_has_the_frame() -> None:
    assert boxes_from_mask(mask_of()).boxes == ()
    assert boxes_from_mask(mask_of((0, 0, 70, 30), size=(70, 30))).boxes == (Box(0, 0, 70, 30),)


def test_specks_go_but_the_largest_stays_where_nothing_else_is() -> None:
    assert boxes_from_mask(mask_of((10, 10, 12, 12), (50, 50, 60, 60))).boxes == (Box(50, 50, 60, 60),)
    assert boxes_from_mask(mask_of((10, 10, 12, 12), (50, 50, 51, 51))).boxes == (Box(10, 10, 12, 12),)
    assert len(boxes_from_mask(mask_of((10, 10, 12, 12), (50, 50, 60, 60)), min_area=4).boxes) == 2


def test_fragments_that_touch_at_a_corner_are_one() -> None:
    assert boxes_from_mask(mask_of((10, 10, 20, 20), (20, 20, 30, 30)), ratio=0).boxes == (Box(10, 10, 30, 30),)


def test_dilation_merges_near_fragments_and_leaves_no_trace_in_the_box() -> None:
    near = mask_of((10, 10, 20, 20), (22, 10, 30, 20))
    assert len(boxes_from_mask(near, ratio=0).boxes) == 2
    assert boxes_from_mask(near, ratio=0.01).boxes == (Box(10, 10, 30, 20),)
    far = mask_of((10, 10, 20, 20), (40, 10, 50, 20))
    assert len(boxes_from_mask(far, ratio=0.01).boxes) == 2


def test_too_many_boxes_raise_the_ratio_and_say_so() -> None:
    grid = mask_of(*[(x, y, x + 3, y + 3) for x in range(0, 100, 10) for y in range(0, 100, 10)])
    made = boxes_from_mask(grid, max_boxes=16)
    assert len(made.boxes) <= 16
    assert made.ratio > 0.01
    assert boxes_from_mask(grid, max_boxes=100).ratio == 0.01
    assert len(boxes_from_mask(grid, ratio=0, max_boxes=1).boxes) == 1


@pytest.mark.parametrize(
    ("ratio", "sides", "size"),
    [(0, (500, 500), 0), (0.01, (100, 100), 3), (0.01, (512, 900), 5), (0.01, (640, 640), 7), (0.02, (400, 9000), 9)],
)
def test_kernel_size(ratio: float, sides: tuple[int, int], size: int) -> None:
    assert kernel_size(ratio, *sides) == size


# --- boxes ---

edges = st.integers(0, 24)
boxes = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), edges, edges, st.integers(1, 12), st.integers(1, 12))


def raster(*found: Box) -> NDArray[np.bool_]:
    canvas = np.zeros((40, 40), bool)
    for box in found:
        canvas[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)] = True
    return canvas


@settings(deadline=None)
@given(boxes, boxes)
def test_iou_and_giou_equal_counted_pixels(a: Box, b: Box) -> None:
    common, union = (raster(a) & raster(b)).sum(), (raster(a) | raster(b)).sum()
    hull = Box(min(a.x1, b.x1), min(a.y1, b.y1), max(a.x2, b.x2), max(a.y2, b.y2)).area
    assert iou(a, b) == pytest.approx(common / union)
    assert giou(a, b) == pytest.approx(common / union - (hull - union) / hull)
    assert giou(a, b) == giou(b, a)
    assert -1 < giou(a, b) <= 1


@settings(deadline=None)
@given(st.lists(boxes, max_size=5), st.lists(boxes, max_size=5))
def test_union_mask_iou_equals_counted_pixels(a: list[Box], b: list[Box]) -> None:
    union = (raster(*a) | raster(*b)).sum()
    expected = (raster(*a) & raster(*b)).sum() / union if union else 1.0
    assert union_mask_iou(a, b) == pytest.approx(expected)


def test_pairwise_keeps_its_shape_where_a_side_is_empty() -> None:
    box = Box(0, 0, 2, 2)
    assert pairwise(iou, [box], []).shape == (1, 0)
    assert pairwise(iou, [], [box, box]).shape == (0, 2)
    assert pairwise(iou, [box], [box]).tolist() == [[1.0]]


def test_clip() -> None:
    assert clip(Box(-3, -2, 5, 6), 4, 4) == Box(0, 0, 4, 4)
    assert clip(Box(4, 0, 9, 4), 4, 4) is None  # half-open: it begins where the image ends
    assert clip(Box(0, 4, 4, 9), 4, 4) is None
    assert clip(Box(-5, 0, 0, 4), 4, 4) is clip(Box(0, -5, 4, 0), 4, 4) is None
    assert clip(Box(3, 7, 9, 9), 4, 8) == Box(3, 7, 4, 8)  # each axis has its own end


def slow_matched_sum(gains: list[list[float]]) -> float:
    """Every one-to-one assignment of the shorter side, one by one."""
    rows = gains if len(gains) <= len(gains[0]) else [list(column) for column in zip(*gains)]
    chosen = itertools.permutations(range(len(rows[0])), len(rows))
    return max(sum(row[column] for row, column in zip(rows, columns)) for columns in chosen)


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.data())
def test_the_matched_sum_is_the_best_of_all_assignments(rows: int, columns: int, data: st.DataObject) -> None:
    gain = st.floats(-1, 1, allow_nan=False)
    gains = data.draw(st.lists(st.lists(gain, min_size=columns, max_size=columns), min_size=rows, max_size=rows))
    assert matched_sum(gains) == pytest.approx(slow_matched_sum(gains), abs=1e-12)


def test_greedy_pairs_would_be_seen() -> None:
    """Control: taking the largest gain first is not the best sum, for two and for three."""
    assert matched_sum([[0.6, 0.5], [0.5, 0.0]]) == 1.0
    assert matched_sum([[0.6, 0.5, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.3]]) == pytest.approx(1.3)
    assert matched_sum([]) == matched_sum([[], []]) == 0.0


@settings(deadline=None)
@given(st.lists(boxes, max_size=4), st.lists(boxes, max_size=4))
def test_sets_of_boxes_are_matched_one_to_one(predicted: list[Box], true: list[Box]) -> None:
    table = [[iou(a, b) for b in true] for a in predicted]
    expected = slow_matched_sum(table) if predicted and true else 0.0
    assert best_sum(iou, predicted, true) == pytest.approx(expected)
    assert set_iou(predicted, true) == pytest.approx(expected / max(len(predicted), len(true), 1))


def test_the_measure_gets_the_row_first() -> None:
    a, b = Box(0, 0, 2, 2), Box(0, 0, 4, 4)
    assert best_sum(lambda row, column: row.area / column.area, [a], [b]) == 0.25
    assert pairwise(lambda row, column: row.area / column.area, [a], [b]).tolist() == [[0.25]]


@settings(deadline=None)
@given(st.lists(boxes, max_size=5))
def test_filled_marks_every_pixel_that_a_box_touches(found: list[Box]) -> None:
    assert np.array_equal(filled(found, 40, 40), raster(*found))
    shrunk = [Box(box.x1 + 0.25, box.y1 + 0.25, box.x2 - 0.25, box.y2 - 0.25) for box in found]
    assert np.array_equal(filled(shrunk, 40, 40), raster(*found))


def test_filled_has_the_shape_of_the_image() -> None:
    mask = filled([Box(1, 0, 3, 1)], 4, 2)
    assert mask.dtype == np.bool_
    assert mask.tolist() == [[False, True, True, False], [False] * 4]


@settings(deadline=None)
@given(st.lists(boxes, max_size=3))
def test_enclosing_is_the_smallest_box_around_all_marks(found: list[Box]) -> None:
    sides = list(zip(*found))
    expected = Box(min(sides[0]), min(sides[1]), max(sides[2]), max(sides[3])) if found else None
    assert enclosing(raster(*found).astype(np.uint8)) == expected


# --- frames ---

sides = st.integers(1, 5000)


@settings(max_examples=400, deadline=None)
@given(sides, sides, st.integers(1, 3000), st.integers(1, 3000), st.data())
def test_a_box_survives_the_text_within_one_unit_per_edge(
    width: int, height: int, units_x: int, units_y: int, data: st.DataObject
) -> None:
    x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    box = Box(x1, y1, data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height)))
    frame = Frame(width, height, units_x, units_y)
    text = frame.to_text(box)
    assert all(isinstance(edge, int) for edge in text)
    assert 0 <= text.x1 < text.x2 <= units_x
    assert 0 <= text.y1 < text.y2 <= units_y
    back = frame.to_original(text)
    units = (width / units_x, height / units_y) * 2
    assert all(abs(b - a) <= unit * (1 + 1e-9) for a, b, unit in zip(box, back, units))


def test_control_a_box_read_in_the_wrong_frame_is_off_by_more_than_a_unit() -> None:
    written = Frame.thousand(640, 480).to_text(Box(100, 100, 300, 200))
    misread = Frame.original(640, 480).to_original(written)
    assert abs(misread.x1 - 100) > 1


@settings(deadline=None)
@given(sides, sides)
def test_the_original_frame_is_exact(width: int, height: int) -> None:
    assume(width > 1 and height > 1)
    box = Box(width // 3, height // 3, width, height)
    frame = Frame.original(width, height)
    assert frame.to_original(frame.to_text(box)) == box


@settings(deadline=None)
@given(sides, sides, st.integers(1, 3000), st.integers(1, 3000))
def test_a_frame_is_read_back_from_its_name(width: int, height: int, units_x: int, units_y: int) -> None:
    frame = Frame(width, height, units_x, units_y)
    assert Frame.parse(frame.name, width, height) == frame


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("original", Frame(640, 480, 640, 480)),
        ("0-1000", Frame(640, 480, 1000, 1000)),
        ("resized:644x476", Frame(640, 480, 644, 476)),
    ],
)
def test_each_kind_of_frame_has_a_name(name: str, frame: Frame) -> None:
    assert Frame.parse(name, 640, 480) == frame
    assert frame.name == name


@pytest.mark.parametrize(
    "name", ["", "1000", "resized:", "resized:3", "resized:0x4", "resized:4x-1", "resized:²x3", "x" * 99]
)
def test_an_unknown_frame_is_one_line(name: str) -> None:
    with pytest.raises(UserError, match="must be 'original'") as error:
        Frame.parse(name, 10, 10)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


def test_the_smallest_box_is_never_empty_in_text() -> None:
    frame = Frame.thousand(20_000, 20_000)
    for x in (0, 7, 9_999, 19_999):
        text = frame.to_text(Box(x, x, x + 1, x + 1))
        assert isinstance(text, TextBox)
        assert text.x2 - text.x1 == text.y2 - text.y1 == 1
