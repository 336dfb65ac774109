"""Defects: each kind paints one flaw into a window of a part; the mask is measured from what it changed, elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from adfm.data.synthetic.fields import (
    RGB,
    Float,
    as_float,
    axes,
    blob,
    over,
    polygon,
    rgb,
    smooth,
    step,
    stroke,
    uniform,
)


@dataclass(frozen=True)
class Spot:
    """The window that one defect is drawn in, and how large and strong it is to be; lengths in px of the window."""

    before: Float  # (h, w, 3), RGB in 0..1
    bare: Float | None  # the same without print, where the product has print
    print: Float | None  # (h, w), coverage of print
    x: float
    y: float
    size: float
    unit: float  # 1/128 of the frame's short side
    strength: float  # 0..1
    material: str

    @property
    def mean(self) -> Float:
        """Mean colour (3,) of the window."""
        return as_float(cv2.mean(self.before)[:3])


def _shade(spot: Spot, rng: np.random.Generator, *, bright: float) -> Float:
    """Return a colour that stands out from the window: with probability `bright` lighter, if there is room for it."""
    mean = spot.mean
    level = float(mean.mean())
    if level < 0.22 or (level < 0.70 and rng.random() < bright):
        return as_float(np.clip(mean + 0.45, 0.0, 1.0))
    return 0.22 * mean


def _line(spot: Spot, points: Float, widths: Float, levels: Float) -> Float:
    height, width = spot.before.shape[:2]
    return stroke(height, width, points, widths, levels)


def _curve(spot: Spot, rng: np.random.Generator, length: float, bend: float, steps: int) -> Float:
    """Return a smooth open curve (steps, 2) px centred on the spot, in a random direction."""
    heading = uniform(rng, 0, 2 * np.pi) + np.cumsum(rng.normal(0.0, bend, steps) + rng.normal(0.0, bend / 2))
    moves = np.stack([np.cos(heading), np.sin(heading)], 1) * (length / steps)
    path = np.cumsum(moves, 0)
    return as_float(path - path.mean(0) + (spot.x, spot.y))


def _scratch(spot: Spot, rng: np.random.Generator) -> Float:
    """A thin line, fading in and out, with a raised lip on one side; sometimes a pair."""
    after = spot.before
    points = _curve(spot, rng, spot.size, 0.05, 16)
    normal = as_float([points[0, 1] - points[-1, 1], points[-1, 0] - points[0, 0]])
    normal /= max(1e-3, float(np.hypot(*normal)))
    width = max(0.9, uniform(rng, 0.8, 1.9) * spot.unit)
    colour = _shade(spot, rng, bright=0.6)
    for copy in range(1 + int(rng.random() < 0.25)):
        path = points + normal * np.float32(copy * uniform(rng, 3, 6) * spot.unit)
        fade = np.sin(np.linspace(0.15, np.pi - 0.15, 15)) ** 0.4 * (1.0 - 0.35 * rng.random(15))
        widths = as_float(width * (0.6 + 0.4 * fade))
        lip = _line(spot, path + normal * np.float32(0.8 * width), widths, as_float(0.5 * fade))
        after = over(after, spot.strength * lip, np.clip(2.0 * spot.mean - colour, 0.0, 1.0))
        after = over(after, spot.strength * _line(spot, path, widths, as_float(fade)), colour)
    return after


def _hole(spot: Spot, rng: np.random.Generator) -> Float:
    """A punched or blown opening: ragged, dark inside and deepest in its shaded half, with a worn rim."""
    height, width = spot.before.shape[:2]
    radius = 0.5 * spot.size
    rough = 0.16 if spot.material in ("woven", "cast", "wood") else 0.07
    outline = blob(rng, (spot.x, spot.y), (radius, radius * uniform(rng, 0.65, 1.0)), rough)
    inside = polygon(height, width, outline)
    centre = as_float((spot.x, spot.y))
    grown = polygon(height, width, as_float((outline - centre) * (1.0 + 1.4 * spot.unit / radius) + centre))
    mean = spot.mean
    rim = np.clip(1.35 * mean + 0.08, 0.0, 1.0) if float(mean.mean()) < 0.6 else 0.7 * mean
    y, x = axes(height, width)
    depth = 0.10 + 0.05 * np.clip((x + y) / (2 * radius), -1.0, 1.0)
    dark = rgb(as_float(depth)) * np.float32(0.4 + float(mean.mean()))
    after = over(spot.before, 0.6 * spot.strength * grown, rim)
    return over(after, min(1.0, 0.45 + 0.6 * spot.strength) * inside, dark)


def _stain(spot: Spot, rng: np.random.Generator) -> Float:
    """A dried spill: it filters the surface below it, unevenly and most at its edge."""
    height, width = spot.before.shape[:2]
    radius = 0.5 * spot.size
    outline = blob(rng, (spot.x, spot.y), (radius, radius * uniform(rng, 0.6, 1.0)), 0.14)
    inside = as_float(cv2.GaussianBlur(polygon(height, width, outline), (0, 0), 0.7 * spot.unit + 0.3))
    core = as_float(cv2.GaussianBlur(inside, (0, 0), max(0.6, 0.18 * radius)))
    filters: tuple[RGB, ...] = ((0.42, 0.30, 0.16), (0.20, 0.20, 0.22), (0.50, 0.40, 0.30), (0.30, 0.34, 0.28))
    pick = as_float(filters[int(rng.integers(len(filters)))])
    uneven = 1.0 + 0.15 * smooth(rng, height, width, max(2.0, 0.35 * spot.size))
    density = np.clip(spot.strength * inside * (0.95 - 0.35 * core) * uneven, 0.0, 0.92)
    if float(spot.mean.mean()) < 0.30:  # a dark surface shows a pale bloom, not a dark spill
        return over(spot.before, 0.8 * as_float(density), np.clip(spot.mean + 0.38, 0.0, 1.0))
    return as_float(spot.before * (1.0 - rgb(as_float(density)) * (1.0 - pick)))


def _crack(spot: Spot, rng: np.random.Generator) -> Float:
    """A jagged dark line that tapers off, with one or two branches."""
    steps = 14
    heading = uniform(rng, 0, 2 * np.pi) + rng.normal(0.0, 0.55, steps)
    path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1) * (spot.size / steps), 0)
    trunk = as_float(path - path.mean(0) + (spot.x, spot.y))
    width = max(1.0, uniform(rng, 1.1, 2.0) * spot.unit)
    taper = as_float(np.clip(1.25 - np.abs(np.linspace(-1, 1, steps - 1)) ** 2, 0.45, 1.0))
    cover = _line(spot, trunk, width * taper, np.ones_like(taper))
    for _ in range(int(rng.integers(0, 3))):
        start = int(rng.integers(3, steps - 4))
        angle = heading[start] + (0.8 if rng.random() < 0.5 else -0.8) + rng.normal(0.0, 0.35, 6)
        twig = trunk[start] + np.cumsum(np.stack([np.cos(angle), np.sin(angle)], 1) * (spot.size / steps), 0)
        twig = np.concatenate([trunk[start : start + 1], twig])
        thin = as_float(0.75 * width * np.linspace(1.0, 0.5, 6))
        cover = np.maximum(cover, _line(spot, as_float(twig), thin, np.ones_like(thin)))
    return over(spot.before, min(1.0, 0.2 + 0.85 * spot.strength) * cover, _shade(spot, rng, bright=0.0))


def _missing_print(spot: Spot, rng: np.random.Generator) -> Float:
    """Print that did not take: inside an irregular patch only a ghost of the ink is left on the bare material."""
    if spot.bare is None:
        return spot.before
    height, width = spot.before.shape[:2]
    radius = 0.5 * spot.size
    outline = blob(rng, (spot.x, spot.y), (radius, radius * uniform(rng, 0.45, 1.0)), 0.12)
    patchy = step(-2.2, -1.0, smooth(rng, height, width, 4 * spot.unit))
    gone = polygon(height, width, outline) * patchy * np.float32(min(0.88, 0.35 + 0.7 * spot.strength))
    return over(spot.before, as_float(gone), spot.bare)


def _fibre(spot: Spot, rng: np.random.Generator) -> Float:
    """A curly thread lying on the surface, with its shadow."""
    points = _curve(spot, rng, 2.0 * spot.size, 0.27, 24)
    width = max(0.9, uniform(rng, 0.8, 1.4) * spot.unit)
    widths, levels = np.full(23, width, np.float32), np.ones(23, np.float32)
    threads: tuple[RGB, ...] = ((0.08, 0.08, 0.10), (0.93, 0.92, 0.88), (0.16, 0.22, 0.55), (0.62, 0.12, 0.12))
    order = sorted(threads, key=lambda thread: -float(np.abs(as_float(thread) - spot.mean).max()))
    shadow = _line(spot, points + np.float32(0.9 * width), widths, 0.35 * levels)
    after = over(spot.before, spot.strength * shadow, 0.3 * spot.mean)
    thread = _line(spot, points, widths, min(1.0, 0.25 + 0.8 * spot.strength) * levels)
    return over(after, thread, order[int(rng.integers(2))])


def _particles(spot: Spot, rng: np.random.Generator) -> Float:
    """A cluster of small grains."""
    height, width = spot.before.shape[:2]
    cover = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(3, 8))):
        x, y = spot.x + rng.normal(0.0, 0.16 * spot.size), spot.y + rng.normal(0.0, 0.16 * spot.size)
        radius = max(1.0, uniform(rng, 1.0, 2.4) * spot.unit)
        grain = blob(rng, (float(x), float(y)), (radius, radius * uniform(rng, 0.6, 1.0)), 0.12)
        cover = np.maximum(cover, polygon(height, width, grain))
    return over(spot.before, min(1.0, 0.25 + 0.8 * spot.strength) * cover, _shade(spot, rng, bright=0.5))


def _contamination(spot: Spot, rng: np.random.Generator) -> Float:
    return _fibre(spot, rng) if rng.random() < 0.55 else _particles(spot, rng)


def _deformation(spot: Spot, rng: np.random.Generator) -> Float:
    """A dent: the texture is pulled, twisted or squeezed inside a disc, and its slopes take the light differently."""
    height, width = spot.before.shape[:2]
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
    return as_float(warped * (1.0 + rgb(as_float(np.clip(0.40 * spot.strength * slope, -0.6, 0.6)))))


PAINT: dict[str, Callable[[Spot, np.random.Generator], Float]] = {
    "scratch": _scratch,
    "hole": _hole,
    "stain": _stain,
    "crack": _crack,
    "missing_print": _missing_print,
    "contamination": _contamination,
    "deformation": _deformation,
}
DEFECT_KINDS: tuple[str, ...] = tuple(PAINT)

# Length of each kind as a multiple of the drawn extent: a scratch is long, a hole is small.
LENGTH: dict[str, float] = {
    "scratch": 1.7,
    "hole": 0.55,
    "stain": 0.95,
    "crack": 1.5,
    "missing_print": 1.0,
    "contamination": 0.9,
    "deformation": 1.1,
}


def plausible(material: str, has_print: bool) -> tuple[str, ...]:
    """Return the kinds that parts of a material show when none are asked for: cloth does not crack."""
    left_out = {"woven": {"crack"}, "printed": {"crack"}}.get(material, set())
    return tuple(kind for kind in DEFECT_KINDS if kind not in left_out and (has_print or kind != "missing_print"))


def last_resort(spot: Spot) -> Float:
    """Paint a solid grain that shows on any surface: what is drawn where no other defect would be seen."""
    height, width = spot.before.shape[:2]
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    radius = max(2.5, 2.5 * spot.unit)
    disc = as_float(np.stack([spot.x + radius * np.cos(turn), spot.y + radius * np.sin(turn)], 1))
    level = 0.97 if float(spot.before[round(spot.y), round(spot.x)].mean()) < 0.5 else 0.03
    return over(spot.before, polygon(height, width, disc), (level, level, level))
