"""Draws the random fields and antialiased coverage maps that all parts are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Real = npt.NDArray[np.floating[Any]]
Bytes = npt.NDArray[np.uint8]
RGB = tuple[float, float, float]

SUPER = 4  # supersampling of drawn coverage: edges then have 16 grey levels, as a lens would give


def as_float(values: object) -> Float:
    """Return `values` as float32, without a copy where it already is."""
    return np.asarray(values, dtype=np.float32)


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw one float from [low, high)."""
    return float(low + (high - low) * rng.random())


def white(rng: np.random.Generator, height: int, width: int) -> Float:
    """Return (height, width) white noise of deviation 1: sums of three bytes, nearly Gaussian and 5x faster."""
    noise = np.frombuffer(rng.bytes(3 * height * width), np.uint8).reshape(3, height, width)
    return as_float(noise.sum(0, dtype=np.float32) - 382.5) * np.float32(1 / 128)


def smooth(rng: np.random.Generator, height: int, width: int, cell: float, cell_x: float | None = None) -> Float:
    """Return a (height, width) smooth field of about unit deviation whose bumps are `cell` px (`cell_x` px along x)."""
    rows = max(2, round(height / max(cell, 1.0)) + 1)
    columns = max(2, round(width / max(cell_x or cell, 1.0)) + 1)
    return as_float(cv2.resize(white(rng, rows, columns), (width, height), interpolation=cv2.INTER_CUBIC))


def streaks(rng: np.random.Generator, height: int, width: int, length: float) -> Float:
    """Return noise drawn out along x to streaks of about `length` px, unit deviation."""
    size = max(1, round(length))
    return as_float(cv2.blur(white(rng, height, width), (size, 1), borderType=cv2.BORDER_REFLECT_101) * np.sqrt(size))


def axes(height: int, width: int) -> tuple[Float, Float]:
    """Return pixel coordinates y (height, 1) and x (1, width) from the centre of the frame."""
    y = np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2
    x = np.arange(width, dtype=np.float32)[None, :] - (width - 1) / 2
    return as_float(y), as_float(x)


def rounded(x: Real, y: Real, half_x: float, half_y: float, corner: float) -> Float:
    """Return the signed distance from points (x, y) to a box around the origin, negative inside.

    The box is `2 half_x` x `2 half_y` and its corners have the radius `corner`.
    """
    beyond_x, beyond_y = np.abs(x) - (half_x - corner), np.abs(y) - (half_y - corner)
    outside = np.hypot(np.maximum(beyond_x, 0.0), np.maximum(beyond_y, 0.0))
    return as_float(outside + np.minimum(np.maximum(beyond_x, beyond_y), 0.0) - corner)


def step(low: float, high: float, values: Real) -> Float:
    """Ramp linearly from 0 at `low` to 1 at `high`."""
    return as_float(np.clip((as_float(values) - low) * np.float32(1 / (high - low)), 0.0, 1.0))


def rgb(plane: Real) -> Float:
    """Repeat a (H, W) plane to (H, W, 3); several times faster than numpy broadcasting over an inner axis of 3."""
    return as_float(cv2.cvtColor(as_float(plane), cv2.COLOR_GRAY2RGB))


def tint(plane: Real, low: RGB, high: RGB) -> Float:
    """Colour a (H, W) plane: 0 gives `low`, 1 gives `high`; (H, W, 3)."""
    plane = as_float(plane)
    return as_float(cv2.merge([plane * np.float32(b - a) + np.float32(a) for a, b in zip(low, high, strict=True)]))


def over(image: Float, alpha: Real, colour: Sequence[float] | Real) -> Float:
    """Lay `colour` over `image` (H, W, 3) with opacity `alpha` (H, W) in 0..1."""
    return as_float(image + rgb(alpha) * (as_float(colour) - image))


def reduced(canvas: Bytes) -> Float:
    """Shrink a drawing made `SUPER` times too large to a coverage map in 0..1."""
    height, width = canvas.shape[0] // SUPER, canvas.shape[1] // SUPER
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return as_float(small) * np.float32(1 / 255)


def stroke(height: int, width: int, points: Real, widths: Real | float, levels: Real | float = 1.0) -> Float:
    """Return the coverage (height, width) of a polyline (n, 2) px; `widths` (px) and `levels` are one value or one a segment."""
    canvas = np.zeros((height * SUPER, width * SUPER), np.uint8)
    corners = np.round((as_float(points) + 0.5) * SUPER).astype(int).tolist()
    looks = (np.broadcast_to(as_float(values), len(corners) - 1).tolist() for values in (widths, levels))
    for start, end, thick, level in zip(corners[:-1], corners[1:], *looks, strict=True):
        cv2.line(canvas, start, end, (255 * level,), max(1, round(thick * SUPER)))
    return reduced(canvas)


def polygon(height: int, width: int, points: Real) -> Float:
    """Return the coverage (height, width) of a filled polygon (n, 2) px."""
    canvas = np.zeros((height * SUPER, width * SUPER), np.uint8)
    cv2.fillPoly(canvas, [np.round((as_float(points) + 0.5) * SUPER).astype(np.int32)], (255,))
    return reduced(canvas)


def walk(headings: Doubles, stride: float) -> Doubles:
    """Return the path (n, 2) of n steps of `stride` px with those headings in radians, from the origin."""
    return np.asarray(np.cumsum(np.stack([np.cos(headings), np.sin(headings)], 1) * stride, 0))


def blob(rng: np.random.Generator, centre: tuple[float, float], radii: tuple[float, float], rough: float) -> Float:
    """Return the outline (40, 2) px of an irregular ellipse in a random orientation; `rough` 0 is a true ellipse."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radius = np.ones(40)
    for order in range(2, 8):
        radius += rough / order**0.7 * rng.normal() * np.cos(order * angle + uniform(rng, 0, 2 * np.pi))
    local = np.maximum(radius, 0.3) * np.stack([radii[0] * np.cos(angle), radii[1] * np.sin(angle)])
    turn = uniform(rng, 0, np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return as_float((rotation @ local).T + centre)
