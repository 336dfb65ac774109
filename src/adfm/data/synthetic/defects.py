"""Paints one defect into a window of a part, by defect type; `part` measures the mask from what the paint changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from adfm.data.synthetic import fields
from adfm.data.synthetic.fields import RGB, Doubles, Float, as_float, over, rgb, stroke, uniform


@dataclass(frozen=True)
class Spot:
    """The window that one defect is drawn in, and how large and strong it is to be; lengths in px of the window."""

    before: Float  # (h, w, 3), RGB in 0..1
    bare: Float | None  # the same without print, where the product has print
    x: float
    y: float
    size: float
    unit: float  # 1/128 of the frame's short side
    strength: float  # 0..1
    material: str

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the window."""
        return self.before.shape[0], self.before.shape[1]

    @property
    def mean(self) -> Float:
        """Mean colour (3,) of the window."""
        return as_float(cv2.mean(self.before)[:3])

    def contrast(self, rng: np.random.Generator, *, bright: float) -> Float:
        """Return a colour that stands out: with probability `bright` lighter, if there is room for it."""
        mean = self.mean
        level = float(mean.mean())
        if level < 0.22 or (level < 0.70 and rng.random() < bright):
            return as_float(np.clip(mean + 0.45, 0.0, 1.0))
        return 0.22 * mean

    def curve(self, headings: Doubles, length: float) -> Float:
        """Return an open curve (steps, 2) of `length` px that is centred on the spot, from its headings in radians."""
        path = fields.walk(headings, length / len(headings))
        return as_float(path - path.mean(0) + (self.x, self.y))

    def blob(self, rng: np.random.Generator, radius: float, flattest: float, rough: float) -> Float:
        """Return an irregular outline (40, 2) around the spot, at the flattest with that ratio of its axes."""
        return fields.blob(rng, (self.x, self.y), (radius, radius * uniform(rng, flattest, 1.0)), rough)


def _bending(rng: np.random.Generator, bend: float, steps: int) -> Doubles:
    """Draw the headings of a smooth curve in a random direction."""
    return uniform(rng, 0, 2 * np.pi) + np.cumsum(rng.normal(0.0, bend, steps) + rng.normal(0.0, bend / 2))


def scratch(spot: Spot, rng: np.random.Generator) -> Float:
    """Paint a thin line, fading in and out, with a raised lip on one side; sometimes a pair."""
    after = spot.before
    points = spot.curve(_bending(rng, 0.05, 16), spot.size)
    normal = as_float([points[0, 1] - points[-1, 1], points[-1, 0] - points[0, 0]])
    normal /= max(1e-3, float(np.hypot(*normal)))
    width = max(0.9, uniform(rng, 0.8, 1.9) * spot.unit)
    colour = spot.contrast(rng, bright=0.6)
    for copy in range(1 + int(rng.random() < 0.25)):
        path = points + normal * np.float32(copy * uniform(rng, 3, 6) * spot.unit)
        fade = np.sin(np.linspace(0.15, np.pi - 0.15, 15)) ** 0.4 * (1.0 - 0.35 * rng.random(15))
        widths = as_float(width * (0.6 + 0.4 * fade))
        lip = stroke(*spot.shape, path + normal * np.float32(0.8 * width), widths, 0.5 * fade)
        after = over(after, spot.strength * lip, np.clip(2.0 * spot.mean - colour, 0.0, 1.0))
        after = over(after, spot.strength * stroke(*spot.shape, path, widths, fade), colour)
    return after


def hole(spot: Spot, rng: np.random.Generator) -> Float:
    """Paint a punched or blown opening: ragged, dark inside and deepest in its shaded half, with a worn rim."""
    radius = 0.5 * spot.size
    outline = spot.blob(rng, radius, 0.65, 0.16 if spot.material in ("woven", "cast", "wood") else 0.07)
    inside = fields.polygon(*spot.shape, outline)
    centre = as_float((spot.x, spot.y))
    grown = fields.polygon(*spot.shape, (outline - centre) * (1.0 + 1.4 * spot.unit / radius) + centre)
    mean = spot.mean
    rim = np.clip(1.35 * mean + 0.08, 0.0, 1.0) if float(mean.mean()) < 0.6 else 0.7 * mean
    y, x = fields.axes(*spot.shape)
    depth = 0.10 + 0.05 * np.clip((x + y) / (2 * radius), -1.0, 1.0)
    dark = rgb(depth) * np.float32(0.4 + float(mean.mean()))
    after = over(spot.before, 0.6 * spot.strength * grown, rim)
    return over(after, min(1.0, 0.45 + 0.6 * spot.strength) * inside, dark)


def stain(spot: Spot, rng: np.random.Generator) -> Float:
    """Paint a dried spill: it filters the surface below it, unevenly and most at its edge."""
    radius = 0.5 * spot.size
    outline = spot.blob(rng, radius, 0.6, 0.14)
    inside = as_float(cv2.GaussianBlur(fields.polygon(*spot.shape, outline), (0, 0), 0.7 * spot.unit + 0.3))
    core = as_float(cv2.GaussianBlur(inside, (0, 0), max(0.6, 0.18 * radius)))
    filters: tuple[RGB, ...] = ((0.42, 0.30, 0.16), (0.20, 0.20, 0.22), (0.50, 0.40, 0.30), (0.30, 0.34, 0.28))
    pick = as_float(filters[int(rng.integers(len(filters)))])
    uneven = 1.0 + 0.15 * fields.smooth(rng, *spot.shape, max(2.0, 0.35 * spot.size))
    density = np.clip(spot.strength * inside * (0.95 - 0.35 * core) * uneven, 0.0, 0.92)
    if float(spot.mean.mean()) < 0.30:  # a dark surface shows a pale bloom, not a dark spill
        return over(spot.before, 0.8 * as_float(density), np.clip(spot.mean + 0.38, 0.0, 1.0))
    return as_float(spot.before * (1.0 - rgb(density) * (1.0 - pick)))


def crack(spot: Spot, rng: np.random.Generator) -> Float:
    """Paint a jagged dark line that tapers off, with up to two branches."""
    steps = 14
    headings = uniform(rng, 0, 2 * np.pi) + rng.normal(0.0, 0.55, steps)
    trunk = spot.curve(headings, spot.size)
    width = max(1.0, uniform(rng, 1.1, 2.0) * spot.unit)
    taper = as_float(np.clip(1.25 - np.abs(np.linspace(-1, 1, steps - 1)) ** 2, 0.45, 1.0))
    cover = stroke(*spot.shape, trunk, width * taper)
    for _ in range(int(rng.integers(0, 3))):
        start = int(rng.integers(3, steps - 4))
        angle = headings[start] + (0.8 if rng.random() < 0.5 else -0.8) + rng.normal(0.0, 0.35, 6)
        twig = np.concatenate([trunk[start : start + 1], trunk[start] + fields.walk(angle, spot.size / steps)])
        cover = np.maximum(cover, stroke(*spot.shape, twig, 0.75 * width * np.linspace(1.0, 0.5, 6)))
    return over(spot.before, min(1.0, 0.2 + 0.85 * spot.strength) * cover, spot.contrast(rng, bright=0.0))


def missing_print(spot: Spot, rng: np.random.Generator) -> Float:
    """Take print away: inside an irregular patch only a ghost of the ink is left on the bare material."""
    if spot.bare is None:
        return spot.before
    outline = spot.blob(rng, 0.5 * spot.size, 0.45, 0.12)
    patchy = fields.step(-2.2, -1.0, fields.smooth(rng, *spot.shape, 4 * spot.unit))
    gone = fields.polygon(*spot.shape, outline) * patchy * np.float32(min(0.88, 0.35 + 0.7 * spot.strength))
    return over(spot.before, gone, spot.bare)


def contamination(spot: Spot, rng: np.random.Generator) -> Float:
    """Paint foreign matter: a curly thread on the surface with its shadow, or a cluster of small grains."""
    strength = min(1.0, 0.25 + 0.8 * spot.strength)
    if rng.random() < 0.55:
        points = spot.curve(_bending(rng, 0.27, 24), 2.0 * spot.size)
        width = max(0.9, uniform(rng, 0.8, 1.4) * spot.unit)
        threads: tuple[RGB, ...] = ((0.08, 0.08, 0.10), (0.93, 0.92, 0.88), (0.16, 0.22, 0.55), (0.62, 0.12, 0.12))
        order = sorted(threads, key=lambda thread: -float(np.abs(as_float(thread) - spot.mean).max()))
        shadow = stroke(*spot.shape, points + np.float32(0.9 * width), width, 0.35)
        after = over(spot.before, spot.strength * shadow, 0.3 * spot.mean)
        return over(after, stroke(*spot.shape, points, width, strength), order[int(rng.integers(2))])
    cover = np.zeros(spot.shape, np.float32)
    for _ in range(int(rng.integers(3, 8))):
        x, y = spot.x + rng.normal(0.0, 0.16 * spot.size), spot.y + rng.normal(0.0, 0.16 * spot.size)
        radius = max(1.0, uniform(rng, 1.0, 2.4) * spot.unit)
        grain = fields.blob(rng, (float(x), float(y)), (radius, radius * uniform(rng, 0.6, 1.0)), 0.12)
        cover = np.maximum(cover, fields.polygon(*spot.shape, grain))
    return over(spot.before, strength * cover, spot.contrast(rng, bright=0.5))


def deformation(spot: Spot, rng: np.random.Generator) -> Float:
    """Dent the surface: the texture is pulled, twisted or squeezed in a disc, and its slopes take the light differently."""
    height, width = spot.shape
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(spot.y)
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(spot.x)
    radius = 0.55 * spot.size
    dome = np.square(np.maximum(1.0 - (x * x + y * y) / radius**2, 0.0))
    amount = (0.35 + 0.5 * spot.strength) * (1.0 if rng.random() < 0.5 else -1.0)
    pull, twist = (amount, 0.0) if rng.random() < 0.5 else (0.15 * amount, 1.6 * amount)
    turn = uniform(rng, 0, 2 * np.pi)
    drag = 0.18 * radius * spot.strength
    map_x = x + spot.x - dome * (pull * x - twist * y + drag * np.cos(turn))
    map_y = y + spot.y - dome * (pull * y + twist * x + drag * np.sin(turn))
    border = cv2.BORDER_REFLECT_101
    warped = cv2.remap(spot.before, as_float(map_x), as_float(map_y), cv2.INTER_LINEAR, borderMode=border)
    slope = 2.6 * np.sqrt(dome) * (x * np.cos(turn) + y * np.sin(turn)) / radius
    return as_float(warped * (1.0 + rgb(np.clip(0.40 * spot.strength * slope, -0.6, 0.6))))


class Defect(NamedTuple):
    """One defect type: what paints it into a window (h, w, 3), and its length as a multiple of the drawn extent."""

    paint: Callable[[Spot, np.random.Generator], Float]
    length: float


DEFECTS: dict[str, Defect] = {  # a scratch is long, a hole is small
    "scratch": Defect(scratch, 1.7),
    "hole": Defect(hole, 0.55),
    "stain": Defect(stain, 0.95),
    "crack": Defect(crack, 1.5),
    "missing_print": Defect(missing_print, 1.0),
    "contamination": Defect(contamination, 0.9),
    "deformation": Defect(deformation, 1.1),
}
DEFECT_KINDS: tuple[str, ...] = tuple(DEFECTS)


def last_resort(spot: Spot) -> Float:
    """Paint a solid grain that shows on any surface, for where no other defect would be seen."""
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    radius = max(2.5, 2.5 * spot.unit)
    disc = as_float(np.stack([spot.x + radius * np.cos(turn), spot.y + radius * np.sin(turn)], 1))
    level = 0.97 if float(spot.before[round(spot.y), round(spot.x)].mean()) < 0.5 else 0.03
    return over(spot.before, fields.polygon(*spot.shape, disc), (level, level, level))
