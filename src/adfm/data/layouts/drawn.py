"""Shapes as annotation tools write them, as boxes in original pixels: rectangles, outlines, run lengths; no files.

One shape is one defect, so its box encloses all its pieces. A shape that cannot be is a `ValueError`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adfm.geometry import Box, enclosing
from adfm.images import MAX_PIXELS

_FARTHEST = 1e9
_LONGEST_RUN = 60  # bits
_DRAWN = {"x", "points", "rle", "vertices"}


def numbers(values: Any, names: str, count: int | None = None) -> list[float]:
    """Return a list of (that many) finite numbers; `names` says which, as in "x, y"."""
    fits = isinstance(values, list) and (len(values) > 0 if count is None else len(values) == count)
    if not fits or not all(type(value) in (int, float) and abs(value) <= _FARTHEST for value in values):
        raise ValueError(f"{names} must be numbers, not {values!r:.60}")
    return [float(value) for value in values]


def rectangle(x: float, y: float, width: float, height: float, degrees: float = 0) -> Box:
    """Return the box of a rectangle that is rotated clockwise about its corner (x, y)."""
    if not (width > 0 and height > 0):
        raise ValueError(f"width and height must be above 0, not {width:g} and {height:g}")
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = ((dx * width, dy * height) for dx in (0, 1) for dy in (0, 1))
    return outline([(x + dx * cos - dy * sin, y + dx * sin + dy * cos) for dx, dy in corners])


def outline(points: Sequence[tuple[float, float]]) -> Box:
    """Return the box around points."""
    xs, ys = zip(*points, strict=True)
    if not (min(xs) < max(xs) and min(ys) < max(ys)):
        raise ValueError("an outline must enclose an area")
    return Box(min(xs), min(ys), max(xs), max(ys))


def listed_shapes(value: Any) -> list[tuple[str, Box]]:
    """Return the shapes (defect type, box) of {bbox: [[x, y, width, height], ...], categories: [...]}; a number names no type."""
    if not isinstance(value, dict) or not isinstance(boxes := value.get("bbox"), list):
        raise ValueError("'objects' must hold the list 'bbox'")
    kinds = value.get("categories", value.get("category", [""] * len(boxes)))
    if not isinstance(kinds, list) or len(kinds) != len(boxes):
        raise ValueError("'objects' must hold as many categories as boxes")
    names = [kind if isinstance(kind, str) else "" for kind in kinds]
    return [(name, rectangle(*numbers(box, "x, y, width, height", 4))) for name, box in zip(names, boxes, strict=True)]


def coco_shape(row: dict[str, Any]) -> Box:
    """Return the box of an annotation of COCO: its `bbox` [x, y, width, height], else that of its `segmentation`.

    A segmentation holds polygons [[x, y, x, y, ...], ...], or run lengths {size, counts}, which go down the columns and
    begin with background.
    """
    if row.get("bbox"):
        return rectangle(*numbers(row["bbox"], "x, y, width, height", 4))
    value = row.get("segmentation")
    if isinstance(value, dict):
        height, width = _sides(value.get("size"))
        counts = value.get("counts")
        runs = _coco_runs(counts) if isinstance(counts, str) else [int(count) for count in numbers(counts, "counts")]
        if min(runs, default=-1) < 0 or sum(runs) != height * width:
            raise ValueError(f"its runs must add up to {width} x {height} pixels")
        return _box(np.repeat(np.resize(np.array([0, 1], np.uint8), len(runs)), runs).reshape(width, height).T)
    if not isinstance(value, list) or not value:
        raise ValueError("it needs a bbox or a segmentation")
    points: list[tuple[float, float]] = []
    for polygon in value:
        flat = numbers(polygon, "x, y")
        if len(flat) % 2:
            raise ValueError("a polygon must have as many x as y")
        points += zip(flat[::2], flat[1::2], strict=True)
    return outline(points)


def _box(mask: NDArray[np.uint8]) -> Box:
    if (box := enclosing(mask)) is None:
        raise ValueError("its mask is empty")
    return box


def _sides(size: Any) -> tuple[int, int]:
    first, second = map(int, numbers(size, "two sides", 2))
    if not (first > 0 and second > 0 and first * second <= MAX_PIXELS):
        raise ValueError(f"size must be two sides of an image of at most {MAX_PIXELS} pixels, not {size!r:.60}")
    return first, second


def _coco_runs(text: str) -> list[int]:
    """Read COCO's compressed counts: 5 bits a character, the sixth says that more follow; later ones are differences."""
    runs: list[int] = []
    value = shift = 0
    for code in (ord(character) - 48 for character in text):
        if not 0 <= code < 64 or shift > _LONGEST_RUN:
            raise ValueError("its counts are no run lengths")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (1 << shift) if code & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def studio_value(item: dict[str, Any]) -> dict[str, Any]:
    """Return the value of a result of Label Studio; a relation has none."""
    value = item.get("value")
    return value if isinstance(value, dict) else {}


def studio_shape(item: dict[str, Any]) -> Box | None:
    """Return the box of a result of Label Studio, in percent of the image's size; None where nothing is drawn."""
    value = studio_value(item)
    if not _DRAWN & value.keys():
        return None
    width, height = _sides([item.get("original_width"), item.get("original_height")])
    if item.get("image_rotation"):
        raise ValueError("was drawn on a rotated image")
    if "rle" in value:
        return brush_shape(value["rle"], width, height)
    if isinstance(points := value.get("points"), list) and points:
        corners = [numbers(point, "x, y", 2) for point in points]
        return outline([(x * width / 100, y * height / 100) for x, y in corners])
    if "width" not in value or "height" not in value:
        raise ValueError("is no rectangle, polygon or brush")
    sides = [value.get("x"), value.get("y"), value["width"], value["height"], value.get("rotation", 0)]
    x, y, across, down, degrees = numbers(sides, "x, y, width, height, rotation", 5)
    return rectangle(x * width / 100, y * height / 100, across * width / 100, down * height / 100, degrees)


class _Bits:
    """A list of bytes, read bit by bit, the highest first."""

    def __init__(self, codes: Sequence[int]) -> None:
        self._text, self._at = "".join(f"{code:08b}" for code in codes), 0

    def read(self, count: int) -> int:
        """Return the number in the next bits."""
        self._at += count
        if self._at > len(self._text):
            raise ValueError("its run lengths end too early")
        return int(self._text[self._at - count : self._at], 2)


def brush_shape(codes: Any, width: int, height: int) -> Box:
    """Return the box of Label Studio's brush: the bytes of run lengths over (height, width, 4), whose last is alpha.

    Source: the format of `@thi.ng/rle-pack`, which Label Studio writes.
    """
    _sides([height, width])
    if not isinstance(codes, list) or not all(type(code) is int and 0 <= code < 256 for code in codes):
        raise ValueError("rle must be a list of bytes")
    bits, total = _Bits(codes), 4 * width * height
    if bits.read(32) != total or bits.read(5) + 1 != 8:
        raise ValueError(f"its run lengths must be of {width} x {height} pixels of four bytes")
    sizes = [bits.read(4) + 1 for _ in range(4)]
    values, start = np.zeros(total, np.uint8), 0
    while start < total:
        same = bits.read(1)
        end = start + bits.read(sizes[bits.read(2)]) + 1
        if end > total:
            raise ValueError("its run lengths end too late")
        values[start:end] = bits.read(8) if same else [bits.read(8) for _ in range(start, end)]
        start = end
    return _box((values[3::4] > 0).astype(np.uint8).reshape(height, width))
