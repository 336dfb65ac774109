"""Describes a product, which is what all its parts share, and draws one at random; makes no pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from adfm.data.synthetic.benign import BENIGN_KINDS, LONG, Feature, random_feature
from adfm.data.synthetic.fields import RGB, Float, Real, as_float, rounded, uniform
from adfm.data.synthetic.materials import MATERIALS, Look, random_look

Shape = Literal["full", "disc", "plate", "ring", "bracket"]


@dataclass(frozen=True)
class Outline:
    """One product's outline: its shape and its size as a share of the frame's short side."""

    kind: Shape = "full"
    size: float = 1.0


@dataclass(frozen=True)
class Conditions:
    """How parts of one product differ from image to image, and how hard their defects are to see."""

    rotation: float  # largest turn, degrees
    shift: float  # largest shift, short sides
    jitter: float  # spread of each feature's place, short sides
    gradient: float  # depth of uneven light, share of full light
    gain: float  # spread of exposure
    tone: float  # spread of the tone curve (gamma)
    warmth: float  # spread of colour temperature
    blur: float  # largest blur, px of deviation at a 128 px frame
    noise: tuple[float, float]  # sensor noise deviation, share of full scale
    strength: tuple[float, float]  # opacity of defects
    extent: tuple[float, float]  # length of defects, short sides


@dataclass(frozen=True)
class Product:
    """One product line: material, colours, outline, benign features, conditions and the seed of its fixed graphics."""

    material: str
    look: Look
    outline: Outline
    background: RGB
    ink: RGB
    features: tuple[Feature, ...]
    conditions: Conditions
    difficulty: float
    seed: int

    @property
    def has_print(self) -> bool:
        """Whether some print of it can be missing."""
        return self.material == "printed" or any(feature.kind == "printed_mark" for feature in self.features)


_SHAPES: dict[str, tuple[Shape, ...]] = {
    "woven": ("full", "full", "full", "plate"),
    "brushed_metal": ("full", "disc", "plate", "ring", "bracket"),
    "cast": ("full", "disc", "plate", "ring", "bracket"),
    "printed": ("full", "full", "plate", "disc"),
    "wood": ("full", "full", "plate"),
    "grid": ("full", "full", "plate", "disc"),
}
_UNSUITED: dict[str, tuple[str, ...]] = {  # benign features that a material does not carry
    "grid": ("printed_mark", "inclusion_dots", "texture_change"),
    "woven": ("inclusion_dots",),
}
_DARK_INKS: tuple[RGB, ...] = ((0.08, 0.08, 0.10), (0.10, 0.14, 0.42), (0.55, 0.08, 0.10), (0.06, 0.30, 0.18))
_LIGHT_INKS: tuple[RGB, ...] = ((0.95, 0.95, 0.93), (0.96, 0.86, 0.45), (0.80, 0.90, 0.96))


def chosen(
    names: Iterable[str] | None, known: tuple[str, ...], what: str, *, required: bool = False
) -> tuple[str, ...]:
    """Return `names`, or all `known` for None.

    Raises:
        ValueError: an unknown name (the message lists the known ones), or no name where one is `required`.
    """
    picked = known if names is None else tuple(names)
    if required and not picked:
        raise ValueError(f"{what}s is empty; give at least one, or None for all")
    unknown = [name for name in picked if name not in known]
    if unknown:
        raise ValueError(f"unknown {what} {unknown[0]!r}; known: {', '.join(known)}")
    return picked


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


def conditions(difficulty: float) -> Conditions:
    """Return the conditions at a difficulty in 0 (laboratory) to 1 (hard for a person)."""

    def between(easy: float, hard: float) -> float:
        return easy + (hard - easy) * difficulty

    return Conditions(
        rotation=between(1.0, 8.0),
        shift=between(0.01, 0.05),
        jitter=between(0.004, 0.012),
        gradient=between(0.08, 0.38),
        gain=between(0.03, 0.16),
        tone=between(0.05, 0.30),
        warmth=between(0.01, 0.06),
        blur=between(0.35, 0.85),
        noise=(between(0.003, 0.010), between(0.006, 0.026)),
        strength=(between(0.85, 0.30), between(1.0, 0.62)),
        extent=(between(0.17, 0.08), between(0.36, 0.20)),
    )


def _places(rng: np.random.Generator, kind: str, outline: Outline) -> list[tuple[float, float]]:
    """Draw the centres of one group of features: holes come in symmetric sets, everything else alone."""
    x, y = uniform(rng, 0.08, 0.40), uniform(rng, 0.08, 0.40)
    if kind == "drilled_hole" and outline.kind != "bracket" and rng.random() < 0.7:
        return [[(-x, -y), (x, y)], [(-x, y), (x, y)], [(-x, -y), (x, -y), (-x, y), (x, y)]][int(rng.integers(3))]
    if kind in LONG:
        return [(uniform(rng, -0.28, 0.28), uniform(rng, -0.28, 0.28))]
    return [(x if rng.random() < 0.5 else -x, y if rng.random() < 0.5 else -y)]


def _reach(feature: Feature) -> float:
    """Radius that a feature keeps to itself, in short sides."""
    return 0.06 if feature.kind in LONG else 0.5 * feature.size * float(np.hypot(1.0, feature.aspect))


def _fits(feature: Feature, placed: list[Feature], outline: Outline) -> bool:
    """Whether a feature is on the part and clear of those already placed (long ones may be crossed)."""
    reach = _reach(feature)
    if max(abs(feature.x), abs(feature.y)) + 0.7 * reach > 0.48:
        return False
    turn = np.arange(8) * np.pi / 4
    rim_x, rim_y = as_float(feature.x + 0.8 * reach * np.cos(turn)), as_float(feature.y + 0.8 * reach * np.sin(turn))
    if feature.kind not in LONG and float(distance(outline, rim_x, rim_y).max()) > -0.02:
        return False
    near = (other for other in placed if not {other.kind, feature.kind} & LONG)
    return all(np.hypot(feature.x - other.x, feature.y - other.y) > 0.85 * (reach + _reach(other)) for other in near)


def _features(
    rng: np.random.Generator, kinds: tuple[str, ...], outline: Outline, least: int, most: int
) -> tuple[Feature, ...]:
    """Draw from `least` to `most` groups of features, of different kinds if it can be; one that finds no room is left out."""
    placed: list[Feature] = []
    wanted = int(rng.integers(least, most + 1)) if kinds else 0
    used: set[str] = set()
    for _ in range(4 * wanted):
        if wanted == 0:
            break
        fresh = [kind for kind in kinds if kind not in used] or list(kinds)
        kind = fresh[int(rng.integers(len(fresh)))]
        used.add(kind)
        before = len(placed)
        for _ in range(12):  # tries
            model = random_feature(rng, kind)
            for x, y in _places(rng, kind, outline):
                feature = replace(model, x=x, y=y)
                if _fits(feature, placed, outline):
                    placed.append(feature)
            if len(placed) > before:
                wanted -= 1
                break
    return tuple(placed)


def random_product(
    rng: np.random.Generator,
    *,
    materials: Iterable[str] | None = None,
    benign: Iterable[str] | None = None,
    difficulty: float = 0.5,
    features: tuple[int, int] | None = None,
) -> Product:
    """Draw a product from `rng`.

    `materials` and `benign` are the kinds to draw from (None: all; `benign=()`: a product without features).
    `features` bounds how many groups of benign features it carries: by default 0 to 3, and 1 to 3 where `benign`
    was given, so that a product asked for with drilled holes has some. `difficulty` in 0..1 lowers contrast and size
    of defects and raises noise, misalignment and unevenness of light.

    Raises:
        ValueError: an unknown material or feature, no material, or a difficulty outside 0..1.
    """
    if not 0.0 <= difficulty <= 1.0:
        raise ValueError(f"difficulty must be in 0..1, not {difficulty}")
    families = chosen(materials, MATERIALS, "material", required=True)
    kinds = chosen(benign, BENIGN_KINDS, "benign feature")
    material = families[int(rng.integers(len(families)))]
    shapes = _SHAPES[material]
    outline = Outline(shapes[int(rng.integers(len(shapes)))], uniform(rng, 0.80, 0.92))
    turned = outline.kind in ("disc", "ring") and rng.random() < 0.7
    look = random_look(rng, material, turned=turned)
    # A plain background that the part stands out from, and an ink that reads on the material.
    level = uniform(rng, 0.06, 0.22) if sum(look.base) + sum(look.accent) > 3.0 else uniform(rng, 0.72, 0.92)
    red, green, blue = (float(np.clip(level + rng.normal(0.0, 0.008), 0.02, 0.97)) for _ in range(3))
    mean = sum(look.base) / 3 if material == "printed" else (sum(look.base) + sum(look.accent)) / 6
    inks = _DARK_INKS if mean > 0.55 else _DARK_INKS[:1] if mean > 0.45 else _LIGHT_INKS
    ink = inks[int(rng.integers(len(inks)))]
    least, most = features or ((0, 3) if benign is None else (1, 3))
    unsuited = _UNSUITED.get(material, ())
    kinds = tuple(kind for kind in kinds if kind not in unsuited) or kinds  # all are kept if nothing else was asked for
    return Product(
        material=material,
        look=look,
        outline=outline,
        background=(red, green, blue),
        ink=ink,
        features=_features(rng, kinds, outline, least, most),
        conditions=conditions(difficulty),
        difficulty=difficulty,
        seed=int(rng.integers(2**63)),
    )
