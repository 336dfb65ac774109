"""Draws one image of one part of a product: places its defects so that they can be seen, and marks what they changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from adfm.data.synthetic.defects import DEFECT_KINDS, DEFECTS, Spot, last_resort
from adfm.data.synthetic.fields import Bytes, Float, as_float, rgb, uniform, white
from adfm.data.synthetic.product import Product, chosen
from adfm.data.synthetic.scene import Light, Scene, View, assemble, draw_light, window

Mask = npt.NDArray[np.bool_]

MIN_AREA = 12.0  # px at a 128 px frame: fewer, and a person would not mark it
VISIBLE = 0.025  # change of tone below which nothing is marked, share of full scale
EDGE = 0.25  # a mask ends where the change has fallen to this share of its peak
TRIES = 4


@dataclass(frozen=True, eq=False)
class Part:
    """One image of a part.

    `image` is uint8 (H, W, 3) RGB. `mask` is uint8 (H, W), 255 where a defect changed the image, else 0. `defects` has
    one type per drawn defect, `benign_boxes` the half-open (x1, y1, x2, y2) px of the benign features in sight.
    """

    image: Bytes
    mask: Bytes
    defects: tuple[str, ...]
    benign_boxes: tuple[tuple[int, int, int, int], ...]


def _site(scene: Scene, kind: str, allowed: Mask, rng: np.random.Generator, length: float) -> tuple[int, int]:
    """Return the pixel (x, y) where a defect of `length` px goes: mostly well on the part, now and then at its edge."""
    clear = 0  # px to all that is not allowed, if such a place is found
    if kind == "missing_print" and scene.print is not None:
        allowed = (scene.print > 0.5) & allowed
    elif rng.random() < 0.85:
        clear = round(0.4 * length)
    height, width = allowed.shape
    places = ((0.07 + 0.86 * rng.random((32, 2))) * (width, height)).astype(int).tolist()
    for reach in (clear, 0):
        for x, y in places:
            left, right = max(0, x - reach), min(width - 1, x + reach)
            top, bottom = max(0, y - reach), min(height - 1, y + reach)
            if allowed[[y, y, y, top, bottom], [x, left, right, x, x]].all():
                return x, y
    pixels = np.flatnonzero(allowed)
    if not pixels.size:
        return width // 2, height // 2
    y, x = divmod(int(pixels[int(rng.integers(pixels.size))]), width)
    return x, y


def _measured(
    scene: Scene, light: Light, view: View, after: Float, kind: str, length: float
) -> tuple[Float, Mask, float]:
    """Confine a painted window (h, w, 3) to the part; returns it, its mask and the mean change of tone in the mask.

    The mask is what a person would mark of the change: its visible part, closed, without specks. `length` is that of
    the defect in px.
    """
    before, unit = scene.image[view], scene.unit
    if scene.cover is not None:
        after = as_float(before + rgb(np.ascontiguousarray(scene.cover[view])) * (after - before))
    red, green, blue = cv2.split(cv2.absdiff(light.expose(after, view), light.expose(before, view)))
    change = as_float(np.maximum(np.maximum(red, green), blue))
    diffuse, region = kind == "deformation", change
    if diffuse:  # a moved pattern agrees with the old one here and there: mark the region, not the pattern
        reach = 2 * round(1.5 * unit) + 3
        region = as_float(cv2.blur(change, (reach, reach)))
    seen = (region > max(VISIBLE, (0.5 * EDGE if diffuse else EDGE) * float(region.max()))).astype(np.uint8)
    reach = 2 * max(1, round(0.2 * length if diffuse else 1.5 * unit)) + 1
    seen = cv2.morphologyEx(seen, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    if kind in ("hole", "stain", "deformation"):
        contours, _ = cv2.findContours(seen, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        seen = cv2.drawContours(seen, contours, -1, (1,), -1)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(seen, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= max(3.0, 3.0 * unit * unit)
    keep[0] = False
    marked = np.asarray(keep[labels], dtype=np.bool_)
    return after, marked, float(change[marked].mean()) if marked.any() else 0.0


def draw_flaw(
    scene: Scene, light: Light, product: Product, kind: str, taken: Mask, rng: np.random.Generator, noise: float
) -> str:
    """Draw one defect that can be seen into the scene, add it to the mask `taken` and return its type.

    A defect that came out too small or too faint is drawn again, larger and stronger. One that never shows becomes a
    solid grain, so that no anomalous part is without a mask.
    """
    limits, (height, width) = product.conditions, taken.shape
    allowed = np.logical_not(taken) if scene.cover is None else (scene.cover > 0.9) & ~taken
    least = max(4.0, MIN_AREA * scene.unit**2)
    extent, strength = uniform(rng, *limits.extent), uniform(rng, *limits.strength)
    for attempt in range(TRIES + 1):
        last = attempt == TRIES
        length = extent * (1.0 + 0.15 * attempt) * min(height, width) * DEFECTS[kind].length
        x, y = _site(scene, kind, allowed, rng, length)
        half = 0.75 * length + 4.0 * scene.unit + 3.0
        view = window(x, y, half, half, (width, height))
        spot = Spot(
            before=scene.image[view],
            bare=None if scene.bare is None else scene.bare[view],
            x=x - view[1].start,
            y=y - view[0].start,
            size=length,
            unit=scene.unit,
            strength=min(1.0, strength * (1.0 + 0.3 * attempt)),
            material=product.material,
        )
        kind = "contamination" if last else kind
        after = last_resort(spot) if last else DEFECTS[kind].paint(spot, rng)
        after, marked, change = _measured(scene, light, view, after, kind, length)
        if last or (int(marked.sum()) >= least and change > 0.035 + noise):
            scene.image[view] = after
            taken[view] |= marked
            break
    return kind


def draw_part(
    product: Product,
    rng: np.random.Generator,
    *,
    size: tuple[int, int] = (128, 128),
    defects: int | None = 0,
    kinds: Iterable[str] | None = None,
) -> Part:
    """Draw one part of `product` at `size` (W, H) px, each side at least 32.

    `defects` is how many to draw: 0 for a normal part, None for one to three, mostly one. `kinds` limits them to these
    defect types. Where the product has no print, `missing_print` becomes another one; `Part.defects` says what was drawn.
    A generator in the same state gives the same bytes, and apart from the defects the same part for any `defects`.

    Raises:
        ValueError: too small a `size`, a negative count or an unknown type.
    """
    if min(size) < 32:
        raise ValueError(f"size must be at least 32 px a side, not {size[0]}x{size[1]}")
    if defects is not None and defects < 0:
        raise ValueError(f"defects must be 0 or more, not {defects}")
    # Cloth and paper do not crack unless they are asked to, and print is missing only where there is some.
    own = [kind for kind in DEFECT_KINDS if kind != "crack" or product.material not in ("woven", "printed")]
    asked = own if kinds is None else chosen(kinds, DEFECT_KINDS, "defect type")
    choices, others = ([k for k in some if product.has_print or k != "missing_print"] for some in (asked, own))
    choices = choices or others
    size = (int(size[0]), int(size[1]))
    # One stream each, so that drawing a defect moves nothing else. `spawn` would not survive a restored state.
    laying, lighting, flaws, sensor = (np.random.default_rng(int(rng.integers(2**63))) for _ in range(4))
    scene, boxes = assemble(product, laying, size)
    light = draw_light(product, lighting, size)
    noise = uniform(sensor, *product.conditions.noise)
    taken = np.zeros(size[::-1], np.bool_)
    drawn = []
    for _ in range(1 + int(np.searchsorted([0.78, 0.94], flaws.random())) if defects is None else defects):
        kind = choices[int(flaws.integers(len(choices)))]
        drawn.append(draw_flaw(scene, light, product, kind, taken, flaws, noise))
    seen = light.expose(scene.image, (slice(size[1]), slice(size[0])))
    seen += np.float32(noise) * white(sensor, size[1], 3 * size[0]).reshape(seen.shape)
    image = np.asarray(cv2.convertScaleAbs(np.maximum(seen, 0.0), alpha=255.0), dtype=np.uint8)
    return Part(image, taken.astype(np.uint8) * np.uint8(255), tuple(drawn), tuple(boxes))
