"""Made-up predictions for the tests of metrics, calibration and decisions: the fixtures `one` and `many`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from adfm.geometry import Box
from adfm.predictions import Prediction
from adfm.records import Region, Reward


def prediction(**changes: Any) -> Prediction:
    """One right answer on an anomalous part, with changes."""
    values: dict[str, Any] = {
        "id": "a",
        "label": "anomalous",
        "category": "nut",
        "defect": "scratch",
        "image": "a.png",
        "width": 100,
        "height": 100,
        "boxes": (Box(10, 10, 30, 30),),
        "verdict": "anomalous",
        "score": 0.9,
        "regions": (Region(Box(10, 10, 30, 30), "scratch"),),
        "located": (Region(Box(10, 10, 30, 30), "scratch"),),
        "examination": "a scratch",
        "response": "<locate>...",
        "frame": "original",
        "strict": True,
        "problems": (),
        "reward": Reward(1.0, 1.0, 1.5, 3.5),
    }
    return Prediction(**(values | changes))


def random_box(random: np.random.Generator) -> Box:
    """A box of at least one pixel inside a 100 px picture, on a coarse grid, so that boxes often overlap."""
    x1, y1 = random.integers(0, 9, 2) * 10
    x2, y2 = random.integers([x1 // 10 + 1, y1 // 10 + 1], 11) * 10
    return Box(*map(float, (x1, y1, x2, y2)))


def random_prediction(random: np.random.Generator, number: int, skill: float = 0.7) -> Prediction:
    """A plausible prediction: tied scores, unread answers, unknown boxes, several categories."""
    anomalous = bool(random.random() < 0.5)
    right = bool(random.random() < skill)
    verdict = None if random.random() < 0.1 else "anomalous" if right == anomalous else "normal"
    score = (
        None if verdict is None else float(np.round(np.clip(random.normal(0.7 if anomalous else 0.4, 0.2), 0, 1), 1))
    )
    true = tuple(random_box(random) for _ in range(random.integers(1, 5))) if anomalous else ()
    near = [Box(*map(float, box)) for box in true if random.random() < skill]
    found = [*near, *(random_box(random) for _ in range(random.integers(0, 4)))] if verdict != "normal" else []
    return prediction(
        id=f"{number:05d}",
        label="anomalous" if anomalous else "normal",
        category=f"part {random.integers(3)}",
        defect=f"kind {random.integers(3)}" if anomalous else None,
        boxes=None if anomalous and random.random() < 0.1 else true,
        verdict=verdict,
        score=score,
        regions=tuple(Region(box, "x") for box in found),
        strict=bool(random.random() < 0.8),
        problems=() if verdict else ("no_verdict",),
    )


@pytest.fixture
def one() -> Callable[..., Prediction]:
    """Make one prediction with changes."""
    return prediction


@pytest.fixture
def many() -> Callable[..., list[Prediction]]:
    """Make n random predictions from a seed."""

    def make(n: int, seed: int = 0, skill: float = 0.7) -> list[Prediction]:
        random = np.random.default_rng(seed)
        return [random_prediction(random, number, skill) for number in range(n)]

    return make
