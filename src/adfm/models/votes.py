"""A score from several sampled answers instead of one token's odds: the share of them that say `anomalous`.

The verdict and the boxes stay those of the greedy answer. Left out: any use of what the samples say beside the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from PIL.Image import Image

from adfm.errors import ConfigError
from adfm.geometry import Frame
from adfm.models.base import Answer, Model, Sampler
from adfm.reasoning import FULL, Stages, read
from adfm.records import Votes
from adfm.storage import sha256_bytes

ScoreName = Literal["odds", "votes"]
SCORES: tuple[ScoreName, ...] = get_args(ScoreName)
DEFAULT_VOTES = 8


def scored(
    model: Sampler, score: ScoreName, *, votes: int = DEFAULT_VOTES, seed: int = 0, stages: Stages = FULL
) -> Model:
    """Return the model with the score that a user asked for: the verdict token's odds, or votes.

    Raises:
        ConfigError: the number of votes is below 2.
    """
    return model if score == "odds" else VotingModel(model, votes, seed=seed, stages=stages)


class VotingModel:
    """A model whose scores are shares of votes; `seed` and the picture alone decide what is drawn.

    Raises:
        ConfigError: the number of votes is below 2.
    """

    def __init__(self, model: Sampler, votes: int, *, seed: int = 0, stages: Stages = FULL) -> None:
        if votes < 2:
            raise ConfigError(f"{votes} votes: at least 2 are needed; for one answer take the score by odds")
        self._model, self._votes, self._seed, self._stages = model, votes, seed, stages
        self.name = model.name
        self.revision = model.revision
        self.scoring = f"votes:{votes} temperature:1 seed:{seed}"

    def frame(self, width: int, height: int) -> Frame:
        """Return the frame in which it writes boxes on a picture of this size, in original pixels."""
        return self._model.frame(width, height)

    def answer(self, pictures: Sequence[Image], prompts: Sequence[str]) -> list[Answer]:
        """Answer one prompt per picture, greedily; the scores are shares of `votes` further, sampled answers."""
        texts = [answer.text for answer in self._model.answer(pictures, prompts)]
        names = [_name(picture, prompt) for picture, prompt in zip(pictures, prompts, strict=True)]
        drawn = [
            self._model.sample(pictures, prompts, [_seed(f"{self._seed} {vote} {name}") for name in names])
            for vote in range(self._votes)
        ]
        counts = [self._counted(picture, row) for picture, row in zip(pictures, zip(*drawn, strict=True), strict=True)]
        return [Answer(text, count.score, votes=count) for text, count in zip(texts, counts, strict=True)]

    def _counted(self, picture: Image, answers: Sequence[str]) -> Votes:
        frame = self.frame(picture.width, picture.height)
        verdicts = [read(answer, frame, stages=self._stages).verdict for answer in answers]
        return Votes(verdicts.count("anomalous"), verdicts.count("normal"), verdicts.count(None))


def _name(picture: Image, prompt: str) -> str:
    """A picture and its prompt by their content, so that the same question draws the same answers anywhere."""
    return sha256_bytes(f"{picture.size} {prompt}".encode("utf-8", "replace") + picture.tobytes())


def _seed(text: str) -> int:
    return int(sha256_bytes(text.encode())[:15], 16)
