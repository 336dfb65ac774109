"""Gives the outline of a part: signed distance, coverage, edge shading and shadow on its background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from adfm.data.synthetic.fields import Float, Real, as_float, axes, rounded, step

Shape = Literal["full", "disc", "plate", "ring", "bracket"]


@dataclass(frozen=True)
class Outline:
    """One product's outline: its shape and its size as a share of the frame's short side."""

    kind: Shape = "full"
    size: float = 1.0


def distance(outline: Outline, x: Real, y: Real) -> Float:
    """Return the signed distance from points (x, y) to the outline, negative inside.

    All lengths are in short sides of the frame, with the origin at its centre.
    """
    kind, size = outline.kind, outline.size
    if kind == "full":
        return as_float(np.full(np.broadcast_shapes(x.shape, y.shape), -size))
    if kind == "plate":
        return rounded(x, y, size / 2, size * 0.39, size * 0.09)
    if kind == "bracket":
        upright = rounded(x + 0.26 * size, y, 0.24 * size, size / 2, 0.06 * size)
        foot = rounded(x, y - 0.27 * size, size / 2, 0.23 * size, 0.06 * size)
        return np.minimum(upright, foot)
    radius = np.hypot(x, y)
    disc = as_float(radius - size / 2)
    return disc if kind == "disc" else as_float(np.maximum(disc, -as_float(radius - 0.34 * size / 2)))


def layers(outline: Outline, size: tuple[int, int]) -> Float:
    """Return (H, W, 3) of `size` (W, H) px: coverage, edge gain minus one, shadow."""
    short = min(size)
    y, x = axes(size[1], size[0])
    far = short * distance(outline, x / short, y / short)
    coverage = step(-0.7, 0.7, -far)
    bevel = max(1.5, 0.022 * short)
    near_edge = np.exp(-np.square(np.minimum(far, 0.0) / bevel))
    slope = cv2.Sobel(far, cv2.CV_32F, 1, 0, scale=1 / 8) + cv2.Sobel(far, cv2.CV_32F, 0, 1, scale=1 / 8)
    gain = near_edge * (-0.12 - 0.26 * slope)  # lit from the upper left
    drop = max(1, round(0.02 * short))
    shadow = cv2.GaussianBlur(np.roll(coverage, (drop, drop), (0, 1)), (0, 0), 0.016 * short)
    return as_float(cv2.merge([coverage, as_float(gain), as_float(0.45 * shadow)]))
