"""Masks made to cost time or memory: a bound on marks and on the work of one dilation, measured in a child process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from test_masks import cases

from adfm.geometry import boxes_from_mask, masks
from adfm.geometry.masks import MAX_MARKS, TooManyMarksError

BYTES = 12  # a pixel, of all that the boxes of one mask may take
SIDE = 4000

CHILD = """
import resource, sys
import numpy as np
from adfm.geometry import masks
kind, side, masks.MAX_MARKS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
mask = np.zeros((side, side), np.uint8)
y, x = np.ogrid[:side, :side]
if kind == "checkerboard":
    mask[::2, ::2] = mask[1::2, 1::2] = 1
elif kind == "dots":
    mask[::2, ::2] = 1
elif kind == "squares":  # too many boxes for the first dilations
    mask[(y % 100 < 3) & (x % 100 < 3)] = 1
else:
    mask[:] = 1
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    found = len(masks.boxes_from_mask(mask).boxes)
except masks.TooManyMarksError:
    found = -1
print(found, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 // mask.size)
"""


def child(kind: str, most: int = MAX_MARKS) -> tuple[int, int]:
    """Return the boxes of a large mask (-1: refused) and the bytes a pixel that they took; a hang fails."""
    command = [sys.executable, "-c", CHILD, kind, str(SIDE), str(most)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found, taken = ran.stdout.split()
    return int(found), int(taken)


@pytest.mark.parametrize(("kind", "found"), [("checkerboard", 1), ("dots", -1), ("squares", 1), ("full", 1)])
def test_memory_is_bounded(kind: str, found: int) -> None:
    boxes, taken = child(kind)
    assert boxes == found
    assert taken <= BYTES


def test_without_the_bound_memory_grows_with_the_marks() -> None:
    _, taken = child("dots", most=10**9)
    assert taken > 2 * BYTES


def test_one_mark_too_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.zeros((300, 300), np.uint8)
    mask[::10, ::10] = 1
    monkeypatch.setattr(masks, "MAX_MARKS", 900)
    assert boxes_from_mask(mask).boxes
    monkeypatch.setattr(masks, "MAX_MARKS", 899)
    with pytest.raises(TooManyMarksError):
        boxes_from_mask(mask)


Count = Callable[[NDArray[Any], int], int]


def count(mask: NDArray[Any], size: int) -> int:
    """How many boxes an ellipse of `size` pixels leaves."""
    return len(boxes_from_mask(mask, ratio=size / min(mask.shape[:2]), min_area=1, max_boxes=10**9).boxes)


def test_a_coarse_dilation_merges_what_one_a_little_smaller_or_larger_does(monkeypatch: pytest.MonkeyPatch) -> None:
    coarser = 0
    for mask, _ in cases(5, 300):
        if min(mask.shape[:2]) < 80:
            continue
        size = 71
        step = -(-size // masks.COARSE)
        fine = count(mask, size)
        least, most = count(mask, size + 4 * step), count(mask, size - 4 * step)
        monkeypatch.setattr(masks, "EXACT", 0)
        rough = boxes_from_mask(mask, ratio=size / min(mask.shape[:2]), min_area=1, max_boxes=10**9).boxes
        monkeypatch.undo()
        assert least <= len(rough) <= most
        coarser += len(rough) != fine
        for box in rough:  # tight around pixels of the mask itself
            inside = mask[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)]
            assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
    assert coarser < 30
