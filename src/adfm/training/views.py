"""Other views of a training picture: quarter turns, mirrorings and random cuts; its boxes go with it.

A cut always holds every defect whole, so a label never changes. Left out: changes of colour and light.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from adfm.geometry import Box
from adfm.records import Sample

TURNS = 8
SMALLEST_CUT = 0.6
"""Shortest side of a random cut, as a part of the picture's."""


@dataclass(frozen=True)
class View:
    """A picture cut to `window` (whole pixels of the original; None: not cut) and then turned by `turn` (0-7)."""

    turn: int = 0
    window: Box | None = None


def views(sample: Sample, *, turns: bool, cuts: int, seed: int) -> Iterator[View]:
    """Yield the views of a sample: as it is, its seven other turns where asked for, and `cuts` random cuts.

    An anomalous sample of unknown boxes is never cut: its defect might be lost.
    """
    yield from (View(turn) for turn in range(TURNS if turns else 1))
    if sample.boxes is None and sample.anomalous:
        return
    rng = np.random.default_rng((seed, zlib.crc32(sample.id.encode())))
    for _ in range(cuts):
        turn = int(rng.integers(TURNS)) if turns else 0
        yield View(turn, _window(sample, rng))


def _window(sample: Sample, rng: np.random.Generator) -> Box:
    """A random window of about the picture's own proportions that holds every box."""
    share = rng.uniform(SMALLEST_CUT, 1.0)
    boxes = sample.boxes or ()
    x1, x2 = _span(sample.width, share, [b.x1 for b in boxes], [b.x2 for b in boxes], rng)
    y1, y2 = _span(sample.height, share, [b.y1 for b in boxes], [b.y2 for b in boxes], rng)
    return Box(x1, y1, x2, y2)


def _span(side: int, share: float, starts: list[float], ends: list[float], rng: np.random.Generator) -> tuple[int, int]:
    """A random span of `share` of a side that holds every [start, end), longer where they need more."""
    first, last = int(min(starts, default=side)), int(np.ceil(max(ends, default=0)))
    length = max(1, round(share * side), last - first)
    start = int(rng.integers(max(0, last - length), min(first, side - length) + 1))
    return start, start + length


def viewed_picture(image: Image.Image, view: View, sample: Sample) -> Image.Image:
    """Return the picture of a sample in a view; the picture may be a shrunk one, the window is in original pixels."""
    if view.window:
        sx, sy = image.width / sample.width, image.height / sample.height
        x1, y1, x2, y2 = view.window
        size = max(1, round((x2 - x1) * sx)), max(1, round((y2 - y1) * sy))
        image = image.resize(size, Image.Resampling.BICUBIC, box=(x1 * sx, y1 * sy, x2 * sx, y2 * sy))
    return turned_picture(image, view.turn)


def viewed_sample(sample: Sample, view: View) -> Sample:
    """Return the sample as its picture looks in a view; its id tells which."""
    if view.window:
        x1, y1, x2, y2 = map(int, view.window)
        boxes = sample.boxes and tuple(Box(b.x1 - x1, b.y1 - y1, b.x2 - x1, b.y2 - y1) for b in sample.boxes)
        name = f"{sample.id}#cut{x1},{y1},{x2},{y2}"
        sample = replace(sample, id=name, width=x2 - x1, height=y2 - y1, boxes=boxes)
    return turned_sample(sample, view.turn)


def turned_picture(image: Image.Image, turn: int) -> Image.Image:
    """Return the picture in one of 8 positions: from 4 on mirrored first, then `turn % 4` quarter turns to the left."""
    if turn >= 4:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    quarter = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)[turn % 4]
    return image.transpose(quarter) if quarter is not None else image


def turned_sample(sample: Sample, turn: int) -> Sample:
    """Return the sample as its picture looks after `turned_picture`; its id tells the turn."""
    if turn == 0:
        return sample
    width, height = sample.width, sample.height
    boxes = sample.boxes
    if turn >= 4 and boxes:
        boxes = tuple(Box(width - b.x2, b.y1, width - b.x1, b.y2) for b in boxes)
    for _ in range(turn % 4):
        boxes = boxes and tuple(Box(b.y1, width - b.x2, b.y2, width - b.x1) for b in boxes)
        width, height = height, width
    return replace(sample, id=f"{sample.id}#turn{turn}", width=width, height=height, boxes=boxes)
