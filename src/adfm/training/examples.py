"""Samples in, rows of a lazy `datasets.Dataset` out: the question, and for fine-tuning the canonical answer.

Images are opened when a row is asked for. A group of G equal rows opens its image once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from datasets import Dataset
from PIL import Image

from adfm.data.manifest import Manifest
from adfm.geometry import Box, Frame
from adfm.reasoning import ask, focus_box, task_named
from adfm.records import Sample
from adfm.training.settings import DataSettings
from adfm.training.subject import Subject
from adfm.training.views import View, viewed_image, viewed_sample, views


@dataclass(frozen=True)
class Example:
    """One row to train on: a sample (its boxes as the image will be shown) and how to get the RGB image."""

    sample: Sample
    image: Callable[[], Image.Image]


class Source(Protocol):
    """A sequence of examples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


def manifest_examples(manifest: Manifest, settings: DataSettings, *, seed: int = 0) -> list[Example]:
    """Return the examples of a manifest, with the flips, rotations, crops and balance that the settings ask for.

    `seed` decides the crops. Images are shrunk to `max_side` before they are cached. Boxes and frames stay in original
    pixels, because a frame maps parts of the image.
    """

    @lru_cache(maxsize=512)
    def shrunk(sample: Sample) -> Image.Image:
        loaded = manifest.load(sample)
        if settings.max_side:
            loaded.thumbnail((settings.max_side, settings.max_side), Image.Resampling.BICUBIC)
        return loaded

    def example(sample: Sample, view: View) -> Example:
        return Example(viewed_sample(sample, view), lambda: viewed_image(shrunk(sample), view, sample))

    examples = [
        example(sample, view)
        for sample in manifest.samples
        for view in views(sample, flips_rotations=settings.flips_rotations, crops=settings.crops, seed=seed)
    ]
    return balanced(examples) if settings.balance else examples


def balanced(examples: Sequence[Example]) -> list[Example]:
    """Repeat the examples of the rarer label, in order, until both labels are equally frequent."""
    by_label = [[e for e in examples if e.sample.anomalous is flag] for flag in (False, True)]
    if not all(by_label):
        return list(examples)
    most = max(map(len, by_label))
    return [part[index % len(part)] for index in range(most) for part in by_label]


def rows(source: Source, subject: Subject, *, answers: bool) -> Any:
    """Return a lazy `datasets.Dataset` with the columns that TRL and our rewards read.

    `prompt` (chat), `images` (list of RGB images), `sample_id`, `frame` (a `Frame.name`), and with `answers` also
    `completion` (chat) with the canonical answer.
    """

    def fill(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        filled = [row(source[index], subject, answer=answers) for index in batch["index"]]
        return {name: [one[name] for one in filled] for name in filled[0]}

    dataset = Dataset.from_dict({"index": np.arange(len(source))})
    dataset.set_transform(fill)
    return dataset


def row(example: Example, subject: Subject, *, answer: bool) -> dict[str, Any]:
    """Return one row. A normal part's canonical answer points at the place of most contrast and clears it."""
    sample, image = example.sample, example.image()
    # The model sees the (perhaps shrunk) image: its units are those of that size, whatever the original rounds to.
    seen = subject.frame_of(*image.size)
    frame = Frame(sample.width, sample.height, seen.units_x, seen.units_y)
    question = ask(image, frame, subject.protocol, category=sample.category)
    filled: dict[str, Any] = {
        "prompt": question.chat,
        "images": list(question.images),
        "sample_id": sample.id,
        "frame": frame.name,
    }
    if answer:
        focus = None
        if not sample.anomalous:
            box, sx, sy = focus_box(image), frame.width / image.width, frame.height / image.height
            focus = Box(box.x1 * sx, box.y1 * sy, box.x2 * sx, box.y2 * sy)
        target = task_named(subject.protocol.task).target(sample, frame, subject.protocol, focus)
        filled["completion"] = [{"role": "assistant", "content": [{"type": "text", "text": target}]}]
    return filled
