"""A realistic report: drawn parts, two or three made-up models of rising skill, two trainings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from adfm.evaluation import evaluate, paired_difference
from adfm.geometry import Box
from adfm.predictions import Prediction
from adfm.records import Label, Region, Reward
from adfm.report import Difference, ReportInputs, RunResult

KINDS = ("scratch", "dent", "stain")


def draw_part(folder: Path, number: int, size: tuple[int, int] = (240, 180)) -> tuple[str, tuple[Box, ...]]:
    """Draw a grey part with 0 to 3 dark marks; returns its file name and the marks' boxes."""
    random = np.random.default_rng(number)
    noise = random.normal(150, 8, (size[1], size[0], 3)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(noise)
    pen = ImageDraw.Draw(image)
    pen.ellipse((20, 15, size[0] - 20, size[1] - 15), fill=(176, 171, 160), outline=(90, 88, 84))
    boxes = []
    for _ in range(number % 4 if number % 2 else 0):
        x, y, w, h = map(int, random.integers([50, 40, 14, 10], [140, 100, 44, 34]))
        pen.ellipse((x, y, x + w - 1, y + h - 1), fill=(70, 60, 54))
        boxes.append(Box(*map(float, (x, y, x + w, y + h))))
    name = f"part_{number:03d}.png"
    image.save(folder / name)
    return name, tuple(boxes)


def judge(number: int, image: str, boxes: tuple[Box, ...], skill: float, seed: int) -> Prediction:
    """A made-up answer: right with probability `skill`, its boxes off by a little, sometimes unreadable."""
    random = np.random.default_rng([number, seed])
    anomalous, right = bool(boxes), bool(random.random() < skill)
    verdict: Label | None = "anomalous" if anomalous == right else "normal"
    if random.random() < 0.3 - 0.25 * skill:
        verdict = None
    odds = random.normal(0.8 if verdict == "anomalous" else 0.2, 0.15)
    dx, dy = random.normal(0, 9 * (1.4 - skill), 2)
    shifted = [Box(x1 + dx, y1 + dy, x2 + dx, y2 + dy) for x1, y1, x2, y2 in boxes]
    stray = Box(60.0, 60.0, 90.0, 84.0)
    found = [] if verdict != "anomalous" else shifted or [stray]
    regions = tuple(Region(box, KINDS[number % 3]) for box in found)
    looked = regions or (Region(stray, "shadow"),)
    answer = f'<locate>[...]</locate>\n<examine>1: dark</examine>\n<answer>{{"verdict": "{verdict}"}}</answer>'
    return Prediction(
        id=f"part/{number:03d}",
        label="anomalous" if anomalous else "normal",
        category=("flange", "washer")[number % 5 == 0],
        defect=KINDS[number % 3] if anomalous else None,
        image=image,
        width=240,
        height=180,
        boxes=boxes,
        verdict=verdict,
        score=None if verdict is None else float(np.clip(odds, 0, 1)),
        regions=regions,
        located=None if verdict is None else looked,
        examination="1: dark mark across the ring, sharp edge, a defect",
        response=answer if verdict else "The part looks fine to me.",
        frame="original",
        strict=verdict is not None,
        problems=() if verdict else ("no_answer_block",),
        reward=Reward(float(verdict is not None), float(verdict == ("anomalous" if anomalous else "normal")), 0.4, 1.4),
    )


def journal(steps: int, seed: int, gain: float) -> tuple[dict[str, Any], ...]:
    """Rows as a training logs them: noisy curves that rise and settle."""
    random = np.random.default_rng(seed)

    def row(step: int) -> dict[str, Any]:
        done = 1 - np.exp(-3 * step / steps)
        noise = random.normal(0, 0.06, 12)
        parts = {"format": 0.7 + 0.28 * done, "verdict": 0.5 + 0.35 * done, "grounding": 0.1 + gain * done}
        rewards = {f"reward/{name}": float(value + noise[i]) for i, (name, value) in enumerate(parts.items())}
        return {
            "step": step,
            **rewards,
            "reward/total": sum(rewards.values()),
            "reward_std/total": float(0.5 - 0.3 * done + noise[3] / 3),
            "zero_advantage_share": float(np.clip(0.2 + (0.7 - gain) * done + noise[4], 0, 1)),
            "located/normal_0": float(np.clip(0.2 + noise[5], 0, 1)),
            "located/normal_1": float(np.clip(0.5 + 0.2 * done + noise[6], 0, 1)),
            "located/normal_2plus": float(np.clip(0.3 - 0.2 * done + noise[7], 0, 1)),
            "false_positive_rate": float(np.clip(0.8 - 0.6 * done + noise[8], 0, 1)),
            "unread_rate": float(np.clip(0.1 - 0.1 * done + noise[9] / 4, 0, 1)),
            "box_count_error": float(abs(1 - 0.6 * done + noise[10])),
            "loss": float(noise[11] / 10),
            "learning_rate": 1e-4 * (1 - step / (steps + 1)),
        }

    return tuple(row(step) for step in range(1, steps + 1))


@pytest.fixture
def make_inputs(tmp_path: Path) -> Callable[..., ReportInputs]:
    """Make report inputs of n parts for models of the given skills."""

    def make(n: int = 40, skills: Sequence[float] = (0.55, 0.9), steps: int = 60) -> ReportInputs:
        parts = [(number, *draw_part(tmp_path, number)) for number in range(n)]
        names = ("base", "trained", "verdict only")
        runs = []
        for seed, (name, skill) in enumerate(zip(names, skills)):
            predictions = [judge(*part, skill, seed) for part in parts]
            runs.append(RunResult(name, evaluate(predictions, resamples=100), tuple(predictions)))
        differences = []
        for later in runs[1:]:
            found = paired_difference(runs[0].predictions, later.predictions, resamples=100)
            metrics = {name: (low, mid, high) for name, (low, mid, high) in found.items()}
            differences.append(Difference(later.name, runs[0].name, metrics))
        return ReportInputs(
            title="Flange inspection",
            runs=tuple(runs),
            differences=tuple(differences),
            journals={"trained": journal(steps, 0, 0.5), "verdict only": journal(steps, 1, 0.0)},
            settings={"rewards": {"preset": "set_iou", "weights": [1, 1, 1]}, "steps": steps, "resume": False},
            provenance={"adfm": "0.1.0", "seed": 7, "model": {"name": "nano", "revision": None}},
            images_root=tmp_path,
        )

    return make
