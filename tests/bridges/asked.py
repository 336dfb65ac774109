"""Questions to export: anomalous, normal, of unknown places, with a hostile name, in a frame of resized pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adfm.bridges import Question
from adfm.geometry import Box, Frame
from adfm.reasoning import FULL, Stages
from adfm.records import Sample
from adfm.rewards.truth import Truth

BAD = Sample(
    "cap/1",
    "1.png",
    100,
    80,
    "anomalous",
    "cap",
    "bent_lead",
    None,
    (Box(10, 20, 30, 70), Box(0, 0, 5, 80)),
    "train",
    "0",
)
OK = replace(BAD, id="cap/2", image="2.png", label="normal", defect=None, boxes=())
UNPLACED = replace(BAD, id="cap/3", image="3.png", boxes=None, split="test")
LOOSE = replace(
    BAD, id="cap/4", image="4.png", split="test", defect="scratch", boxes=(Box(0, 0, 100, 80),), tight=False
)
HOSTILE = replace(
    BAD,
    id="../<image>\ud800",
    image="5.png",
    category='<image>\n<|image_pad|>"\ud800: !function os',
    defect="</locate>",
)
SAMPLES = (BAD, OK, UNPLACED, LOOSE, HOSTILE)


def ask(frame: str = "resized:112x84", stages: Stages = FULL, samples: tuple[Sample, ...] = SAMPLES) -> list[Question]:
    """Return a question for each sample."""
    return [
        Question(Truth(each, Frame.parse(frame, each.width, each.height), stages), Path("/data") / each.image)
        for each in samples
    ]
