"""A model that answers from a list: the whole chain can be tested without weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL.Image import Image

from adfm.geometry import Frame
from adfm.models.base import Answer, Turn


class ScriptedModel:
    """Answers by calling `script(picture, prompt)`; writes boxes in original pixels.

    Of a prompt with several pictures the script gets the last one and all texts, joined.
    """

    def __init__(self, script: Callable[[Image, str], Answer], name: str = "scripted") -> None:
        self._script = script
        self.name = name
        self.revision = "none"
        self.scoring = "odds"

    def frame(self, width: int, height: int) -> Frame:
        """Return the frame of original pixels."""
        return Frame.original(width, height)

    def answer(self, pictures: Sequence[Image], prompts: Sequence[str]) -> list[Answer]:
        """Answer each picture by the script."""
        return [self._script(picture, prompt) for picture, prompt in zip(pictures, prompts, strict=True)]

    def answer_turns(self, turns: Sequence[Turn]) -> list[Answer]:
        """Answer each prompt by the script."""
        pictures = [[part for part in turn if isinstance(part, Image)][-1] for turn in turns]
        return self.answer(pictures, ["".join(part for part in turn if isinstance(part, str)) for turn in turns])
