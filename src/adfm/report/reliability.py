"""The reliability diagram as an image: predicted against observed share of anomalous parts, before and after calibration."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from adfm.calibration.fit import ECE_BINS, Bin, bins_of, quality, reliability
from adfm.numbers import Bools, Floats, clopper_pearson
from adfm.storage import write_bytes

Colour = tuple[int, int, int]
Point = tuple[float, float]

WIDTH, HEIGHT = 560, 640  # pixels of the finished image
_SCALE = 2  # drawn at twice the size and reduced, for smooth edges
_LEFT, _TOP, _SIDE = 72, 86, 450  # the square of the curves
_BARS = (_TOP + _SIDE + 14, _TOP + _SIDE + 62)  # the strip of counts, top and bottom
_INK: Colour = (33, 37, 43)
_MUTED: Colour = (110, 118, 128)
SOFTWARE = "adfm reliability"
"""What every diagram says about its origin. An image without it is not ours to replace."""
_GRID: Colour = (226, 229, 233)
_BEFORE: Colour = (150, 158, 168)
_AFTER: Colour = (24, 98, 181)


class _Pen:
    """Draws in units of the finished image."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (WIDTH * _SCALE, HEIGHT * _SCALE), (255, 255, 255))
        self._draw = ImageDraw.Draw(self.image)

    def line(self, points: Sequence[Point], colour: Colour, width: float = 1) -> None:
        scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
        self._draw.line(scaled, fill=colour, width=round(width * _SCALE), joint="curve")

    def dot(self, at: Point, colour: Colour, radius: float = 4) -> None:
        self._draw.circle((at[0] * _SCALE, at[1] * _SCALE), radius * _SCALE, fill=colour)

    def box(self, x1: float, y1: float, x2: float, y2: float, colour: Colour) -> None:
        self._draw.rectangle(tuple(round(edge * _SCALE) for edge in (x1, y1, x2, y2)), fill=colour)

    def text(self, at: Point, words: str, colour: Colour = _MUTED, size: int = 13, anchor: str = "lm") -> None:
        font = ImageFont.load_default(size * _SCALE)
        self._draw.text((at[0] * _SCALE, at[1] * _SCALE), words, fill=colour, font=font, anchor=anchor)


def write_reliability(path: Path, anomalous: Bools, before: Floats, after: Floats | None) -> None:
    """Write the diagram as a PNG of `WIDTH` x `HEIGHT`.

    Args:
        anomalous: (n,) labels.
        before: (n,) probabilities as the model gives them.
        after: (n,) calibrated ones, None where nothing was fitted.
    """
    pen = _Pen()
    _axes(pen)
    curves = [(before, "before" if after is not None else "the model's scores", _BEFORE)]
    curves += [(after, "after", _AFTER)] if after is not None else []
    pen.text((_LEFT, 22), f"Reliability on {len(anomalous)} samples, {int(anomalous.sum())} anomalous", _INK, 17)
    bins = [reliability(probability, anomalous) for probability, _, _ in curves]
    most, (top, bottom) = max((b.samples for row in bins for b in row), default=1), _BARS
    width = _SIDE / ECE_BINS / (len(curves) + 0.6)
    for row, (probability, name, colour) in enumerate(curves):
        measured = quality(probability, anomalous)
        y = 46 + 20 * row
        pen.dot((_LEFT + 6, y), colour)
        pen.text((_LEFT + 20, y), f"{name}: ECE {measured.ece:.3f}, Brier {measured.brier:.3f}", _INK)
        _curve(pen, bins[row], colour, shift=3.0 * (2 * row - 1) if after is not None else 0)
        for b in bins[row]:  # how many samples each bin holds, the two curves side by side
            left = _LEFT + bins_of(np.array([b.probability]))[0] * _SIDE / ECE_BINS + (row + 0.3) * width
            pen.box(left, bottom - (bottom - top) * b.samples / most, left + width - 1, bottom, colour)
    pen.line([(_LEFT, bottom), (_LEFT + _SIDE, bottom)], _MUTED)
    pen.text((_LEFT - 8, top + 6), f"{most}", anchor="rm", size=11)
    pen.text((_LEFT - 8, bottom - 6), "n", anchor="rm", size=11)
    buffer = BytesIO()
    marked = PngInfo()
    marked.add_text("Software", SOFTWARE)
    pen.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(buffer, "PNG", optimize=True, pnginfo=marked)
    write_bytes(path, buffer.getvalue())


def _place(x: float, y: float) -> Point:
    return _LEFT + x * _SIDE, _TOP + (1 - y) * _SIDE


def _axes(pen: _Pen) -> None:
    for mark in (0, 0.2, 0.4, 0.6, 0.8, 1):
        pen.line([_place(0, mark), _place(1, mark)], _GRID)
        pen.line([_place(mark, 0), _place(mark, 1)], _GRID)
        x, y = _place(mark, mark)
        pen.text((_LEFT - 8, y), f"{mark:g}", anchor="rm")
        pen.text((x, _BARS[1] + 13), f"{mark:g}", anchor="mm")
    pen.line([_place(0, 0), _place(1, 1)], _MUTED, 1.2)
    pen.text((_LEFT + _SIDE / 2, HEIGHT - 14), "predicted probability of anomalous", _INK, anchor="mm")
    pen.text((_LEFT + 8, _TOP + 14), "observed share of anomalous parts (95 % interval)", _INK)


def _curve(pen: _Pen, bins: Sequence[Bin], colour: Colour, shift: float) -> None:
    """One dot per bin with its exact interval; the two curves' bars are shifted apart by a few pixels."""
    points = []
    for b in bins:
        low, high = clopper_pearson(b.anomalous, b.samples)
        x, y = _place(b.probability, b.anomalous / b.samples)
        x = min(max(x + shift, _LEFT), _LEFT + _SIDE)
        pen.line([(x, _place(0, low)[1]), (x, _place(0, high)[1])], colour, 1.5)
        points.append((x, y))
    if len(points) > 1:
        pen.line(points, colour, 2)
    for point in points:
        pen.dot(point, colour)
