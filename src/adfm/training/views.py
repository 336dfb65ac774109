"""Other views of a training image: flips, rotations by quarter turns, and random crops. Its boxes go with it.

A crop holds every defect completely, so a label never changes. Left out: changes of colour and light.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from adfm.geometry import Box
from adfm.records import Sample

POSITIONS = 8
"""Flips and rotations of an image, itself included."""
SMALLEST_CROP = 0.6
"""Shortest side of a random crop, as a part of the image's."""


@dataclass(frozen=True)
class View:
    """An image cropped to `window` (whole pixels of the original; None: not cropped) and then put in `position` (0-7).

    From position 4 on the image is mirrored left to right first. Then it is rotated by `position % 4` quarter turns to the left.
    """

    position: int = 0
    window: Box | None = None


def views(sample: Sample, *, flips_rotations: bool, crops: int, seed: int) -> Iterator[View]:
    """Yield the views of a sample: the original, its seven flips and rotations where asked for, and `crops` random crops.

    A crop has about the image's own proportions. An anomalous sample of unknown boxes is never cropped: its defect might be lost.
    """
    yield from (View(position) for position in range(POSITIONS if flips_rotations else 1))
    if sample.boxes is None and sample.anomalous:
        return
    rng = np.random.default_rng((seed, zlib.crc32(sample.id.encode())))
    boxes = sample.boxes or ()
    for _ in range(crops):
        position = int(rng.integers(POSITIONS)) if flips_rotations else 0
        share = rng.uniform(SMALLEST_CROP, 1.0)
        x1, x2 = _span(sample.width, share, [box.x1 for box in boxes], [box.x2 for box in boxes], rng)
        y1, y2 = _span(sample.height, share, [box.y1 for box in boxes], [box.y2 for box in boxes], rng)
        yield View(position, Box(x1, y1, x2, y2))


def _span(
    side: int, share: float, starts: Sequence[float], ends: Sequence[float], rng: np.random.Generator
) -> tuple[int, int]:
    """Draw a span of `share` of a side that holds every [start, end), longer where they need more."""
    first, last = int(min(starts, default=side)), int(np.ceil(max(ends, default=0)))
    length = max(1, round(share * side), last - first)
    start = int(rng.integers(max(0, last - length), min(first, side - length) + 1))
    return start, start + length


def viewed_image(image: Image.Image, view: View, sample: Sample) -> Image.Image:
    """Return the image of a sample in a view. The image may be a shrunk one; the window is in original pixels."""
    if view.window:
        sx, sy = image.width / sample.width, image.height / sample.height
        x1, y1, x2, y2 = view.window
        size = max(1, round((x2 - x1) * sx)), max(1, round((y2 - y1) * sy))
        image = image.resize(size, Image.Resampling.BICUBIC, box=(x1 * sx, y1 * sy, x2 * sx, y2 * sy))
    if view.position >= 4:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for _ in range(view.position % 4):
        image = image.transpose(Image.Transpose.ROTATE_90)
    return image


def viewed_sample(sample: Sample, view: View) -> Sample:
    """Return the sample as `viewed_image` shows it: boxes, width and height in the pixels of the view. Its id names the view."""
    name, width, height, boxes = sample.id, sample.width, sample.height, sample.boxes
    if view.window:
        x1, y1, x2, y2 = map(int, view.window)
        name, width, height = f"{name}#cut{x1},{y1},{x2},{y2}", x2 - x1, y2 - y1
        boxes = boxes and tuple(Box(b.x1 - x1, b.y1 - y1, b.x2 - x1, b.y2 - y1) for b in boxes)
    if view.position >= 4:
        boxes = boxes and tuple(Box(width - b.x2, b.y1, width - b.x1, b.y2) for b in boxes)
    for _ in range(view.position % 4):
        boxes = boxes and tuple(Box(b.y1, width - b.x2, b.y2, width - b.x1) for b in boxes)
        width, height = height, width
    if view.position:
        name = f"{name}#turn{view.position}"
    return replace(sample, id=name, width=width, height=height, boxes=boxes)
