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


PALETTES: dict[str, str] = {  # for each look red, green and blue in per cent, of the base and then of the accent
    "woven": (
        "62 60 55  52 50 46, 25 33 50  42 50 66, 80 77 68  74 70 60, 24 24 26  34 34 36, 50 24 22  62 34 30, "
        "36 44 34  48 54 42"
    ),
    "brushed_metal": "90 90 92  40 41 43, 80 82 86  34 36 40, 94 80 52  46 34 16, 92 66 50  44 24 16, 62 63 66  20 21 23",
    "cast": "86 86 85  20 20 20, 62 62 64  8 8 9, 80 66 54  20 11 7, 84 86 90  34 35 38",
    "printed": (
        "95 95 93  60 60 58, 90 86 74  60 55 42, 62 78 90  36 50 62, 95 80 28  66 52 10, 16 18 22  5 5 7, "
        "12 34 22  4 16 9"
    ),
    "wood": "86 70 50  46 29 15, 70 50 33  26 15 8, 92 82 64  62 46 28, 56 34 22  20 9 5",
    "grid": "72 73 75  10 10 11, 24 25 27  72 73 74, 84 82 76  36 34 30, 40 48 56  10 12 14, 82 66 36  18 13 7",
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
    family = FAMILIES[material]
    palette = [np.array(look.split(), float).reshape(2, 3) / 100 for look in PALETTES[material].split(",")]
    colours = palette[int(rng.integers(len(palette)))]
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
    return np.clip(FAMILIES[material].texture(look, rng, size[1], size[0], unit), 0.0, 1.0)
