"""Shapes as annotation tools write them, as boxes in original pixels: rectangles, outlines, run lengths; no files.

One shape is one defect, so its box encloses all its pieces. A shape that cannot be, or contradicts itself, is a
`ValueError`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adfm.errors import ImageError
from adfm.geometry import Box, enclosing
from adfm.images import MAX_PIXELS, opacity

_FARTHEST = 1e9
_LONGEST_RUN = 60  # bits
_DECIMALS = 3  # of a pixel: percent and turns are not exact, and a box is rounded to whole pixels outwards
_SLACK = 2.0, 0.02  # pixels, and share of the longer side, by which a box may differ from its outline
_PERCENT = -1.0, 101.0
_TURNS = ("rotation", "angle", "theta")
_PNG = "data:image/png;base64,"


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


def turned(box: Box, degrees: float) -> Box:
    """Return the box of a rectangle that is rotated about its middle."""
    half, angle = ((box.x2 - box.x1) / 2, (box.y2 - box.y1) / 2), math.radians(degrees)
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    across, down = half[0] * cos + half[1] * sin, half[0] * sin + half[1] * cos
    return _around((box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2, across, down)


def ellipse(x: float, y: float, across: float, down: float, degrees: float = 0) -> Box:
    """Return the box of an ellipse around (x, y) with those half axes, rotated clockwise."""
    if not (across > 0 and down > 0):
        raise ValueError(f"its radii must be above 0, not {across:g} and {down:g}")
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return _around(x, y, math.hypot(across * cos, down * sin), math.hypot(across * sin, down * cos))


def _around(x: float, y: float, across: float, down: float) -> Box:
    return outline([(x - across, y - down), (x + across, y + down)])


def outline(points: Sequence[tuple[float, float]]) -> Box:
    """Return the box around points."""
    xs, ys = ([round(value, _DECIMALS) for value in values] for values in zip(*points, strict=True))
    if not (min(xs) < max(xs) and min(ys) < max(ys)):
        raise ValueError("an outline must enclose an area")
    if max(*xs, *ys) <= 1 and min(*xs, *ys) >= 0:
        raise ValueError("is inside the first pixel: shares of the image are no pixels")
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

    CVAT's attribute `rotation` turns a `bbox` about its middle. A segmentation holds polygons [[x, y, x, y, ...], ...],
    or run lengths {size, counts}, which go down the columns and begin with background.
    """
    if row.get("ignore"):
        raise ValueError(f"its 'ignore' is {row['ignore']!r:.60}, which says neither OK nor defective")
    drawn = _segmented(row.get("segmentation"))
    if not row.get("bbox"):
        if drawn is None:
            raise ValueError("it needs a bbox or a segmentation")
        return drawn
    x, y, width, height = numbers(row["bbox"], "x, y, width, height", 4)
    box = turned(rectangle(x, y, width, height), _degrees(row))
    if drawn is not None and not _agree(box, drawn):
        raise ValueError(f"its bbox {_edges(box)} is not around its segmentation {_edges(drawn)} (x1, y1, x2, y2)")
    area = 0.0 if row.get("area") is None else numbers([row["area"]], "area", 1)[0]
    if area > (width + _SLACK[0]) * (height + _SLACK[0]):
        raise ValueError(f"its area {area:g} is more than its bbox of {width:g} x {height:g} holds")
    return box


def coco_size(row: dict[str, Any]) -> tuple[int, int] | None:
    """Return the (width, height) that the run lengths of an annotation of COCO are of; None without any."""
    value = row.get("segmentation")
    return _sides(value.get("size"))[::-1] if isinstance(value, dict) else None


def _segmented(value: Any) -> Box | None:
    if isinstance(value, dict):
        height, width = _sides(value.get("size"))
        counts = value.get("counts")
        runs = _coco_runs(counts) if isinstance(counts, str) else [int(count) for count in numbers(counts, "counts")]
        if min(runs, default=-1) < 0 or sum(runs) != height * width:
            raise ValueError(f"its runs must add up to {width} x {height} pixels")
        return _box(np.repeat(np.resize(np.array([0, 1], np.uint8), len(runs)), runs).reshape(width, height).T)
    if value is None or value == []:
        return None
    if not isinstance(value, list):
        raise ValueError("its segmentation must be polygons or run lengths")
    points: list[tuple[float, float]] = []
    for polygon in value:
        flat = numbers(polygon, "x, y")
        if len(flat) % 2 or len(flat) < 6:
            raise ValueError("a polygon must have as many x as y, at least three")
        points += zip(flat[::2], flat[1::2], strict=True)
    return outline(points)


def _degrees(row: dict[str, Any]) -> float:
    """Return CVAT's clockwise rotation; any other field that turns a box is refused, because tools differ in its sense."""
    attributes = row.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    for place, name in [(row, name) for name in _TURNS] + [(attributes, name) for name in _TURNS[1:]]:
        if place.get(name):
            raise ValueError(f"its '{name}' turns the box in a way that is not known; give the outline instead")
    return numbers([attributes.get("rotation", 0)], "rotation", 1)[0]


def _agree(box: Box, drawn: Box) -> bool:
    pixels, share = _SLACK
    slack = pixels + share * max(drawn.x2 - drawn.x1, drawn.y2 - drawn.y1)
    return all(abs(a - b) <= slack for a, b in zip(box, drawn, strict=True))


def _edges(box: Box) -> str:
    return f"[{', '.join(f'{edge:g}' for edge in box)}]"


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


def studio_shape(kind: str, item: dict[str, Any]) -> Box:
    """Return the box of a result of Label Studio that is one of `STUDIO_SHAPES`, most in percent of the image's size."""
    width, height = _sides([item.get("original_width"), item.get("original_height")])
    if item.get("image_rotation"):
        raise ValueError("was drawn on a rotated image")
    return STUDIO_SHAPES[kind](studio_value(item), width, height)


def _fields(value: dict[str, Any], *names: str) -> list[float]:
    """Return numbers by their names; a rotation may be missing."""
    return numbers([value.get(name, 0 if name == "rotation" else None) for name in names], ", ".join(names), len(names))


def _require_percent(*values: float) -> None:
    """Refuse places far outside the image: they are in pixels."""
    if not all(_PERCENT[0] <= value <= _PERCENT[1] for value in values):
        raise ValueError("is outside 0 to 100 percent of its image")


def _studio_rectangle(value: dict[str, Any], width: int, height: int) -> Box:
    x, y, across, down, degrees = _fields(value, "x", "y", "width", "height", "rotation")
    if not degrees:
        _require_percent(x, y, x + across, y + down)
    return rectangle(x * width / 100, y * height / 100, across * width / 100, down * height / 100, degrees)


def _studio_ellipse(value: dict[str, Any], width: int, height: int) -> Box:
    x, y, across, down, degrees = _fields(value, "x", "y", "radiusX", "radiusY", "rotation")
    _require_percent(x, y)
    return ellipse(x * width / 100, y * height / 100, across * width / 100, down * height / 100, degrees)


def _studio_polygon(value: dict[str, Any], width: int, height: int) -> Box:
    points = value.get("points")
    if not isinstance(points, list) or len(points) < 3 or value.get("closed") is False:
        raise ValueError("a polygon must be closed, with at least three points")
    corners = [numbers(point, "x, y", 2) for point in points]
    _require_percent(*(edge for corner in corners for edge in corner))
    return outline([(x * width / 100, y * height / 100) for x, y in corners])


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


def _studio_bitmask(value: dict[str, Any], width: int, height: int) -> Box:
    """Return the box of black pixels on a transparent background, a PNG as a data URL."""
    address = value.get("imageDataURL")
    if not isinstance(address, str) or not address.startswith(_PNG):
        raise ValueError(f"imageDataURL must begin with {_PNG}")
    try:
        drawn = opacity(base64.b64decode(address.removeprefix(_PNG), validate=True), "its bitmask")
    except ImageError as error:
        raise ValueError(str(error)) from error
    if drawn.shape != (height, width):
        raise ValueError(f"its bitmask is {drawn.shape[1]} x {drawn.shape[0]}, not {width} x {height}")
    if drawn.all():
        raise ValueError("its bitmask must have a transparent background")
    return _box((drawn > 0).astype(np.uint8))


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


def _studio_brush(value: dict[str, Any], width: int, height: int) -> Box:
    return brush_shape(value.get("rle"), width, height)


STUDIO_SHAPES: dict[str, Callable[[dict[str, Any], int, int], Box]] = {
    "rectangle": _studio_rectangle,
    "ellipse": _studio_ellipse,
    "polygon": _studio_polygon,
    "brush": _studio_brush,
    "bitmask": _studio_bitmask,
}
