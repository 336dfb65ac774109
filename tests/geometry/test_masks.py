"""Masks to boxes in windows: the very boxes, ratios included, that the whole frame at once gives, on thousands of masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from adfm.geometry import Box, MaskBoxes, boxes_from_mask, masks
from adfm.geometry.masks import kernel_size
from adfm.workflows.bench.data import random_mask

Mask = NDArray[Any]
MASKS = 1000
RATIOS = (0.0, 0.01, 0.01, 0.05, 0.1, 0.3)
MIN_AREAS = (0, 1, 5, 5, 40)
MAX_BOXES = (1, 3, 16, 16)

# --- the rule on the whole mask, step by step: what the windows must not change ---


def whole_despeckled(mask: Mask, min_area: int) -> Mask:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count <= 1:
        return mask
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = areas >= min_area
    if not kept.any():
        kept[int(areas.argmax())] = True
    return np.asarray(np.concatenate([[False], kept])[labels], dtype=np.uint8)


def whole_grouped(mask: Mask, ratio: float) -> tuple[Box, ...]:
    size = kernel_size(ratio, *mask.shape)
    merged = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))) if size else mask
    _, labels = cv2.connectedComponents(merged, connectivity=8)
    found = [Box(x.start, y.start, x.stop, y.stop) for y, x in find_objects(labels * mask)]
    return tuple(sorted(found, key=lambda box: (box.y1, box.x1, box.y2, box.x2)))


def whole_boxes(mask: Mask, ratio: float, min_area: int, max_boxes: int) -> MaskBoxes:
    above = mask > 0
    clean = whole_despeckled(np.asarray(above.any(axis=2) if above.ndim == 3 else above, dtype=np.uint8), min_area)
    if not clean.any():
        return MaskBoxes((), ratio)
    boxes = whole_grouped(clean, ratio)
    while len(boxes) > max_boxes:
        ratio = ratio * 2 if ratio > 0 else 0.01
        boxes = whole_grouped(clean, ratio)
    return MaskBoxes(boxes, ratio)


# --- masks of every kind that annotators and tools leave behind ---


def blobs(mask: Mask, rng: np.random.Generator) -> None:
    height, width = mask.shape
    for _ in range(rng.integers(1, 9)):
        centre = int(rng.integers(width)), int(rng.integers(height))
        axes = tuple(int(side) for side in rng.integers(0, max(2, min(mask.shape) // 6), 2))
        cv2.ellipse(mask, centre, axes, float(rng.integers(180)), 0, 360, int(rng.integers(1, 256)), -1)


def fragments(mask: Mask, rng: np.random.Generator) -> None:
    """Squares in a row that touch at corners or leave gaps of a few pixels: where the dilation decides."""
    y, x = (int(rng.integers(side)) for side in mask.shape)
    for _ in range(rng.integers(2, 12)):
        side = int(rng.integers(1, 7))
        mask[y : y + side, x : x + side] = rng.integers(1, 256)
        y, x = y + int(rng.integers(0, side + 4)), x + side + int(rng.integers(0, 12))


def specks(mask: Mask, rng: np.random.Generator) -> None:
    mask[rng.random(mask.shape) < rng.choice([0.0005, 0.005, 0.03, 0.2])] = rng.integers(1, 256)


def lines(mask: Mask, rng: np.random.Generator) -> None:
    height, width = mask.shape
    for _ in range(rng.integers(1, 5)):
        ends = [(int(rng.integers(width)), int(rng.integers(height))) for _ in range(2)]
        cv2.line(mask, *ends, int(rng.integers(1, 256)), int(rng.integers(1, 4)))


def ring(mask: Mask, rng: np.random.Generator) -> None:
    """A frame around everything, with defects of its own inside."""
    blobs(mask, rng)
    edge = int(rng.integers(1, 4))
    mask[:edge] = mask[-edge:] = 7
    mask[:, :edge] = mask[:, -edge:] = 7


def border(mask: Mask, rng: np.random.Generator) -> None:
    """Pixels along the border, near enough to touch beyond it once dilated."""
    for line in (mask[0], mask[-1], mask[:, 0], mask[:, -1]):
        line[rng.random(line.shape) < rng.choice([0.02, 0.1])] = 1


def full(mask: Mask, rng: np.random.Generator) -> None:
    mask[rng.random(mask.shape) < rng.choice([0.6, 0.99, 1.0])] = 1


def empty(mask: Mask, rng: np.random.Generator) -> None:
    mask[:] = 0


KINDS: tuple[Callable[[Mask, np.random.Generator], None], ...] = (
    blobs,
    fragments,
    specks,
    lines,
    ring,
    border,
    full,
    empty,
)


def drawn(rng: np.random.Generator) -> Mask:
    """One or two kinds at once, on an image of any shape, as indices, colours, booleans or 16 bits."""
    shape = rng.integers(1, 240, 2) if rng.random() < 0.8 else rng.choice([1, 2, 31, 32, 33, 64, 400], 2)
    mask = np.zeros(shape, np.uint8)
    for kind in rng.choice(len(KINDS), rng.integers(1, 3)):
        KINDS[kind](mask, rng)
    forms = (mask, mask, mask > 0, mask.astype(np.uint16) * 257, np.dstack([mask, mask // 2, mask * 0]), mask.T)
    return forms[rng.integers(len(forms))]


def cases(seed: int, count: int = MASKS) -> Iterator[tuple[Mask, dict[str, Any]]]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        rule = {"ratio": RATIOS, "min_area": MIN_AREAS, "max_boxes": MAX_BOXES}
        yield drawn(rng), {name: values[rng.integers(len(values))] for name, values in rule.items()}


def differing(seed: int, count: int = MASKS) -> tuple[list[int], list[MaskBoxes]]:
    """Return the numbers of the masks whose boxes differ from the whole frame's, and what the whole frame gave."""
    pairs = [(boxes_from_mask(mask, **rule), whole_boxes(mask, **rule)) for mask, rule in cases(seed, count)]
    return [number for number, (ours, whole) in enumerate(pairs) if ours != whole], [whole for _, whole in pairs]


@pytest.mark.parametrize("cell", [1, 3, 8, 32])
def test_windows_change_no_box(cell: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "CELL", cell)
    wrong, whole = differing(cell)
    assert wrong == []
    numbers = [len(made.boxes) for made in whole]
    assert min(numbers) == 0
    assert sum(number > 1 for number in numbers) > MASKS / 5  # most rules and masks leave several boxes
    assert sum(made.ratio not in RATIOS for made in whole) > MASKS / 20  # the dilation was raised


def test_cells_below_the_kernel_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = masks.split
    monkeypatch.setattr(masks, "split", lambda mask, side: right(mask, max(1, side // 4)))
    assert differing(3)[0]


def test_pixels_of_other_windows_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = masks.split

    def uncut(mask: Mask, side: int) -> Iterator[masks.Window]:
        for window in right(mask, side):
            height, width = window.pixels.shape
            yield window._replace(pixels=mask[window.y : window.y + height, window.x : window.x + width])

    monkeypatch.setattr(masks, "CELL", 3)
    monkeypatch.setattr(masks, "split", uncut)
    assert differing(3)[0]


@pytest.mark.parametrize("seed", range(4))
def test_windows_change_no_box_of_a_large_mask(seed: int) -> None:
    mask = random_mask(np.random.default_rng(seed))
    assert boxes_from_mask(mask) == whole_boxes(mask, 0.01, 5, 16)
    assert len(list(masks.split(mask // 255, masks.CELL))) > 1


def test_of_equal_specks_the_same_one_stays() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        mask = np.zeros(rng.integers(2, 200, 2), np.uint8)
        mask[rng.random(mask.shape) < 0.002] = 1
        assert boxes_from_mask(mask, min_area=50) == whole_boxes(mask, 0.01, 50, 16)


@pytest.mark.parametrize("size", [3, 5, 7, 9, 11, 15, 21, 41, 101, 161])
def test_the_ellipse_narrows_from_its_middle(size: int) -> None:
    """What lets a window be dilated without a margin; a cross with knobs at its ends would not pass."""
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)).astype(int)
    assert np.array_equal(ellipse, ellipse[::-1])
    assert np.array_equal(ellipse, ellipse[:, ::-1])
    quarter = ellipse[size // 2 :, size // 2 :]
    assert (np.diff(quarter, axis=0) <= 0).all()
    assert (np.diff(quarter, axis=1) <= 0).all()
    assert quarter[0].all()
