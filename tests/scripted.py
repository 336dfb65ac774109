"""A model that answers by a function: the whole chain can be tested without weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL.Image import Image

from adfm.geometry import Frame
from adfm.models.base import Answer
from adfm.reasoning import Question
from adfm.reasoning.protocol import DEFAULT, Protocol


class ScriptedModel:
    """Answers by calling `script(image asked about, all texts)`. It writes boxes in original pixels."""

    def __init__(
        self, script: Callable[[Image, str], Answer], name: str = "scripted", protocol: Protocol = DEFAULT
    ) -> None:
        self._script = script
        self.name = name
        self.revision = "none"
        self.scoring = "odds"
        self.protocol = protocol

    def frame(self, width: int, height: int) -> Frame:
        """Return the frame of original pixels."""
        return Frame.original(width, height)

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Answer each question by the script."""
        return [self._script(question.image, question.text) for question in questions]  # type: ignore[arg-type]
