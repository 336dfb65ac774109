"""Draws benign features: normal marks of a product that look like defects; `product` and `scene` place them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from adfm.data.synthetic import graphics
from adfm.data.synthetic.fields import RGB, Float, as_float, axes, over, rgb, rounded, smooth, step, uniform
from adfm.data.synthetic.materials import Look


@dataclass(frozen=True)
class Feature:
    """One benign feature of a product; its place, from the part's centre, and length are in short sides."""

    kind: str
    x: float
    y: float
    size: float
    aspect: float  # height over width of its patch
    angle: float  # degrees, against the part
    seed: int


@dataclass(frozen=True)
class Blank:
    """What a feature is drawn on and from: a patch of (height, width) px, colours, chance, 1/128 short side in px."""

    height: int
    width: int
    look: Look
    ink: RGB
    sewn: bool  # whether seams are stitched
    rng: np.random.Generator
    unit: float

    def flat(self, colour: Float | RGB) -> Float:
        """The patch in one colour, (height, width, 3)."""
        return as_float(np.broadcast_to(as_float(colour), (self.height, self.width, 3)))

    def mean(self) -> Float:
        """The material's mean colour (3,)."""
        return as_float(self.look.base) * np.float32(0.6) + as_float(self.look.accent) * np.float32(0.4)


Patch = Float  # (height, width, 4): RGB premultiplied by opacity, opacity


def _patch(colour: Float, alpha: Float) -> Patch:
    alpha = np.clip(alpha, 0.0, 1.0)
    return as_float(cv2.merge([*cv2.split(rgb(alpha) * colour), alpha]))


_METALS: tuple[RGB, ...] = ((1.0, 0.99, 0.97), (1.0, 0.95, 0.82), (0.95, 0.98, 1.0))
_CARDS: tuple[RGB, ...] = ((0.94, 0.94, 0.92), (0.96, 0.86, 0.40), (0.80, 0.86, 0.92), (0.93, 0.91, 0.84))


def drilled_hole(on: Blank) -> Patch:
    """Draw a hole with a rivet in it: soft shade, dark ring, bright core with a highlight."""
    y, x = axes(on.height, on.width)
    radius = 0.42 * on.width
    far = as_float(np.hypot(x, y))
    ring = step(radius + 0.6, radius - 0.6, far)
    core_radius = radius * uniform(on.rng, 0.50, 0.64)
    core = step(core_radius + 0.6, core_radius - 0.6, far)
    highlight = np.exp(-((x + 0.3 * radius) ** 2 + (y + 0.3 * radius) ** 2) / (0.1 * radius**2))
    lit = uniform(on.rng, 0.76, 0.92) - 0.12 * (x + y) / radius + 0.25 * highlight
    metal = _METALS[int(on.rng.integers(len(_METALS)))]
    colour = over(on.flat((0.07, 0.07, 0.08)), core, rgb(np.clip(lit, 0.0, 1.0)) * as_float(metal))
    shade = 0.35 * np.exp(-np.square(np.maximum(far - radius, 0.0) / (0.12 * radius + 0.3)))
    return _patch(colour, np.maximum(ring, as_float(shade)))


def printed_mark(on: Blank) -> Patch:
    """Draw a word, or where the patch is about square a logo or dot code, in the product's ink."""
    kind = "text" if on.height < 0.7 * on.width else ("logo", "dot_code")[int(on.rng.integers(2))]
    return _patch(on.flat(on.ink), 0.92 * graphics.mark(on.rng, on.width, on.height, kind))


def seam(on: Blank) -> Patch:
    """Draw a joint across the part: a groove with a lit edge and, on cloth, a row of stitches along it."""
    y, x = axes(on.height, on.width)
    bend = 0.5 * on.unit * smooth(on.rng, 1, on.width, 20 * on.unit)
    half = max(0.7, uniform(on.rng, 0.6, 1.2) * on.unit)
    groove = step(half + 0.7, half - 0.5, np.abs(y - bend))
    lip = step(half + 0.7, half - 0.5, np.abs(y - bend - 1.6 * half))
    mean = on.mean()
    colour = over(on.flat((1.0, 1.0, 1.0)) * np.clip(mean * 1.5 + 0.06, 0.0, 1.0), groove, 0.3 * mean)
    alpha = np.maximum(0.75 * groove, 0.4 * lip)
    if on.sewn and on.rng.random() < 0.8:
        pitch = 6.0 * on.unit
        along = step(0.32 * pitch, 0.24 * pitch, np.abs(x % pitch - pitch / 2))
        stitch = along * step(half + 0.7, half - 0.5, np.abs(y - bend + 3.4 * half))
        colour, alpha = over(colour, stitch, on.ink), np.maximum(alpha, 0.9 * stitch)
    return _patch(colour, alpha)


def label(on: Blank) -> Patch:
    """Draw a sticker: a light card with a word or bar code over a few lines, lifted off the part by a thin shadow."""
    y, x = axes(on.height, on.width)
    margin = max(2.0, 2.0 * on.unit)
    edge = as_float(np.maximum(np.abs(x) - on.width / 2, np.abs(y) - on.height / 2) + margin)
    ground = on.flat(_CARDS[int(on.rng.integers(len(_CARDS)))])
    ink, pad = np.zeros((on.height, on.width), np.float32), round(2.2 * margin)
    wide, tall = on.width - 2 * pad, on.height - 2 * pad
    if wide >= 6 and tall >= 6:  # else it is too small to be read
        half, middle, inside = round(0.55 * tall), pad + round(0.55 * tall) + 1, slice(pad, pad + wide)
        ink[pad : pad + half, inside] = graphics.mark(on.rng, wide, half, ("text", "barcode")[int(on.rng.integers(2))])
        if pad + tall - middle >= 3:
            ink[middle : pad + tall, inside] = graphics.mark(on.rng, wide, pad + tall - middle, "rules")
    colour = over(ground, 0.85 * ink, (0.10, 0.10, 0.12))
    card, shadow = step(0.5, -0.5, edge), 0.40 * step(margin, 0.0, edge)
    return _patch(colour * rgb(card), np.maximum(card, shadow))


def texture_change(on: Blank) -> Patch:
    """Draw a band or patch of another finish: smoother, lighter or darker, with a machined border."""
    y, x = axes(on.height, on.width)
    corner = min(on.height, on.width) / 2 - 1.5 if on.height == on.width else 3.0 * on.unit
    edge = rounded(x, y, on.width / 2 - 1.5, on.height / 2 - 1.5, corner)
    alpha = step(0.6, -0.6, edge)
    tone = on.mean() * np.float32(uniform(on.rng, 0.72, 0.86) if on.rng.random() < 0.6 else uniform(on.rng, 1.2, 1.35))
    border = 0.18 * step(1.0 * on.unit + 0.6, 0.0, np.abs(edge))
    grain = 1.0 + 0.035 * smooth(on.rng, on.height, on.width, 2.0 * on.unit)
    return _patch(rgb(grain * (1.0 - border)) * np.clip(tone, 0.0, 1.0), uniform(on.rng, 0.5, 0.75) * alpha)


def inclusion_dots(on: Blank) -> Patch:
    """Draw natural speckle: many fine specks, dense in the middle and thinning out."""
    mean = on.mean()
    tone = 0.22 * mean if float(mean.mean()) > 0.35 else 0.5 + 0.5 * mean
    return _patch(on.flat((1.0, 1.0, 1.0)) * tone, 0.9 * graphics.specks(on.rng, on.width, on.height, on.unit))


class Kind(NamedTuple):
    """One kind of benign feature: how it is drawn, its length in short sides and the aspect of its patch."""

    draw: Callable[[Blank], Patch]
    size: tuple[float, float]
    quarter_turns: bool = False  # some stand on end
    aspect: float = 1.0
    oblong: tuple[float, float] | None = None  # the aspect of those that are not `aspect`
    oblong_share: float = 1.0


KINDS: dict[str, Kind] = {
    "drilled_hole": Kind(drilled_hole, (0.085, 0.15)),
    "printed_mark": Kind(printed_mark, (0.20, 0.36), quarter_turns=True, oblong=(0.26, 0.36), oblong_share=0.6),
    "seam": Kind(seam, (1.5, 1.5), quarter_turns=True, aspect=0.09 / 1.5),
    "label": Kind(label, (0.26, 0.38), quarter_turns=True, oblong=(0.45, 0.8)),
    "texture_change": Kind(texture_change, (0.24, 0.45), quarter_turns=True, oblong=(0.45, 0.8), oblong_share=0.5),
    "inclusion_dots": Kind(inclusion_dots, (0.30, 0.50)),
}
BENIGN_KINDS: tuple[str, ...] = tuple(KINDS)
LONG = frozenset({"seam"})  # these run across the entire frame, whatever its aspect


def random_feature(rng: np.random.Generator, kind: str) -> Feature:
    """Draw one feature of `kind` in the part's centre."""
    rule = KINDS[kind]
    size, aspect = uniform(rng, *rule.size), rule.aspect
    angle = 90.0 * int(rng.random() < 0.3) if rule.quarter_turns else 0.0
    if rule.oblong and (rule.oblong_share == 1.0 or rng.random() < rule.oblong_share):
        aspect = uniform(rng, *rule.oblong)
    return Feature(kind, 0.0, 0.0, size, aspect, angle, int(rng.integers(2**31)))


def length(feature: Feature, size: tuple[int, int]) -> float:
    """Return how long a feature is in px in a frame of `size` (W, H); long ones reach its edges from any place."""
    return 1.5 * float(np.hypot(*size)) if feature.kind in LONG else feature.size * min(size)


def patch(feature: Feature, look: Look, ink: RGB, sewn: bool, size: tuple[int, int]) -> Patch:
    """Return the feature's patch (h, w, 4), premultiplied RGBA in 0..1, for a frame of `size` (W, H) px.

    The material's look and the product's ink give its colours. `sewn` seams are stitched.
    """
    short, rng = min(size), np.random.default_rng(feature.seed)
    width = max(6, round(length(feature, size)))
    height = max(6, round(feature.size * feature.aspect * short))
    return KINDS[feature.kind].draw(Blank(height, width, look, ink, sewn, rng, short / 128))
