"""What every model looks like to the stages above it: questions in, answers with a score out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from typing import Protocol as Interface

from adfm.geometry import Frame
from adfm.reasoning import Protocol, Question
from adfm.records import Votes


class Answer(NamedTuple):
    """One raw answer and how sure of `anomalous` the model is.

    `score` is from 0 to 1, None where there is none. `log_odds` is its natural log-odds, None where the score is no
    probability of one token. `votes` are the counts where the score is a share of votes.
    """

    text: str
    score: float | None
    log_odds: float | None = None
    votes: Votes | None = None


class Model(Interface):
    """Something that answers questions about images.

    Attributes:
        name: what the user called it.
        revision: changes whenever the weights do.
        scoring: where its scores come from.
        protocol: what it was trained to be asked.
    """

    name: str
    revision: str
    scoring: str
    protocol: Protocol

    def frame(self, width: int, height: int) -> Frame:
        """Return the frame in which it writes boxes on an image of this size, in original pixels."""

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Answer each question, greedily, as one batch."""


class SamplingModel(Model, Interface):
    """A model that can also draw answers."""

    def sample(self, questions: Sequence[Question], seeds: Sequence[int]) -> list[str]:
        """Draw one answer to each question at temperature 1. Its seed decides it, whatever else is in the batch."""
