"""What a model can be asked: a task is its prompt, its reading and its canonical answer (what a perfect model writes)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adfm.errors import ConfigError, nearest
from adfm.extensions import extended
from adfm.geometry import Box, Frame
from adfm.reasoning.parse import read
from adfm.reasoning.prompts import frame_hint, one_line, prompt
from adfm.reasoning.protocol import FULL, Block, Protocol, Stages
from adfm.records import Response, Sample


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: what `Protocol.task` says.
        prompt: (protocol, frame, category or None) -> the text after the image.
        read: (answer, frame, protocol) -> what could be read without guessing. It must be total and linear in the answer.
        target: (sample, frame, protocol, focus) -> the answer of a perfect model, for supervised training. `focus` is
            where a normal part looks most suspicious, in original pixels, or None.
    """

    name: str
    prompt: Callable[[Protocol, Frame, str | None], str]
    read: Callable[[str, Frame, Protocol], Response]
    target: Callable[[Sample, Frame, Protocol, Box | None], str]


SUSPICIOUS = "suspicious"


def canonical(sample: Sample, frame: Frame, *, stages: Stages = FULL, focus: Box | None = None) -> str:
    """Return the canonical answer, its boxes rounded to `frame`'s text units.

    Args:
        sample: the image and its truth, boxes in original pixels.
        frame: the units that the model writes.
        stages: the blocks that the answer holds.
        focus: where a normal part looks most suspicious, in original pixels. By default the middle of the image.

    An anomalous sample of unknown places points at the middle. Its answer is strict and is judged on its verdict.
    `adfm.rewards.gold_fault` checks that an answer earns full marks.
    """
    middle = central_box(sample.width, sample.height)
    if sample.anomalous:
        regions = _regions(sample.boxes or (middle,), defect_label(sample), frame)
        located, lines = regions, [f"{n}: {region['label']}, defect" for n, region in enumerate(regions, 1)]
    else:
        regions = []
        located, lines = _regions((focus or middle,), SUSPICIOUS, frame), ["1: belongs to the part, no defect"]
    content: dict[Block, str] = {
        "locate": json.dumps(located, ensure_ascii=False),
        "examine": "\n".join(lines),
        "answer": json.dumps({"verdict": sample.label, "regions": regions}, ensure_ascii=False),
    }
    return "\n".join(f"<{block}>{content[block]}</{block}>" for block in stages.blocks)


def central_box(width: int, height: int) -> Box:
    """Return the centred box of half the side, in pixels of a `width` x `height` image."""
    return Box(width / 4, height / 4, width * 3 / 4, height * 3 / 4)


def defect_label(sample: Sample) -> str:
    """Return the defect type as words. A folder's name such as `bent_lead` loses its underscores."""
    return one_line((sample.defect or "").replace("_", " ")) or "defect"


def _regions(boxes: tuple[Box, ...], label: str, frame: Frame) -> list[dict[str, Any]]:
    return [{"bbox_2d": [int(edge) for edge in frame.to_text(box)], "label": label} for box in boxes]


VERDICT = Task(
    "verdict",
    prompt=lambda protocol, frame, category: prompt(protocol.blocks, category=category, frame_hint=frame_hint(frame)),
    read=lambda answer, frame, protocol: read(answer, frame, stages=protocol.blocks),
    target=lambda sample, frame, protocol, focus: canonical(sample, frame, stages=protocol.blocks, focus=focus),
)
TASKS: dict[str, Task] = {VERDICT.name: VERDICT}


def read_answer(answer: str, frame: Frame, protocol: Protocol) -> Response:
    """Read an answer under a protocol. Any text gives a `Response`, with boxes in original pixels."""
    return task_named(protocol.task).read(answer, frame, protocol)


def task_named(name: str) -> Task:
    """Return a task of this package or of an installed extension (entry points of the group `adfm.tasks`).

    Raises:
        ConfigError: there is none of that name.
    """
    if name in TASKS:
        return TASKS[name]
    known = extended("adfm.tasks", TASKS)
    if name not in known:
        raise ConfigError(f"task '{name}': is not known{nearest(name, known)}; tasks: {', '.join(known)}")
    return known[name]
