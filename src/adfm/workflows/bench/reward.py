"""`adfm bench reward`: how many answers a second one core reads and rewards: complete, shortened and wrapped in prose."""

from __future__ import annotations

import gc
import statistics
import time
from typing import Any

import numpy as np

from adfm.geometry import Box, Frame
from adfm.reasoning import canonical, read
from adfm.records import Sample
from adfm.rewards import PRESETS, RewardSettings, reward
from adfm.workflows.bench import quantiles

SIDE = 640

Case = tuple[str, Sample, Frame]


def bench_reward(*, answers: int = 1000, repeats: int = 7, seed: int = 0) -> dict[str, Any]:
    """Return answers a second of processor time for each preset (median, least and greatest of the repeats), on one core.

    Garbage collection waits until the end: loops this short would otherwise measure it.
    """
    cases = answers_of(answers, seed)
    presets = {}
    gc.collect()
    gc.disable()
    try:
        for name in PRESETS:
            settings, rates = RewardSettings(preset=name), []
            for _ in range(repeats):
                started = time.thread_time()
                for text, sample, frame in cases:
                    reward(read(text, frame), sample, settings)
                rates.append(len(cases) / (time.thread_time() - started))
            presets[name] = quantiles(rates)
    finally:
        gc.enable()
    return {"answers": answers, "characters": statistics.mean(len(text) for text, _, _ in cases), "presets": presets}


def answers_of(count: int, seed: int) -> list[Case]:
    """Return answers to random samples of 0 to 6 defects: half canonical, a quarter cut short, a quarter with prose around."""
    rng = np.random.default_rng(seed)
    frame = Frame.thousand(SIDE, SIDE)
    cases = []
    for number in range(count):
        boxes = tuple(_box(rng) for _ in range(int(rng.integers(0, 7)) if number % 2 else 0))
        label, defect = ("anomalous", "scratch") if boxes else ("normal", None)
        sample = Sample(str(number), "", SIDE, SIDE, label, "part", defect, None, boxes, "train", "")  # type: ignore[arg-type]
        text = canonical(sample, frame, focus=_box(rng))
        if number % 4 == 2:
            text = text[: int(rng.integers(len(text)))]
        elif number % 4 == 3:
            text = f"Let me look at this part closely. {text} I am certain of it."
        cases.append((text, sample, frame))
    return cases


def _box(rng: np.random.Generator) -> Box:
    x, y = (int(value) for value in rng.integers(0, SIDE - 100, 2))
    width, height = (int(value) for value in rng.integers(5, 100, 2))
    return Box(x, y, x + width, y + height)
