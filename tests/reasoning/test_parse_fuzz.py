"""100,000 mutated answers (ADFM_FUZZ=N: N of them) against what holds of every answer, and against a second reader."""

from __future__ import annotations

import json
import math
import os
import random
import re
from dataclasses import replace
from typing import Any

import pytest
from mutations import corpus, sample_and_frame

from adfm.geometry import Box, Frame
from adfm.reasoning import PROBLEMS, canonical, read
from adfm.records import Region, Response, Reward, Sample
from adfm.rewards import RewardSettings, reward

COUNT = int(os.environ.get("ADFM_FUZZ", "100000"))
SHAPE = re.compile(
    r"[ \t\r\n]*<locate>(.*)</locate>[ \t\r\n]*<examine>(.*)</examine>[ \t\r\n]*<answer>(.*)</answer>[ \t\r\n]*",
    re.DOTALL,
)


def no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("repeated key")
    return dict(pairs)


def strict_by_the_letter(text: str, frame: Frame) -> bool:
    """The strict format of design 1.2, written a second time and with other means."""
    shape = SHAPE.fullmatch(text)
    tags = [f"<{slash}{block}>" for block in ("locate", "examine", "answer") for slash in ("", "/")]
    if not shape or any(text.count(tag) != 1 for tag in tags):
        return False
    try:
        located, answer = (json.loads(shape[n], object_pairs_hook=no_repeats) for n in (1, 3))
    except ValueError:
        return False
    if not isinstance(located, list) or not isinstance(answer, dict) or set(answer) != {"verdict", "regions"}:
        return False
    regions = answer["regions"]
    if not isinstance(regions, list) or (answer["verdict"], bool(regions)) not in (
        ("normal", False),
        ("anomalous", True),
    ):
        return False
    return all(strict_region(entry, frame) for entry in located + regions) and max(len(located), len(regions)) <= 64


def strict_region(entry: Any, frame: Frame) -> bool:
    if not isinstance(entry, dict) or set(entry) != {"bbox_2d", "label"} or not isinstance(entry["label"], str):
        return False
    box = entry["bbox_2d"]
    if not isinstance(box, list) or [type(edge) in (int, float) for edge in box] != [True] * 4:
        return False
    return 0 <= box[0] < box[2] <= frame.units_x and 0 <= box[1] < box[3] <= frame.units_y


def fault(response: Response, earned: Reward, sample: Sample, frame: Frame, strict: bool) -> str | None:
    """What must hold of every response and reward; the first thing that does not."""
    boxes = [region.box for region in (*response.regions, *(response.located or ()))]
    rules = {
        "strict iff no problem": response.strict == (not response.problems),
        "strict as the second reader says": response.strict == strict,
        "problems are known, unique, in order": list(response.problems)
        == [n for n in PROBLEMS if n in response.problems],
        "verdict": response.verdict in (None, "normal", "anomalous"),
        "normal has no regions": response.verdict != "normal" or not response.regions,
        "boxes inside": all(0 <= b.x1 < b.x2 <= frame.width and 0 <= b.y1 < b.y2 <= frame.height for b in boxes),
        "caps": len(boxes) <= 128,
        "finite": all(math.isfinite(value) for value in (earned.total, earned.grounding or 0.0)),
        "verdict reward": earned.verdict == float(response.verdict == sample.label),
        "range": -1.05 <= (earned.grounding or 0) <= 1.5 and 0 <= earned.format <= 1 and earned.total <= 3.5,
    }
    return next((rule for rule, holds in rules.items() if not holds), None)


def test_mutated_answers() -> None:
    settings = RewardSettings()
    strict_ones = unread = 0
    for sample, frame, text in corpus(COUNT, seed=7):
        response = read(text, frame)
        strict = strict_by_the_letter(text, frame)
        found = fault(response, reward(response, sample, settings), sample, frame, strict)
        assert found is None, (found, text, frame, response)
        strict_ones += strict
        unread += response.verdict is None
    assert 0.05 < strict_ones / COUNT < 0.6  # the corpus reaches both sides
    assert 0.05 < unread / COUNT < 0.9


SAMPLE, FRAME = sample_and_frame(random.Random(1))
HELD = read(canonical(SAMPLE, FRAME), FRAME)
OUTSIDE = Region(Box(0, 0, FRAME.width + 1, 1), "")


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (replace(HELD, problems=("no_regions",)), "strict iff no problem"),
        (replace(HELD, strict=False, problems=("no_regions",)), "strict as the second reader says"),
        (replace(HELD, located=(OUTSIDE,)), "boxes inside"),
        (replace(HELD, verdict=None), "verdict reward"),
        (replace(HELD, verdict="maybe"), "verdict"),
    ],
)
def test_the_rules_do_catch_a_broken_reader(broken: Response, rule: str) -> None:
    earned = reward(HELD, SAMPLE, RewardSettings())
    assert fault(HELD, earned, SAMPLE, FRAME, True) is None
    assert fault(broken, earned, SAMPLE, FRAME, True) == rule
