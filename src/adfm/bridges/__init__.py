"""Manifests in the formats of other tools: one file per tool, pure functions from samples to the bytes of its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from adfm.bridges import coco, easyr1, fiftyone, lmms_eval, ms_swift, verl
from adfm.bridges.question import Question

__all__ = ["BRIDGES", "Bridge", "Question"]


class Bridge(Protocol):
    """What a bridge module offers.

    `ASKS` says whether its files hold prompts (then the model's frame is needed), `ANSWERS` whether they hold canonical
    answers, `LOAD` how the tool is told of the folder `{out}`, by the example of one `{split}`.
    """

    NAME: str
    ASKS: bool
    ANSWERS: bool
    LOAD: str

    def files(self, questions: Sequence[Question]) -> dict[str, bytes]:
        """Return the content of each file by its name; nothing is written."""


_ALL: tuple[Bridge, ...] = (verl, easyr1, ms_swift, coco, fiftyone, lmms_eval)
BRIDGES: dict[str, Bridge] = {bridge.NAME: bridge for bridge in _ALL}
