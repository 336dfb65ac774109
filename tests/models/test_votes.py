"""Scores by votes: drawn from the model's own distribution, decided by seed and picture, never by the batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adfm.errors import ConfigError
from adfm.geometry import Frame
from adfm.models.base import Answer
from adfm.models.local import GumbelNoise, LocalModel, sigmoid
from adfm.models.votes import VotingModel, scored
from adfm.records import Votes

NORMAL = '<answer>{"verdict": "normal", "regions": []}</answer>'
ANOMALOUS = '<answer>{"verdict": "anomalous", "regions": [{"bbox_2d": [1, 1, 9, 9], "label": "x"}]}</answer>'
PROMPT = "Inspect this part."


def pictures(count: int) -> list[Image.Image]:
    random = np.random.default_rng(0)
    sizes = [(64, 64), (90, 40), (40, 90), (120, 77)]
    return [Image.fromarray(random.integers(0, 256, (*sizes[n % 4][::-1], 3), dtype=np.uint8)) for n in range(count)]


class Drawn:
    """A model whose greedy answer is normal and whose drawn answers follow from their seeds alone."""

    name, revision, scoring = "drawn", "none", "odds"

    def __init__(self, answers: Sequence[str]) -> None:
        self.answers = answers
        self.seeds: list[list[int]] = []

    def frame(self, width: int, height: int) -> Frame:
        return Frame.original(width, height)

    def answer(self, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> list[Answer]:
        return [Answer(NORMAL, 0.25, -1.1)] * len(pictures)

    def sample(self, pictures: Sequence[Image.Image], prompts: Sequence[str], seeds: Sequence[int]) -> list[str]:
        self.seeds.append(list(seeds))
        return [self.answers[len(self.seeds) - 1]] * len(pictures)


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ([ANOMALOUS, NORMAL, NORMAL, NORMAL], 0.25),
        ([ANOMALOUS, NORMAL, "?", "?"], 0.5),
        ([ANOMALOUS, "?", "?", "?"], None),
        (["?", "?", "?", "?"], None),
    ],
)
def test_the_score_is_the_share_of_those_read(said: list[str], score: float | None) -> None:
    answer = VotingModel(Drawn(said), 4).answer(pictures(1), [PROMPT])[0]
    assert (answer.text, answer.score, answer.log_odds) == (NORMAL, score, None)
    assert answer.votes == (said.count(ANOMALOUS), said.count(NORMAL), said.count("?"))


def test_unread_votes_never_move_a_score_towards_normal() -> None:
    assert Votes(2, 2, 0).score == Votes(2, 2, 4).score == 0.5
    assert Votes(2, 2, 5).score is None and Votes(0, 0, 0).score is None


def test_seeds_follow_the_picture_the_prompt_and_the_seed_and_nothing_else() -> None:
    shown = pictures(3)

    def seeds(order: Sequence[int], seed: int = 0, prompt: str = PROMPT) -> list[dict[int, int]]:
        model = Drawn([NORMAL] * 3)
        VotingModel(model, 3, seed=seed).answer([shown[i] for i in order], [prompt] * len(order))
        return [dict(zip(order, row, strict=True)) for row in model.seeds]

    whole = seeds([0, 1, 2])
    assert seeds([2, 0, 1]) == whole
    assert [row[1] for row in seeds([1])] == [row[1] for row in whole]
    assert len({value for row in whole for value in row.values()}) == 9  # every vote on every picture its own
    assert not {*seeds([0], seed=1)[0].values()} & {*whole[0].values()}
    assert not {*seeds([0], prompt="x")[0].values()} & {*whole[0].values()}


def test_odds_are_the_default_and_one_vote_is_none() -> None:
    model = Drawn([])
    assert scored(model, "odds") is model
    assert scored(model, "votes", votes=3, seed=5).scoring == "votes:3 temperature:1 seed:5"
    with pytest.raises(ConfigError, match="at least 2"):
        scored(model, "votes", votes=1)


def test_gumbel_noise_draws_from_the_softmax() -> None:
    import torch

    logits = torch.tensor([[0.0, 1.5, -1.0, float("-inf")]])
    noise, counts = GumbelNoise([7], "cpu"), np.zeros(4)
    for _ in range(6000):
        counts[int(noise(None, logits).argmax())] += 1
    expected = torch.softmax(logits[0], 0).numpy()
    assert counts[3] == 0
    assert counts / 6000 == pytest.approx(expected, abs=0.025)  # about 4 standard errors
    assert np.abs(counts / 6000 - 1 / 4).max() > 0.2  # the control: a uniform draw would be seen


def test_a_drawn_answer_depends_on_its_seed_and_not_on_its_neighbours(either: Path) -> None:
    model = LocalModel.load(str(either), max_new_tokens=12)
    shown, prompts, seeds = pictures(4), [PROMPT, PROMPT + " It is a nut.", PROMPT * 3, "x"], [11, 12, 13, 14]
    together = model.sample(shown, prompts, seeds)
    alone = [model.sample([p], [t], [s])[0] for p, t, s in zip(shown, prompts, seeds, strict=True)]
    assert together == alone
    assert model.sample(shown[::-1], prompts[::-1], seeds[::-1]) == together[::-1]
    assert model.sample(shown, prompts, [s + 1 for s in seeds]) != together
    assert together != [answer.text for answer in model.answer(shown, prompts)]


def test_the_odds_do_not_depend_on_the_neighbours() -> None:
    """The bundled model, which does write verdicts; left padding and other pictures change rounding at most."""
    model = LocalModel.load("nano", max_new_tokens=200)
    from adfm.reasoning import PIXELS, prompt

    random = np.random.default_rng(1)
    shown = [Image.fromarray(random.integers(90, 160, (s, s, 3), dtype=np.uint8)) for s in (112, 84, 140)]
    texts = [prompt(category=name, frame_hint=PIXELS) for name in ("nut", "a rather long name of a part", None)]
    together = model.answer(shown, texts)
    alone = [model.answer([picture], [text])[0] for picture, text in zip(shown, texts, strict=True)]
    assert [a.text for a in together] == [a.text for a in alone]
    odds = [[answer.log_odds for answer in answers] for answers in (together, alone)]
    assert None not in odds[0]
    assert odds[0] == pytest.approx(odds[1], abs=1e-3)
    for answer in together:
        assert answer.score == sigmoid(answer.log_odds or 0.0)
    assert len({round(value or 0.0, 2) for value in odds[0]}) > 1  # or the comparison says nothing


def test_sigmoid_does_not_overflow() -> None:
    assert sigmoid(-1e9) == pytest.approx(0, abs=1e-300) and sigmoid(1e9) == 1 and sigmoid(0) == 0.5
