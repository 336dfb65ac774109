"""Draws one image of one part of a product, with the exact mask of its defects; writes no files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from adfm.data.synthetic.defects import DEFECT_KINDS, plausible
from adfm.data.synthetic.fields import Bytes, uniform
from adfm.data.synthetic.flaw import draw_flaw
from adfm.data.synthetic.light import draw_light, photograph
from adfm.data.synthetic.product import Product, chosen
from adfm.data.synthetic.scene import assemble


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
    choices = plausible(product.material, product.has_print)
    if kinds is not None:
        asked = chosen(kinds, DEFECT_KINDS, "defect type")
        choices = tuple(kind for kind in asked if product.has_print or kind != "missing_print") or choices
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
    image = photograph(scene.image, light, noise, sensor)
    return Part(image, taken.astype(np.uint8) * np.uint8(255), tuple(drawn), tuple(boxes))
