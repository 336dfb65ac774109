"""What answers that know nothing of the defects earn under each preset: `python benchmarks/hacking.py` prints a table.

Every hack knows the right verdict, which favours it. Only the places are unknown to it. The honest answers are the
canonical one, two imperfect ones and a miss. `docs/rewards.md` holds the table and a test checks that it is current.
"""
# ruff: noqa: S311

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from adfm.geometry import Box, Frame
from adfm.reasoning import PIXELS, canonical, prompt, read
from adfm.records import Label, Response, Sample
from adfm.rewards import PRESETS, RewardSettings, reward

SEED = 20260101
COUNT = 300
SPRAYS = (2, 4, 8, 16, 64)


def random_sample(rng: random.Random, label: Label) -> Sample:
    """An image of 64 to 1500 pixels a side. An anomalous one has 1 to 5 boxes of 4 to 35 % of the side."""
    width, height = rng.randint(64, 1500), rng.randint(64, 1500)
    count = 0 if label == "normal" else rng.choice((1, 1, 1, 2, 2, 3, 4, 5))
    boxes = tuple(sorted(_random_box(rng, width, height) for _ in range(count)))
    return Sample("s", "s.png", width, height, label, "part", "scratch", None, boxes, "test", "0")


def _random_box(rng: random.Random, width: int, height: int) -> Box:
    w, h = (max(3, round(side * rng.uniform(0.04, 0.35))) for side in (width, height))
    x, y = rng.randint(0, width - w), rng.randint(0, height - h)
    return Box(x, y, x + w, y + h)


def answer(verdict: str, boxes: Sequence[Sequence[object]], located: Sequence[Sequence[object]] | None = None) -> str:
    """A well-formed answer; `located` is the boxes unless given."""
    regions = [{"bbox_2d": list(box), "label": "defect"} for box in boxes]
    places = [{"bbox_2d": list(box), "label": "defect"} for box in (boxes if located is None else located)]
    decided = json.dumps({"verdict": verdict, "regions": regions})
    return f"<locate>{json.dumps(places)}</locate>\n<examine>1: defect</examine>\n<answer>{decided}</answer>"


def _shifted(sample: Sample, share: float, rng: random.Random) -> str:
    """Each true box found, but moved by `share` of its side both ways (inside the image, where it can be)."""
    if not sample.anomalous:
        return canonical(sample, _frame(sample))
    moved = [_move(box, share, sample, rng) for box in sample.boxes or ()]
    return answer("anomalous", moved)


def _move(box: Box, share: float, sample: Sample, rng: random.Random) -> Box:
    dx, dy = (round(share * side * rng.choice((-1, 1))) for side in (box.x2 - box.x1, box.y2 - box.y1))
    dx = -dx if not 0 <= box.x1 + dx <= box.x2 + dx <= sample.width else dx
    dy = -dy if not 0 <= box.y1 + dy <= box.y2 + dy <= sample.height else dy
    edges = (max(box.x1 + dx, 0), max(box.y1 + dy, 0), min(box.x2 + dx, sample.width), min(box.y2 + dy, sample.height))
    return Box(*map(int, edges))


def _missed(sample: Sample, rng: random.Random) -> str:
    """The right number of boxes of the right sizes, each anywhere in the image."""
    if not sample.anomalous:
        return canonical(sample, _frame(sample))
    return answer("anomalous", [_thrown(box, sample, rng) for box in sample.boxes or ()])


def _thrown(box: Box, sample: Sample, rng: random.Random) -> Box:
    w, h = int(box.x2 - box.x1), int(box.y2 - box.y1)
    x, y = rng.randint(0, sample.width - w), rng.randint(0, sample.height - h)
    return Box(x, y, x + w, y + h)


def _grid(sample: Sample) -> str:
    """64 boxes: the image divided into 8 x 8."""
    xs, ys = ([side * n // 8 for n in range(9)] for side in (sample.width, sample.height))
    boxes = [(xs[i], ys[j], xs[i + 1], ys[j + 1]) for j in range(8) for i in range(8)]
    return answer(sample.label, boxes if sample.anomalous else [], located=boxes)


def _spray(sample: Sample, count: int, rng: random.Random) -> str:
    boxes = [_random_box(rng, sample.width, sample.height) for _ in range(count)]
    return answer(sample.label, boxes if sample.anomalous else [], located=boxes)


def _one_box(sample: Sample, box: Sequence[object]) -> str:
    return answer(sample.label, [box] if sample.anomalous else [], located=[box])


def _frame(sample: Sample) -> Frame:
    return Frame.original(sample.width, sample.height)


Policy = Callable[[Sample, random.Random], str]

HONEST: dict[str, Policy] = {
    "canonical answer": lambda s, _: canonical(s, _frame(s)),
    "every box off by 10 % of its side": lambda s, rng: _shifted(s, 0.1, rng),
    "every box off by 25 % of its side": lambda s, rng: _shifted(s, 0.25, rng),
    "right number and sizes, wrong places": _missed,
}
CANONICAL, CLOSE, ROUGH, MISS = HONEST

HACKS: dict[str, Policy] = {
    "empty answer": lambda *_: "",
    "verdict in prose": lambda s, _: f"The part is {s.label}.",
    "copied prompt": lambda *_: prompt(category="part", frame_hint=PIXELS),
    "canonical answer twice (duplicated tags)": lambda s, _: canonical(s, _frame(s)) * 2,
    "right verdict, no box": lambda s, _: answer(s.label, []),
    "swapped corners": lambda s, _: _one_box(s, (s.width, s.height, 0, 0)),
    "huge numbers": lambda s, _: _one_box(s, (-1e308, -1e308, 1e308, 1e308)),
    "whole-image box": lambda s, _: _one_box(s, (0, 0, s.width, s.height)),
    "central box of half the side": lambda s, _: _one_box(
        s, (s.width // 4, s.height // 4, s.width * 3 // 4, s.height * 3 // 4)
    ),
    **{f"{n} sprayed boxes": lambda s, rng, n=n: _spray(s, n, rng) for n in SPRAYS},  # type: ignore[misc]
    "8 x 8 grid of boxes": lambda s, _: _grid(s),
}


POLICIES: dict[str, Policy] = {**HONEST, **HACKS}


class Measured(NamedTuple):
    """One policy under one preset: mean totals, and how it compares with honest answers on anomalous parts."""

    anomalous: float
    normal: float
    beats_canonical: float
    """Share of the anomalous parts on which it earns more than the canonical answer."""
    beats_rough: float
    """Share on which it earns more than boxes that are off by 25 % of their side."""
    break_even: float
    """How often an honest model must hit (off by 25 %, else miss) to earn as much; 0 where a miss earns as much."""


def samples_of(label: Label, count: int, seed: int = SEED) -> list[Sample]:
    """`count` random samples; the same seed gives the same ones."""
    rng = random.Random(f"{seed} {label}")
    return [random_sample(rng, label) for _ in range(count)]


def responses_of(policy: Policy, samples: Sequence[Sample], seed: int = SEED) -> list[Response]:
    """The policy's answer to each sample, read."""
    rng = random.Random(seed)
    return [read(policy(s, rng), _frame(s)) for s in samples]


def totals(responses: Sequence[Response], samples: Sequence[Sample], preset: str) -> list[float]:
    """The total of each answer."""
    settings = RewardSettings(preset=preset)
    return [reward(response, s, settings).total for response, s in zip(responses, samples, strict=True)]


def measure(count: int = COUNT, seed: int = SEED) -> dict[str, dict[str, Measured]]:
    """Every policy on `count` random anomalous and `count` random normal samples, under every preset."""
    bad, good = (samples_of(label, count, seed) for label in ("anomalous", "normal"))
    on_bad = {name: responses_of(policy, bad, seed) for name, policy in POLICIES.items()}
    on_good = {name: responses_of(policy, good, seed) for name, policy in POLICIES.items()}
    result = {}
    for preset in PRESETS:
        earned = {name: totals(read_, bad, preset) for name, read_ in on_bad.items()}
        cleared = {name: totals(read_, good, preset) for name, read_ in on_good.items()}
        result[preset] = {name: _measured(name, earned, cleared[name]) for name in POLICIES}
    return result


def _measured(name: str, earned: dict[str, list[float]], cleared: list[float]) -> Measured:
    hit, miss, mine = _mean(earned[ROUGH]), _mean(earned[MISS]), earned[name]
    return Measured(
        anomalous=_mean(mine),
        normal=_mean(cleared),
        beats_canonical=_share_above(mine, earned[CANONICAL]),
        beats_rough=_share_above(mine, earned[ROUGH]),
        break_even=max(0.0, (_mean(mine) - miss) / (hit - miss)),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _share_above(values: Sequence[float], others: Sequence[float]) -> float:
    return sum(a > b + 1e-9 for a, b in zip(values, others, strict=True)) / len(values)


def table(measured: dict[str, dict[str, Measured]]) -> str:
    """The table of `docs/rewards.md`."""
    columns = ("anomalous", "normal", "beats 25 % off", "break-even")
    head = ["answer", *(f"`{preset}` {column}" for preset in PRESETS for column in columns)]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for name in POLICIES:
        cells = [_cells(name, measured[preset][name]) for preset in PRESETS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cells(name: str, row: Measured) -> str:
    hacks = f"{row.beats_rough:.1%} | {row.break_even:.0%}" if name in HACKS else "- | -"
    return f"{row.anomalous:.3f} | {row.normal:.3f} | {hacks}"


if __name__ == "__main__":
    print(table(measure()))
