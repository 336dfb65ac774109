"""Samples in, rows of a lazy `datasets.Dataset` out: prompt, picture, frame, and for fine-tuning the canonical answer.

Pictures are opened when a row is asked for. A group of G equal rows opens its picture once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from PIL import Image

from adfm import images
from adfm.data.manifest import Manifest
from adfm.geometry import Box, Frame
from adfm.models.frames import FrameOf
from adfm.reasoning import Stages, canonical, focus_box, frame_hint, prompt
from adfm.records import Sample
from adfm.training.views import View, viewed_image, viewed_sample, views

CACHED_PICTURES = 512


@dataclass(frozen=True)
class Example:
    """One row to train on: a sample (its boxes as the picture will be shown) and how to get the picture."""

    sample: Sample
    picture: Callable[[], Image.Image]


class Source(Protocol):
    """A sequence of examples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


def manifest_examples(
    manifest: Manifest, *, turns: bool, balance: bool, longest: int, cuts: int = 0, seed: int = 0
) -> list[Example]:
    """Return the examples of a manifest.

    Args:
        turns: also show each picture in its seven other quarter turns and mirrorings, boxes turned with it.
        cuts: also show that many random cuts of each picture, decided by `seed`, every defect whole in each.
        balance: repeat the rarer label until both are equally frequent.
        longest: pictures are shrunk to this longest side in pixels before they are cached (0: never); boxes and frames
            stay in original pixels, because a frame maps parts of the picture.
    """

    @lru_cache(maxsize=CACHED_PICTURES)
    def picture(name: str) -> Image.Image:
        loaded = images.load(manifest.root / name)
        if longest:
            loaded.thumbnail((longest, longest), Image.Resampling.BICUBIC)
        return loaded

    def example(sample: Sample, view: View) -> Example:
        return Example(viewed_sample(sample, view), lambda: viewed_image(picture(sample.image), view, sample))

    examples = [
        example(sample, view)
        for sample in manifest.samples
        for view in views(sample, flips_rotations=turns, crops=cuts, seed=seed)
    ]
    return balanced(examples) if balance else examples


def balanced(examples: Sequence[Example]) -> list[Example]:
    """Repeat the examples of the rarer label, in order, until both labels are equally frequent."""
    by_label = [[e for e in examples if e.sample.anomalous is flag] for flag in (False, True)]
    if not all(by_label):
        return list(examples)
    most = max(map(len, by_label))
    return [part[index % len(part)] for index in range(most) for part in by_label]


def rows(source: Source, frame_of: FrameOf, stages: Stages, *, category: bool, answers: bool) -> Any:
    """Return a lazy `datasets.Dataset` with the columns that TRL and our rewards read.

    `prompt` (chat, the picture before the text), `images` (list of one RGB picture), `sample_id`, `frame` (a
    `Frame.name`), and with `answers` also `completion` (chat) with the canonical answer.
    """
    from datasets import Dataset

    def fill(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        filled = [row(source[index], frame_of, stages, category=category, answer=answers) for index in batch["index"]]
        return {name: [one[name] for one in filled] for name in filled[0]}

    dataset = Dataset.from_dict({"index": np.arange(len(source))})
    dataset.set_transform(fill)
    return dataset


def row(example: Example, frame_of: FrameOf, stages: Stages, *, category: bool, answer: bool) -> dict[str, Any]:
    """Return one row; the focus of a normal part's target is its most contrasting place."""
    sample, picture = example.sample, example.picture()
    # The model sees the (perhaps shrunk) picture: its units are those of that size, whatever the original rounds to.
    seen = frame_of(*picture.size)
    frame = Frame(sample.width, sample.height, seen.units_x, seen.units_y)
    text = prompt(stages, category=sample.category if category else None, frame_hint=frame_hint(frame))
    filled: dict[str, Any] = {
        "prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}],
        "images": [picture],
        "sample_id": sample.id,
        "frame": frame.name,
    }
    if answer:
        target = canonical(sample, frame, stages=stages, focus=None if sample.anomalous else _focus(picture, frame))
        filled["completion"] = [{"role": "assistant", "content": [{"type": "text", "text": target}]}]
    return filled


def _focus(picture: Image.Image, frame: Frame) -> Box:
    """The focus box in original pixels, also where the picture was shrunk for the cache."""
    box = focus_box(picture)
    sx, sy = frame.width / picture.width, frame.height / picture.height
    return Box(box.x1 * sx, box.y1 * sy, box.x2 * sx, box.y2 * sy)
