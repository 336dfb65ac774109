"""An endless, seeded stream of synthetic scenes to train nano on: scene number i is the same whenever it is drawn."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from PIL import Image

from adfm.config import Settings
from adfm.data.synthetic import BENIGN_KINDS, MATERIALS, Product, draw_part, random_product
from adfm.geometry import boxes_from_mask
from adfm.records import Sample
from adfm.training.warmup import Scene

SIZES = ((128, 128), (160, 160), (144, 112), (112, 144), (176, 128), (128, 176))
PRODUCTS_AT_ONCE = 24
SCENES_A_POOL = 768


class Lesson(Settings):
    """One part of the curriculum: how many scenes, of which materials, with how many benign features, how hard."""

    scenes: int
    materials: tuple[str, ...] = MATERIALS
    features: int = 2
    difficulty: tuple[float, float] = (0.0, 0.4)


class SceneSettings(Settings):
    """What nano sees in training. `held_out` benign features are never drawn, so that they are new to it later.

    The curriculum starts easy, because a vision tower that sees everything at once learns nothing for very long. The
    first three lessons belong to the warm-up. The last one, which never ends, belongs to the fine-tuning.
    """

    seed: int = 0
    held_out: tuple[str, ...] = ("drilled_hole",)
    lessons: tuple[Lesson, ...] = (
        Lesson(scenes=12_288, materials=("brushed_metal", "cast"), features=0, difficulty=(0.0, 0.1)),
        Lesson(scenes=12_288, features=1, difficulty=(0.0, 0.2)),
        Lesson(scenes=49_024),
        Lesson(scenes=1, features=1, difficulty=(0.0, 0.25)),
    )

    def lesson(self, index: int) -> Lesson:
        """Return the lesson that scene number `index` belongs to."""
        ends = list(accumulate(lesson.scenes for lesson in self.lessons[:-1]))
        return self.lessons[bisect_right(ends, index)]


class LabelledScene(NamedTuple):
    """A scene with the sample that describes it."""

    scene: Scene
    sample: Sample


def draw_scene(settings: SceneSettings, index: int) -> LabelledScene:
    """Draw scene number `index`: a part of a random product, anomalous half of the time.

    Products come in pools, so that the generator can keep their textures for a while.
    """
    rng = np.random.default_rng((settings.seed, 1, index))
    drawn = np.random.default_rng((settings.seed, 2, index // SCENES_A_POOL, int(rng.integers(PRODUCTS_AT_ONCE))))
    size = SIZES[int(drawn.integers(len(SIZES)))]
    product = draw_product(settings, settings.lesson(index), drawn)
    part = draw_part(product, rng, size=size, defects=None if rng.random() < 0.5 else 0)
    boxes = boxes_from_mask(part.mask).boxes
    sample = Sample(
        id=f"scene-{index}",
        image="",
        width=size[0],
        height=size[1],
        label="anomalous" if boxes else "normal",
        category=_name(product.material, drawn),
        defect=" and ".join(dict.fromkeys(part.defects)) or None,
        mask=None,
        boxes=boxes,
        split="train",
        sha256="",
    )
    return LabelledScene(Scene(Image.fromarray(part.image), boxes, part.mask), sample)


def _name(material: str, rng: np.random.Generator) -> str:
    """Return what the prompt calls a product: its material, a numbered material or an invented word. So no name is new later."""
    kind = int(rng.integers(3))
    if kind < 2:
        return material if kind == 0 else f"{material}-{int(rng.integers(100)):02d}"
    syllables = range(int(rng.integers(2, 5)))
    return "".join("bcdfghklmnprstvz"[int(rng.integers(16))] + "aeiou"[int(rng.integers(5))] for _ in syllables)


def draw_product(settings: SceneSettings, lesson: Lesson, rng: np.random.Generator) -> Product:
    """Draw a product of a lesson's materials and difficulty, without the held-out benign features."""
    kinds = [kind for kind in BENIGN_KINDS if kind not in settings.held_out]
    difficulty = rng.uniform(*lesson.difficulty)
    return random_product(
        rng, materials=lesson.materials, benign=kinds, features=(0, lesson.features), difficulty=difficulty
    )
