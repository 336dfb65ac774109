"""A score from several sampled answers instead of one token's odds: the share of them that say `anomalous`.

The verdict and the boxes stay those of the greedy answer. Nothing else of the samples is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from adfm.errors import ConfigError
from adfm.geometry import Frame
from adfm.models.base import Answer, Model, SamplingModel
from adfm.reasoning import Question
from adfm.records import Votes
from adfm.storage import sha256_bytes

ScoreName = Literal["odds", "votes"]
DEFAULT_VOTES = 8


def scored(model: SamplingModel, score: ScoreName, *, votes: int = DEFAULT_VOTES, seed: int = 0) -> Model:
    """Return the model with the score that a user asked for: the verdict token's odds, or votes.

    Raises:
        ConfigError: the number of votes is below 2.
    """
    return model if score == "odds" else VotingModel(model, votes, seed=seed)


class VotingModel:
    """A model whose scores are shares of votes. `seed` and the question alone decide what is drawn.

    Raises:
        ConfigError: the number of votes is below 2.
    """

    def __init__(self, model: SamplingModel, votes: int, *, seed: int = 0) -> None:
        if votes < 2:
            raise ConfigError(f"{votes} votes: at least 2 are needed; for one answer take the score by odds")
        self._model, self._votes, self._seed = model, votes, seed
        self.name = model.name
        self.revision = model.revision
        self.protocol = model.protocol
        self.scoring = f"votes:{votes} temperature:1 seed:{seed}"

    def frame(self, width: int, height: int) -> Frame:
        """Return the frame in which it writes boxes on an image of this size, in original pixels."""
        return self._model.frame(width, height)

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Answer each question greedily. The scores are shares of `votes` further, sampled answers."""
        texts = [answer.text for answer in self._model.answer(questions)]
        names = [content_name(question) for question in questions]
        drawn = [
            self._model.sample(questions, [draw_seed(self._seed, vote, name) for name in names])
            for vote in range(self._votes)
        ]
        answers = []
        for question, text, *sampled in zip(questions, texts, *drawn, strict=True):
            verdicts = [question.read(sample).verdict for sample in sampled]
            votes = Votes(verdicts.count("anomalous"), verdicts.count("normal"), verdicts.count(None))
            answers.append(Answer(text, votes.score, votes=votes))
        return answers


def content_name(question: Question) -> str:
    """Name a question by all that it shows and says, so that the same question draws the same answers anywhere."""
    content = b"".join(image.tobytes() for image in question.images)  # type: ignore[union-attr]
    header = " ".join([*(str(image.size) for image in question.images), question.text])  # type: ignore[union-attr]
    return sha256_bytes(header.encode("utf-8", "replace") + content)


def draw_seed(seed: int, vote: int, name: str) -> int:
    """Return the seed of one draw, decided by the user's seed, the vote's number and the question."""
    return int(sha256_bytes(f"{seed} {vote} {name}".encode())[:15], 16)
