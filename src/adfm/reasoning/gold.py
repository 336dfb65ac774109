"""The canonical answer of a sample: what a perfect model would write, for supervised targets and the gold check.

That it earns full marks is checked by `adfm.rewards.gold_fault`, because rewards are a row above.
"""

from __future__ import annotations

import json
from typing import Any

from adfm.geometry import Box, Frame
from adfm.reasoning.prompts import one_line
from adfm.reasoning.stages import FULL, Block, Stages
from adfm.records import Sample

SUSPICIOUS = "suspicious"


def canonical(sample: Sample, frame: Frame, *, stages: Stages = FULL, focus: Box | None = None) -> str:
    """Return the canonical answer, its boxes rounded to `frame`'s text units.

    Args:
        sample: the image and its truth, boxes in original pixels.
        frame: the units that the model writes.
        stages: the blocks that the answer holds.
        focus: where a normal part looks most suspicious, in original pixels. By default the middle of the image.

    An anomalous sample of unknown places points at the middle. Its answer is strict and is judged on its verdict.
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
