"""Draws the bare texture of each material family: no shape, features, light or defects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from adfm.data.synthetic.fields import RGB, Float, as_float, axes, rgb, smooth, step, streaks, tint, uniform, white


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


def woven(look: Look, rng: np.random.Generator, height: int, width: int, unit: float) -> Float:
    """Draw cloth of two sets of threads: plain weave, twill, basket weave or satin."""
    pitch = max(2.5, 5.0 * look.scale * unit)
    across, along = _lattice(rng, height, width, pitch, 0.12)
    column, row = np.floor(across), np.floor(along)
    weaves = (
        (column + row) % 2 < 1,
        (column - row) % 4 < 2,
        (column // 2 + row // 2) % 2 < 1,
        (column + 2 * row) % 5 < 4,
    )
    warp_on_top = weaves[look.variant]
    warp, weft = (across - column - 0.5) ** 2, (along - row - 0.5) ** 2
    # A thread is round across its width and dips under its neighbour at both ends.
    tone = np.where(warp_on_top, 2.6 * warp + 1.0 * weft, 2.6 * weft + 1.0 * warp)
    threads = rng.normal(0.0, 0.07, (2, 64)).astype(np.float32)
    uneven = np.where(warp_on_top, threads[0][column.astype(int) % 64], threads[1][row.astype(int) % 64])
    shade = (1.0 - look.contrast * tone) * (1.0 + uneven)
    return tint(as_float(warp_on_top), look.accent, look.base) * rgb(shade)


def brushed_metal(look: Look, rng: np.random.Generator, height: int, width: int, unit: float) -> Float:
    """Draw metal: the grooves of a lathe, or hairlines along x (variant 1: along y) over slow bands of sheen."""
    if look.turned:
        y, x = axes(height, width)
        squared = x * x + y * y + 1.0
        grooves = rng.standard_normal(2 * (height + width), dtype=np.float32)
        grooves = grooves + 1.5 * as_float(cv2.blur(grooves[:, None], (1, 9)))[:, 0]
        turn = uniform(rng, 0, np.pi)
        fan = (np.cos(turn) * (x * x - y * y) + 2 * np.sin(turn) * x * y) / squared  # two opposite fans of light
        value = as_float(0.7 * grooves[(1.6 * np.sqrt(squared)).astype(int)] + 2.2 * fan)
    else:
        down = look.variant == 1
        tall, wide = (width, height) if down else (height, width)
        long, short = streaks(rng, tall, wide, 40 * unit * look.scale), streaks(rng, tall, wide, 9 * unit)
        value = as_float(0.8 * long + 0.5 * short + 0.8 * smooth(rng, tall, wide, 60 * unit, 400 * unit))
        value = np.ascontiguousarray(value.T) if down else value
    return tint(0.5 + 0.5 * look.contrast * value, look.accent, look.base)


def cast(look: Look, rng: np.random.Generator, height: int, width: int, unit: float) -> Float:
    """Draw cast metal: a grainy relief in grazing light, with pores."""
    grain = 3.4 * look.scale * unit
    relief = smooth(rng, height, width, grain) + 0.6 * smooth(rng, height, width, grain / 2)
    # Grazing light from the upper left turns relief into tone.
    slope = as_float(cv2.filter2D(relief, -1, np.array([[1, 1, 0], [1, 0, -1], [0, -1, -1]], np.float32) / 3))
    tone = 0.5 + look.contrast * (0.26 * slope + 0.10 * relief + 0.10 * smooth(rng, height, width, 40 * unit))
    tone += 0.06 * look.contrast * white(rng, height, width)
    pores = step(2.1, 2.6, smooth(rng, height, width, 3.0 * unit))
    return tint(tone - 0.35 * look.contrast * pores, look.accent, look.base)


def printed(look: Look, rng: np.random.Generator, height: int, width: int, unit: float) -> Float:
    """Draw paper or board, slightly uneven; `scene` prints on it."""
    paper = 0.6 * smooth(rng, height, width, 2.5 * unit) + 0.6 * smooth(rng, height, width, 30 * unit)
    return tint(1.0 - 0.05 * look.contrast * np.abs(paper), look.accent, look.base)


def wood(look: Look, rng: np.random.Generator, height: int, width: int, unit: float) -> Float:
    """Draw planed wood: year rings, straight or bowed, with fibres and pores."""
    y, x = axes(height, width)
    period = 11.0 * look.scale * unit
    bow = (look.variant - 1) * (x + uniform(rng, -30, 30) * unit) ** 2 / (220 * unit)
    bent = y + bow + 5.0 * unit * smooth(rng, height, width, 22 * unit, 90 * unit)
    rings = 0.5 + 0.5 * np.sin(bent * (2 * np.pi / period) + 1.5 * np.sin(bent * (0.7 / period)))
    fibres = streaks(rng, height, width, 14 * unit)
    pores = step(1.5, 2.4, streaks(rng, height, width, 6 * unit))
    tone = 0.85 - look.contrast * (0.55 * rings**3 - 0.10 * fibres + 0.30 * pores)
    return tint(tone, look.accent, look.base)


def grid(look: Look, rng: np.random.Generator, height: int, width: int, unit: float) -> Float:
    """Draw a sheet with openings: holes in straight or staggered rows, a square mesh or slots."""
    pitch = max(5.0, 10.0 * look.scale * unit)
    across, along = _lattice(rng, height, width, pitch, 0.01)
    if look.variant == 1:  # staggered rows
        across = as_float(across + 0.5 * (np.floor(along) % 2))
    u, v = across - np.floor(across) - 0.5, along - np.floor(along) - 0.5
    if look.variant == 2:  # square mesh
        opening = np.maximum(np.abs(u), np.abs(v)) - 0.34
    elif look.variant == 3:  # slots
        opening = np.hypot(np.maximum(np.abs(u) - 0.18, 0.0), v) - 0.17
    else:
        opening = np.hypot(u, v) - 0.30
    distance = pitch * as_float(opening)  # to the nearest opening, negative inside
    sheet = step(-0.6, 0.6, distance)
    # The lower right lip of each opening catches the light.
    lip = step(-0.6, 0.6, np.roll(distance, (1, 1), (0, 1))) - sheet
    finish = 1.0 + 0.05 * smooth(rng, height, width, 2 * unit) + 0.04 * smooth(rng, height, width, 25 * unit)
    tone = sheet * finish - 0.5 * look.contrast * lip * (lip < 0)
    return tint(tone, look.accent, look.base)


class Family(NamedTuple):
    """One material family: its texture and how the looks of its products vary."""

    texture: Callable[[Look, np.random.Generator, int, int, float], Float]
    contrast: tuple[float, float]
    scale: tuple[float, float] = (0.75, 1.5)
    variants: int = 1


PALETTES: dict[str, tuple[tuple[RGB, RGB], ...]] = {  # base and accent
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
FAMILIES: dict[str, Family] = {
    "woven": Family(woven, contrast=(0.45, 0.80), scale=(0.55, 1.2), variants=4),
    "brushed_metal": Family(brushed_metal, contrast=(0.16, 0.34), variants=2),
    "cast": Family(cast, contrast=(0.35, 0.75)),
    "printed": Family(printed, contrast=(0.3, 1.0)),
    "wood": Family(wood, contrast=(0.55, 1.0), variants=3),
    "grid": Family(grid, contrast=(0.3, 0.8), variants=4),
}
MATERIALS: tuple[str, ...] = tuple(FAMILIES)


def random_look(rng: np.random.Generator, material: str, *, turned: bool = False) -> Look:
    """Draw the look of one product of `material`; `turned` gives metal the concentric grooves of a lathe."""
    family, palette = FAMILIES[material], PALETTES[material]
    colours = np.array(palette[int(rng.integers(len(palette)))])
    shift = as_float(rng.normal(0.0, 0.035) + rng.normal(0.0, 0.009, 3))
    base, accent = np.clip(colours + shift, 0.02, 1.0).tolist()
    return Look(
        base=tuple(base),
        accent=tuple(accent),
        scale=uniform(rng, *family.scale),
        contrast=uniform(rng, *family.contrast),
        variant=int(rng.integers(family.variants)),
        turned=turned and material == "brushed_metal",
    )


def texture(material: str, look: Look, rng: np.random.Generator, size: tuple[int, int], unit: float) -> Float:
    """Return the texture (H, W, 3), RGB in 0..1, of `size` (W, H) px; `unit` is 1/128 of the short side in px."""
    width, height = size
    return np.clip(FAMILIES[material].texture(look, rng, height, width, unit), 0.0, 1.0)
