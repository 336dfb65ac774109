"""What every model looks like to the stages above it: pictures and prompts in, answers with a score out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from PIL.Image import Image

from adfm.geometry import Frame
from adfm.records import Votes


class Answer(NamedTuple):
    """One raw answer and how sure of `anomalous` the model is.

    `score` is from 0 to 1, None where there is none; `log_odds` is the same before it is squeezed, natural logarithm
    (None where the score is no probability of one token); `votes` are there where the score is a share of votes.
    """

    text: str
    score: float | None
    log_odds: float | None = None
    votes: Votes | None = None


class Model(Protocol):
    """Something that answers prompts about pictures; `scoring` says where its scores come from."""

    name: str
    revision: str
    scoring: str

    def frame(self, width: int, height: int) -> Frame:
        """Return the frame in which it writes boxes on a picture of this size, in original pixels."""

    def answer(self, pictures: Sequence[Image], prompts: Sequence[str]) -> list[Answer]:
        """Answer one prompt per picture, greedily."""


Turn = Sequence[Image | str]
"""What one prompt shows and says: pictures and texts, in the order in which the model meets them."""


class Reader(Model, Protocol):
    """A model that can also be shown several pictures in one prompt, or none."""

    def answer_turns(self, turns: Sequence[Turn]) -> list[Answer]:
        """Answer each prompt, greedily."""


class Sampler(Model, Protocol):
    """A model that can also draw answers."""

    def sample(self, pictures: Sequence[Image], prompts: Sequence[str], seeds: Sequence[int]) -> list[str]:
        """Draw one answer per picture at temperature 1; a row's answer depends on its seed and not on its neighbours."""
