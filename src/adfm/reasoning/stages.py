"""Which blocks a model writes before it decides: three sets, from the full reasoning to the bare verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Block = Literal["locate", "examine", "answer"]
StagesName = Literal["full", "locate_answer", "verdict"]


@dataclass(frozen=True)
class Stages:
    """A set of blocks: its name and the blocks that an answer holds, in order. The last one is always `answer`."""

    name: StagesName
    blocks: tuple[Block, ...]


FULL = Stages("full", ("locate", "examine", "answer"))
LOCATE_ANSWER = Stages("locate_answer", ("locate", "answer"))
VERDICT = Stages("verdict", ("answer",))

STAGES: dict[str, Stages] = {stages.name: stages for stages in (FULL, LOCATE_ANSWER, VERDICT)}
