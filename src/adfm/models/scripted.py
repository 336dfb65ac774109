"""A model that answers from a list: the whole chain can be tested without weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL.Image import Image

from adfm.geometry import Frame
from adfm.models.base import Answer, Prompt, Shown, turn


class ScriptedModel:
    """Answers by calling `script(picture, prompt)`; writes boxes in original pixels.

    Of several pictures the script sees the last one, the part in question, and all texts of the turn joined by newlines.
    """

    def __init__(self, script: Callable[[Image, str], Answer], name: str = "scripted") -> None:
        self._script = script
        self.name = name
        self.revision = "none"
        self.scoring = "odds"

    def frame(self, width: int, height: int) -> Frame:
        """Return the frame of original pixels."""
        return Frame.original(width, height)

    def answer(self, pictures: Sequence[Shown], prompts: Sequence[Prompt]) -> list[Answer]:
        """Answer each prompt by the script."""
        turns = [turn(shown, prompt) for shown, prompt in zip(pictures, prompts, strict=True)]
        return [self._script(_last_picture(parts), _text(parts)) for parts in turns]


def _last_picture(parts: Sequence[Image | str]) -> Image:
    return next(part for part in reversed(parts) if isinstance(part, Image))


def _text(parts: Sequence[Image | str]) -> str:
    return "\n".join(part for part in parts if isinstance(part, str))
