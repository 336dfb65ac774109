"""`adfm bench reward`: how many answers a second one core reads and rewards: whole answers, shortened ones and prose."""

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

SIDE = 640

Case = tuple[str, Sample, Frame]


def bench_reward(*, answers: int = 1000, repeats: int = 7, seed: int = 0) -> dict[str, Any]:
    """Return answers a second of each preset (median, least and most of the repeats), on one core."""
    cases = answers_of(answers, seed)
    presets = {name: _rates(cases, RewardSettings(preset=name), repeats) for name in PRESETS}
    return {"answers": answers, "characters": statistics.mean(len(text) for text, _, _ in cases), "presets": presets}


def answers_of(count: int, seed: int) -> list[Case]:
    """Return answers to random samples of 0 to 6 defects: half canonical, a quarter cut short, a quarter with prose around."""
    rng = np.random.default_rng(seed)
    return [_case(number, rng) for number in range(count)]


def _case(number: int, rng: np.random.Generator) -> Case:
    boxes = tuple(_box(rng) for _ in range(int(rng.integers(0, 7)) if number % 2 else 0))
    label, defect = ("anomalous", "scratch") if boxes else ("normal", None)
    sample = Sample(str(number), "", SIDE, SIDE, label, "part", defect, None, boxes, "train", "")  # type: ignore[arg-type]
    frame = Frame.thousand(SIDE, SIDE)
    text = canonical(sample, frame, focus=_box(rng))
    if number % 4 == 2:
        text = text[: int(rng.integers(len(text)))]
    elif number % 4 == 3:
        text = f"Let me look at this part closely. {text} I am certain of it."
    return text, sample, frame


def _box(rng: np.random.Generator) -> Box:
    x, y = (int(value) for value in rng.integers(0, SIDE - 100, 2))
    width, height = (int(value) for value in rng.integers(5, 100, 2))
    return Box(x, y, x + width, y + height)


def _rates(cases: list[Case], settings: RewardSettings, repeats: int) -> dict[str, float]:
    """Answers a second of processor time, garbage collection held back as short loops would otherwise measure it."""
    rates = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeats):
            started = time.thread_time()
            for text, sample, frame in cases:
                reward(read(text, frame), sample, settings)
            rates.append(len(cases) / (time.thread_time() - started))
    finally:
        gc.enable()
    return {"median": statistics.median(rates), "min": min(rates), "max": max(rates)}
