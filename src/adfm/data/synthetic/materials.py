"""Material families: the bare texture of a part's surface, without shape, features, light or defects."""

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
    fractal,
    rgb,
    smooth,
    step,
    streaks,
    tint,
    uniform,
    white,
)


@dataclass(frozen=True)
class Look:
    """What makes one product's material its own: two colours in 0..1, texture scale and contrast, and a variant."""

    base: RGB
    accent: RGB
    scale: float
    contrast: float
    variant: int
    turned: bool = False  # metal from a lathe: concentric grooves


def _lattice(rng: np.random.Generator, height: int, width: int, pitch: float, wander: float) -> tuple[Float, Float]:
    """Return thread coordinates (in pitches) along x and y, wandering slowly by `wander` pitches."""
    y, x = axes(height, width)
    along_x = x / pitch + wander * smooth(rng, height, width, 4 * pitch)
    along_y = y / pitch + wander * smooth(rng, height, width, 4 * pitch)
    return as_float(along_x), as_float(along_y)


def _crossing(variant: int, column: Float, row: Float) -> Float:
    """Return 1 where the warp thread lies on top: plain weave, twill, basket weave or satin."""
    if variant == 0:
        return as_float((column + row) % 2 < 1)
    if variant == 1:
        return as_float((column - row) % 4 < 2)
    if variant == 2:
        return as_float((column // 2 + row // 2) % 2 < 1)
    return as_float((column + 2 * row) % 5 < 4)


def _woven(look: Look, rng: np.random.Generator, height: int, width: int, unit: float) -> Float:
    pitch = max(2.5, 5.0 * look.scale * unit)
    across, along = _lattice(rng, height, width, pitch, 0.12)
    column, row = np.floor(across), np.floor(along)
    warp_on_top = _crossing(look.variant, column, row)
    warp, weft = (across - column - 0.5) ** 2, (along - row - 0.5) ** 2
    # A thread is round across its width and dips under its neighbour at both ends.
    tone = np.where(warp_on_top > 0, 2.6 * warp + 1.0 * weft, 2.6 * weft + 1.0 * warp)
    threads = rng.normal(0.0, 0.07, (2, 64)).astype(np.float32)
    uneven = np.where(warp_on_top > 0, threads[0][column.astype(int) % 64], threads[1][row.astype(int) % 64])
    shade = (1.0 - look.contrast * tone) * (1.0 + uneven)
    return tint(warp_on_top, look.accent, look.base) * rgb(as_float(shade))


def _turned(rng: np.random.Generator, height: int, width: int) -> Float:
    """Return the concentric grooves of a lathe with the two opposite fans of light they throw."""
    y, x = axes(height, width)
    squared = x * x + y * y + 1.0
    grooves = rng.standard_normal(2 * (height + width), dtype=np.float32)
    grooves = grooves + 1.5 * as_float(cv2.blur(grooves[:, None], (1, 9)))[:, 0]
    turn = uniform(rng, 0, np.pi)
    fan = (np.cos(turn) * (x * x - y * y) + 2 * np.sin(turn) * x * y) / squared
    return as_float(0.7 * grooves[(1.6 * np.sqrt(squared)).astype(int)] + 2.2 * fan)


def _brushing(look: Look, rng: np.random.Generator, height: int, width: int, unit: float) -> Float:
    """Return long and short hairlines along x over slow bands of sheen."""
    hairlines = 0.8 * streaks(rng, height, width, 40 * unit * look.scale) + 0.5 * streaks(rng, height, width, 9 * unit)
    return as_float(hairlines + 0.8 * smooth(rng, height, width, 60 * unit, 400 * unit))


def _brushed_metal(look: Look, rng: np.random.Generator, height: int, width: int, unit: float) -> Float:
    if look.turned:
        value = _turned(rng, height, width)
    elif look.variant == 1:  # brushed downwards
        value = np.ascontiguousarray(_brushing(look, rng, width, height, unit).T)
    else:
        value = _brushing(look, rng, height, width, unit)
    return tint(as_float(0.5 + 0.5 * look.contrast * value), look.accent, look.base)


def _cast(look: Look, rng: np.random.Generator, height: int, width: int, unit: float) -> Float:
    relief = fractal(rng, height, width, 3.4 * look.scale * unit, 2)
    # Grazing light from the upper left turns relief into tone.
    slope = as_float(cv2.filter2D(relief, -1, np.array([[1, 1, 0], [1, 0, -1], [0, -1, -1]], np.float32) / 3))
    tone = 0.5 + look.contrast * (0.26 * slope + 0.10 * relief + 0.10 * smooth(rng, height, width, 40 * unit))
    tone += 0.06 * look.contrast * white(rng, height, width)
    pores = step(2.1, 2.6, smooth(rng, height, width, 3.0 * unit))
    return tint(as_float(tone - 0.35 * look.contrast * pores), look.accent, look.base)


def _printed(look: Look, rng: np.random.Generator, height: int, width: int, unit: float) -> Float:
    paper = 0.6 * smooth(rng, height, width, 2.5 * unit) + 0.6 * smooth(rng, height, width, 30 * unit)
    return tint(as_float(1.0 - 0.05 * look.contrast * np.abs(paper)), look.accent, look.base)


def _wood(look: Look, rng: np.random.Generator, height: int, width: int, unit: float) -> Float:
    y, x = axes(height, width)
    period = 11.0 * look.scale * unit
    bow = (look.variant - 1) * (x + uniform(rng, -30, 30) * unit) ** 2 / (220 * unit)
    bent = y + bow + 5.0 * unit * smooth(rng, height, width, 22 * unit, 90 * unit)
    rings = 0.5 + 0.5 * np.sin(bent * (2 * np.pi / period) + 1.5 * np.sin(bent * (0.7 / period)))
    fibres = streaks(rng, height, width, 14 * unit)
    pores = step(1.5, 2.4, streaks(rng, height, width, 6 * unit))
    tone = 0.85 - look.contrast * (0.55 * rings**3 - 0.10 * fibres + 0.30 * pores)
    return tint(as_float(tone), look.accent, look.base)


def _openings(variant: int, across: Float, along: Float) -> Float:
    """Return the signed distance (in pitches, negative inside) to the nearest opening of a regular sheet."""
    if variant == 1:  # staggered rows
        across = as_float(across + 0.5 * (np.floor(along) % 2))
    u, v = across - np.floor(across) - 0.5, along - np.floor(along) - 0.5
    if variant == 2:  # square mesh
        return as_float(np.maximum(np.abs(u), np.abs(v)) - 0.34)
    if variant == 3:  # slots
        return as_float(np.hypot(np.maximum(np.abs(u) - 0.18, 0.0), v) - 0.17)
    return as_float(np.hypot(u, v) - 0.30)


def _grid(look: Look, rng: np.random.Generator, height: int, width: int, unit: float) -> Float:
    pitch = max(5.0, 10.0 * look.scale * unit)
    across, along = _lattice(rng, height, width, pitch, 0.01)
    distance = pitch * _openings(look.variant, across, along)
    sheet = step(-0.6, 0.6, as_float(distance))
    # The lower right lip of each opening catches the light.
    lip = step(-0.6, 0.6, as_float(np.roll(distance, (1, 1), (0, 1)))) - sheet
    finish = 1.0 + 0.05 * smooth(rng, height, width, 2 * unit) + 0.04 * smooth(rng, height, width, 25 * unit)
    tone = sheet * finish - 0.5 * look.contrast * lip * (lip < 0)
    return tint(as_float(tone), look.accent, look.base)


Texture = Callable[[Look, np.random.Generator, int, int, float], Float]
TEXTURES: dict[str, Texture] = {
    "woven": _woven,
    "brushed_metal": _brushed_metal,
    "cast": _cast,
    "printed": _printed,
    "wood": _wood,
    "grid": _grid,
}
MATERIALS: tuple[str, ...] = tuple(TEXTURES)

_PALETTES: dict[str, tuple[tuple[RGB, RGB], ...]] = {  # (base, accent) per material
    "woven": (
        ((0.62, 0.60, 0.55), (0.52, 0.50, 0.46)),
        ((0.25, 0.33, 0.50), (0.42, 0.50, 0.66)),
        ((0.80, 0.77, 0.68), (0.74, 0.70, 0.60)),
        ((0.24, 0.24, 0.26), (0.34, 0.34, 0.36)),
        ((0.50, 0.24, 0.22), (0.62, 0.34, 0.30)),
        ((0.36, 0.44, 0.34), (0.48, 0.54, 0.42)),
    ),
    "brushed_metal": (
        ((0.90, 0.90, 0.92), (0.40, 0.41, 0.43)),
        ((0.80, 0.82, 0.86), (0.34, 0.36, 0.40)),
        ((0.94, 0.80, 0.52), (0.46, 0.34, 0.16)),
        ((0.92, 0.66, 0.50), (0.44, 0.24, 0.16)),
        ((0.62, 0.63, 0.66), (0.20, 0.21, 0.23)),
    ),
    "cast": (
        ((0.86, 0.86, 0.85), (0.20, 0.20, 0.20)),
        ((0.62, 0.62, 0.64), (0.08, 0.08, 0.09)),
        ((0.80, 0.66, 0.54), (0.20, 0.11, 0.07)),
        ((0.84, 0.86, 0.90), (0.34, 0.35, 0.38)),
    ),
    "printed": (
        ((0.95, 0.95, 0.93), (0.60, 0.60, 0.58)),
        ((0.90, 0.86, 0.74), (0.60, 0.55, 0.42)),
        ((0.62, 0.78, 0.90), (0.36, 0.50, 0.62)),
        ((0.95, 0.80, 0.28), (0.66, 0.52, 0.10)),
        ((0.16, 0.18, 0.22), (0.05, 0.05, 0.07)),
        ((0.12, 0.34, 0.22), (0.04, 0.16, 0.09)),
    ),
    "wood": (
        ((0.86, 0.70, 0.50), (0.46, 0.29, 0.15)),
        ((0.70, 0.50, 0.33), (0.26, 0.15, 0.08)),
        ((0.92, 0.82, 0.64), (0.62, 0.46, 0.28)),
        ((0.56, 0.34, 0.22), (0.20, 0.09, 0.05)),
    ),
    "grid": (
        ((0.72, 0.73, 0.75), (0.10, 0.10, 0.11)),
        ((0.24, 0.25, 0.27), (0.72, 0.73, 0.74)),
        ((0.84, 0.82, 0.76), (0.36, 0.34, 0.30)),
        ((0.40, 0.48, 0.56), (0.10, 0.12, 0.14)),
        ((0.82, 0.66, 0.36), (0.18, 0.13, 0.07)),
    ),
}
_CONTRAST: dict[str, tuple[float, float]] = {
    "woven": (0.45, 0.80),
    "brushed_metal": (0.16, 0.34),
    "cast": (0.35, 0.75),
    "printed": (0.3, 1.0),
    "wood": (0.55, 1.0),
    "grid": (0.3, 0.8),
}
_SCALE: dict[str, tuple[float, float]] = {"woven": (0.55, 1.2)}
_VARIANTS: dict[str, int] = {"woven": 4, "brushed_metal": 2, "cast": 1, "printed": 1, "wood": 3, "grid": 4}


def _shifted(colour: RGB, shift: Float) -> RGB:
    red, green, blue = (min(1.0, max(0.02, part + float(move))) for part, move in zip(colour, shift, strict=True))
    return red, green, blue


def random_look(rng: np.random.Generator, material: str, *, turned: bool = False) -> Look:
    """Draw the look of one product of `material`; `turned` gives metal the concentric grooves of a lathe."""
    base, accent = _PALETTES[material][int(rng.integers(len(_PALETTES[material])))]
    shift = as_float(rng.normal(0.0, 0.035) + rng.normal(0.0, 0.009, 3))
    return Look(
        base=_shifted(base, shift),
        accent=_shifted(accent, shift),
        scale=uniform(rng, *_SCALE.get(material, (0.75, 1.5))),
        contrast=uniform(rng, *_CONTRAST[material]),
        variant=int(rng.integers(_VARIANTS[material])),
        turned=turned and material == "brushed_metal",
    )


def texture(material: str, look: Look, rng: np.random.Generator, size: tuple[int, int], unit: float) -> Float:
    """Return the texture (H, W, 3), RGB in 0..1, of `size` (W, H) px; `unit` is 1/128 of the short side in px."""
    width, height = size
    return np.clip(TEXTURES[material](look, rng, height, width, unit), 0.0, 1.0)
