"""Benign features: normal marks of a product that look like defects to whoever has not learnt it; no placement on parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from adfm.data.synthetic import graphics
from adfm.data.synthetic.fields import RGB, SUPER, Float, as_float, axes, over, reduced, rgb, smooth, step, uniform


@dataclass(frozen=True)
class Feature:
    """One benign feature of a product: where its centre lies and how long it is, in short sides from the part's centre."""

    kind: str
    x: float
    y: float
    size: float
    aspect: float  # height over width of its patch
    angle: float  # degrees, against the part
    seed: int


@dataclass(frozen=True)
class Inks:
    """The colours that a product's features are made of."""

    base: RGB
    accent: RGB
    ink: RGB


Patch = Float  # (h, w, 4): RGB premultiplied by opacity, opacity


def _patch(colour: Float, alpha: Float) -> Patch:
    alpha = np.clip(alpha, 0.0, 1.0)
    return as_float(cv2.merge([*cv2.split(rgb(alpha) * colour), alpha]))


def _flat(height: int, width: int, colour: RGB) -> Float:
    return as_float(np.broadcast_to(as_float(colour), (height, width, 3)))


def _mean(inks: Inks) -> Float:
    return as_float(inks.base) * np.float32(0.6) + as_float(inks.accent) * np.float32(0.4)


def _drilled_hole(inks: Inks, rng: np.random.Generator, height: int, width: int, unit: float) -> Patch:
    """A countersunk hole with a rivet: soft shade, dark ring, bright core with a highlight."""
    y, x = axes(height, width)
    radius = 0.42 * width
    far = as_float(np.hypot(x, y))
    ring = step(radius + 0.6, radius - 0.6, far)
    core_radius = radius * uniform(rng, 0.50, 0.64)
    core = step(core_radius + 0.6, core_radius - 0.6, far)
    lit = 0.90 - 0.10 * (x + y) / radius + 0.25 * np.exp(-((x + 0.3 * radius) ** 2 + (y + 0.3 * radius) ** 2) / (0.1 * radius**2))
    colour = _flat(height, width, (0.07, 0.07, 0.08))
    colour = over(colour, core, rgb(as_float(np.clip(lit, 0.0, 1.0))) * as_float((1.0, 0.99, 0.96)))
    shade = 0.35 * np.exp(-np.square(np.maximum(far - radius, 0.0) / (0.12 * radius + 0.3)))
    return _patch(colour, np.maximum(ring, as_float(shade)))


def _printed_mark(inks: Inks, rng: np.random.Generator, height: int, width: int, unit: float) -> Patch:
    kind = "text" if height < 0.7 * width else ("logo", "dot_code")[int(rng.integers(2))]
    return _patch(_flat(height, width, inks.ink), 0.92 * graphics.mark(rng, width, height, kind))


def _seam(inks: Inks, rng: np.random.Generator, height: int, width: int, unit: float) -> Patch:
    """A joint across the part: a groove with a lit edge, or a row of stitches along it."""
    y, x = axes(height, width)
    bend = 0.5 * unit * smooth(rng, 1, width, 20 * unit)
    half = max(0.7, uniform(rng, 0.6, 1.2) * unit)
    groove = step(half + 0.7, half - 0.5, as_float(np.abs(y - bend)))
    lip = step(half + 0.7, half - 0.5, as_float(np.abs(y - bend - 1.6 * half)))
    mean = _mean(inks)
    colour = over(_flat(height, width, (1.0, 1.0, 1.0)) * np.clip(mean * 1.5 + 0.06, 0.0, 1.0), groove, 0.3 * mean)
    alpha = np.maximum(0.75 * groove, 0.4 * lip)
    if rng.random() < 0.5:
        pitch = 6.0 * unit
        phase = np.abs((x + pitch * 100) % pitch - pitch / 2)
        stitch = step(0.32 * pitch, 0.24 * pitch, as_float(phase + 0.0 * y)) * step(
            half + 0.7, half - 0.5, as_float(np.abs(y - bend + 3.4 * half))
        )
        colour, alpha = over(colour, stitch, as_float(inks.ink)), np.maximum(alpha, 0.9 * stitch)
    return _patch(colour, as_float(alpha))


def _label(inks: Inks, rng: np.random.Generator, height: int, width: int, unit: float) -> Patch:
    """A sticker: a light card with a few lines and a code, lifted off the part by a thin shadow."""
    grounds: tuple[RGB, ...] = ((0.94, 0.94, 0.92), (0.96, 0.86, 0.40), (0.80, 0.86, 0.92), (0.93, 0.91, 0.84))
    y, x = axes(height, width)
    margin = max(2.0, 2.0 * unit)
    edge = np.maximum(np.abs(x) - width / 2, np.abs(y) - height / 2) + margin
    colour = _flat(height, width, grounds[int(rng.integers(len(grounds)))])
    inner = round(2.2 * margin)
    tall, wide = height - 2 * inner, width - 2 * inner
    ink = np.zeros((height, width), np.float32)
    half = max(4, int(0.55 * tall))
    ink[inner : inner + half, inner : inner + wide] = graphics.mark(rng, wide, half, ("text", "barcode")[int(rng.integers(2))])
    rest = height - inner - (inner + half + 1)
    if rest >= 3:
        ink[inner + half + 1 : height - inner, inner : inner + wide] = graphics.mark(rng, wide, rest, "rules")
    colour = over(colour, 0.85 * ink, (0.10, 0.10, 0.12))
    card = step(0.5, -0.5, as_float(edge))
    shadow = 0.40 * step(margin, 0.0, as_float(edge))
    return _patch(colour * rgb(card), np.maximum(card, shadow))


def _texture_change(inks: Inks, rng: np.random.Generator, height: int, width: int, unit: float) -> Patch:
    """A band or patch of another finish: smoother, lighter or darker, with a machined border."""
    y, x = axes(height, width)
    corner = min(height, width) / 2 - 1.5 if height == width else 3.0 * unit
    dx, dy = np.abs(x) - (width / 2 - corner) + 1.5, np.abs(y) - (height / 2 - corner) + 1.5
    edge = np.hypot(np.maximum(dx, 0.0), np.maximum(dy, 0.0)) + np.minimum(np.maximum(dx, dy), 0.0) - corner
    alpha = step(0.6, -0.6, as_float(edge))
    tone = _mean(inks) * np.float32(uniform(rng, 0.72, 0.86) if rng.random() < 0.6 else uniform(rng, 1.2, 1.35))
    border = 0.18 * step(1.0 * unit + 0.6, 0.0, as_float(np.abs(edge)))
    grain = 1.0 + 0.035 * smooth(rng, height, width, 2.0 * unit)
    return _patch(rgb(as_float(grain * (1.0 - border))) * np.clip(tone, 0.0, 1.0), uniform(rng, 0.5, 0.75) * alpha)


def _inclusion_dots(inks: Inks, rng: np.random.Generator, height: int, width: int, unit: float) -> Patch:
    """Natural speckle: many fine specks, dense in the middle and thinning out."""
    canvas = np.zeros((height * SUPER, width * SUPER), np.uint8)
    for _ in range(int(rng.integers(22, 55))):
        x, y = (np.clip(rng.normal(0.5, 0.19, 2), 0.03, 0.97) * (canvas.shape[1], canvas.shape[0])).astype(int).tolist()
        radius = max(2, round(uniform(rng, 0.45, 1.1) * unit * SUPER))
        cv2.circle(canvas, (x, y), radius, (255 * uniform(rng, 0.4, 0.9),), -1)
    mean = _mean(inks)
    tone = 0.35 * mean if float(mean.mean()) > 0.35 else 0.5 + 0.5 * mean
    return _patch(_flat(height, width, (1.0, 1.0, 1.0)) * tone, 0.8 * reduced(canvas))


DRAW: dict[str, Callable[[Inks, np.random.Generator, int, int, float], Patch]] = {
    "drilled_hole": _drilled_hole,
    "printed_mark": _printed_mark,
    "seam": _seam,
    "label": _label,
    "texture_change": _texture_change,
    "inclusion_dots": _inclusion_dots,
}
BENIGN_KINDS: tuple[str, ...] = tuple(DRAW)
LONG = frozenset({"seam"})  # these run across the whole part
_SIZES: dict[str, tuple[float, float]] = {
    "drilled_hole": (0.085, 0.15),
    "printed_mark": (0.20, 0.36),
    "seam": (1.5, 1.5),
    "label": (0.26, 0.38),
    "texture_change": (0.24, 0.45),
    "inclusion_dots": (0.30, 0.50),
}


def _aspect(rng: np.random.Generator, kind: str, size: float) -> float:
    if kind == "seam":
        return 0.09 / size
    if kind == "printed_mark":
        return uniform(rng, 0.26, 0.36) if rng.random() < 0.6 else 1.0
    if kind == "label" or (kind == "texture_change" and rng.random() < 0.5):
        return uniform(rng, 0.45, 0.8)
    return 1.0


def random_feature(rng: np.random.Generator, kind: str, x: float, y: float) -> Feature:
    """Draw one feature of `kind` with its centre at (x, y), in short sides from the part's centre."""
    size = uniform(rng, *_SIZES[kind])
    upright = kind in ("printed_mark", "label", "texture_change")
    angle = 90.0 * int(rng.random() < 0.3) if upright or kind in LONG else 0.0
    return Feature(kind, x, y, size, _aspect(rng, kind, size), angle, int(rng.integers(2**31)))


def patch(feature: Feature, inks: Inks, short: int) -> Patch:
    """Return the feature's patch (h, w, 4), premultiplied RGBA in 0..1, for a frame whose short side is `short` px."""
    width = max(6, round(feature.size * short))
    height = max(6, round(feature.size * feature.aspect * short))
    return DRAW[feature.kind](inks, np.random.default_rng(feature.seed), height, width, short / 128)
