"""What every model looks like to the stages above it: pictures and prompts in, answers with a score out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from PIL.Image import Image

from adfm.geometry import Frame


class Answer(NamedTuple):
    """One raw answer; `score` is P(anomalous) from 0 to 1 by the odds of the verdict token, None if that never came."""

    text: str
    score: float | None


class Model(Protocol):
    """Something that answers prompts about pictures."""

    name: str
    revision: str

    def frame(self, width: int, height: int) -> Frame:
        """Return the frame in which it writes boxes on a picture of this size, in original pixels."""

    def answer(self, pictures: Sequence[Image], prompts: Sequence[str]) -> list[Answer]:
        """Answer one prompt per picture, greedily."""
