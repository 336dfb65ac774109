"""An endless, seeded stream of synthetic scenes to train nano on: scene number i is the same whenever it is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from adfm.config import Settings
from adfm.data.synthetic import BENIGN_KINDS, draw_part, random_product
from adfm.geometry import boxes_from_mask
from adfm.records import Sample
from adfm.training.warmup import Scene

SIZES = ((128, 128), (160, 160), (144, 112), (112, 144), (176, 128), (128, 176))


class SceneSettings(Settings):
    """What nano sees in training; `held_out` benign features are never drawn, so that they are news to it later."""

    seed: int = 0
    held_out: tuple[str, ...] = ("drilled_hole",)
    products: int = 3000
    difficulty: tuple[float, float] = (0.0, 0.5)


class LabelledScene(NamedTuple):
    """A scene with the sample that describes it."""

    scene: Scene
    sample: Sample


def draw_scene(settings: SceneSettings, index: int) -> LabelledScene:
    """Draw scene number `index`: a part of a random product, anomalous half of the time."""
    rng = np.random.default_rng((settings.seed, 1, index))
    product = _product(settings, int(rng.integers(settings.products)))
    size = SIZES[int(rng.integers(len(SIZES)))]
    part = draw_part(product, rng, size=size, defects=None if rng.random() < 0.5 else 0)
    boxes = boxes_from_mask(part.mask).boxes
    sample = Sample(
        id=f"scene-{index}",
        image="",
        width=size[0],
        height=size[1],
        label="anomalous" if boxes else "normal",
        category=product.material,
        defect=" and ".join(dict.fromkeys(part.defects)) or None,
        mask=None,
        boxes=boxes,
        split="train",
        sha256="",
    )
    return LabelledScene(Scene(Image.fromarray(part.image), boxes, part.mask), sample)


def _product(settings: SceneSettings, number: int) -> Any:
    """Draw product `number` of the fixed set; the same number is the same product for every scene."""
    rng = np.random.default_rng((settings.seed, 2, number))
    kinds = [kind for kind in BENIGN_KINDS if kind not in settings.held_out]
    difficulty = rng.uniform(*settings.difficulty)
    return random_product(rng, benign=kinds, features=(0, 3), difficulty=difficulty)


def scene_batches(settings: SceneSettings, first: int, size: int) -> Iterator[list[LabelledScene]]:
    """Yield batches of consecutive scenes from number `first` on, for ever."""
    while True:
        yield [draw_scene(settings, index) for index in range(first, first + size)]
        first += size
