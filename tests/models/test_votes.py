"""Scores by votes: drawn from the model's own distribution, decided by seed and image, never by the batch."""

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
from adfm.models.votes import VotingModel, content_name, scored
from adfm.reasoning import DEFAULT, Protocol, Question, ask
from adfm.records import Votes

NORMAL = '<answer>{"verdict": "normal", "regions": []}</answer>'
ANOMALOUS = '<answer>{"verdict": "anomalous", "regions": [{"bbox_2d": [1, 1, 9, 9], "label": "x"}]}</answer>'
PROMPT = "Inspect this part."


def images(count: int) -> list[Image.Image]:
    random = np.random.default_rng(0)
    sizes = [(64, 64), (90, 40), (40, 90), (120, 77)]
    return [Image.fromarray(random.integers(0, 256, (*sizes[n % 4][::-1], 3), dtype=np.uint8)) for n in range(count)]


def asking(*parts: str | Image.Image, tokens: int = 12) -> Question:
    """A question of these parts; its answer is at most so many tokens long."""
    return Question(parts, Frame.original(64, 64), Protocol(max_new_tokens=tokens))


class Drawn:
    """A model whose greedy answer is normal and whose drawn answers follow from their seeds alone."""

    name, revision, scoring, protocol = "drawn", "none", "odds", DEFAULT

    def __init__(self, answers: Sequence[str]) -> None:
        self.answers = answers
        self.seeds: list[list[int]] = []

    def frame(self, width: int, height: int) -> Frame:
        return Frame.original(width, height)

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        return [Answer(NORMAL, 0.25, -1.1)] * len(questions)

    def sample(self, questions: Sequence[Question], seeds: Sequence[int]) -> list[str]:
        self.seeds.append(list(seeds))
        return [self.answers[len(self.seeds) - 1]] * len(questions)


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
    answer = VotingModel(Drawn(said), 4).answer([asking(images(1)[0], PROMPT)])[0]
    assert (answer.text, answer.score, answer.log_odds) == (NORMAL, score, None)
    assert answer.votes == (said.count(ANOMALOUS), said.count(NORMAL), said.count("?"))


def test_unread_votes_never_move_a_score_towards_normal() -> None:
    assert Votes(2, 2, 0).score == Votes(2, 2, 4).score == 0.5
    assert Votes(2, 2, 5).score is None and Votes(0, 0, 0).score is None


def test_seeds_follow_the_image_the_prompt_and_the_seed_and_nothing_else() -> None:
    shown = images(3)

    def seeds(order: Sequence[int], seed: int = 0, prompt: str = PROMPT) -> list[dict[int, int]]:
        model = Drawn([NORMAL] * 3)
        VotingModel(model, 3, seed=seed).answer([asking(shown[i], prompt) for i in order])
        return [dict(zip(order, row, strict=True)) for row in model.seeds]

    whole = seeds([0, 1, 2])
    assert seeds([2, 0, 1]) == whole
    assert [row[1] for row in seeds([1])] == [row[1] for row in whole]
    assert len({value for row in whole for value in row.values()}) == 9  # every vote on every image its own
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
    model, seeds = LocalModel.load(str(either)), [11, 12, 13, 14]
    prompts = [PROMPT, PROMPT + " It is a nut.", PROMPT * 3, "x"]
    questions = [asking(image, text) for image, text in zip(images(4), prompts, strict=True)]
    together = model.sample(questions, seeds)
    assert together == [model.sample([q], [s])[0] for q, s in zip(questions, seeds, strict=True)]
    assert model.sample(questions[::-1], seeds[::-1]) == together[::-1]
    assert model.sample(questions, [s + 1 for s in seeds]) != together
    assert together != [answer.text for answer in model.answer(questions)]


def test_questions_with_several_images_are_voted_on(either: Path) -> None:
    local = LocalModel.load(str(either))
    first, second = images(2)
    questions = [asking(first, second, PROMPT), asking(second, first, PROMPT), asking(first, PROMPT)]
    model = VotingModel(local, 3)
    answers = model.answer(questions)
    assert answers == [model.answer([question])[0] for question in questions]  # the batch does not matter
    assert [answer.text for answer in answers] == [answer.text for answer in local.answer(questions)]
    assert all(answer.votes is not None and sum(answer.votes) == 3 for answer in answers)


def test_a_reference_and_its_place_decide_what_is_drawn() -> None:
    first, second, third = images(3)
    names = {
        content_name(asking(*parts, PROMPT))
        for parts in ((first, second), (second, first), (third, first), (first,), (first, second, third))
    }
    assert len(names) == 5
    assert content_name(asking(first, second, PROMPT)) == content_name(asking(first.copy(), second.copy(), PROMPT))


def test_the_odds_do_not_depend_on_the_neighbours() -> None:
    """The bundled model, which does write verdicts; left padding and other images change rounding at most."""
    model = LocalModel.load("nano")
    random = np.random.default_rng(1)
    shown = [Image.fromarray(random.integers(90, 160, (s, s, 3), dtype=np.uint8)) for s in (112, 84, 140)]
    questions = [
        ask(image, model.frame(*image.size), model.protocol, category=name)
        for image, name in zip(shown, ("nut", "a rather long name of a part", None), strict=True)
    ]
    together = model.answer(questions)
    alone = [model.answer([question])[0] for question in questions]
    assert [a.text for a in together] == [a.text for a in alone]
    odds = [[answer.log_odds for answer in answers] for answers in (together, alone)]
    assert None not in odds[0]
    assert odds[0] == pytest.approx(odds[1], abs=1e-3)
    for answer in together:
        assert answer.score == sigmoid(answer.log_odds or 0.0)
    assert len({round(value or 0.0, 2) for value in odds[0]}) > 1  # or the comparison says nothing


def test_sigmoid_does_not_overflow() -> None:
    assert sigmoid(-1e9) == pytest.approx(0, abs=1e-300) and sigmoid(1e9) == 1 and sigmoid(0) == 0.5
