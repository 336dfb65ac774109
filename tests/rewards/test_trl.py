"""The three functions that TRL calls: the same rewards, one reading per answer, None where grounding does not apply."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from mutations import corpus

import adfm.rewards.trl as bridge
from adfm.errors import DataError
from adfm.geometry import Box
from adfm.reasoning import canonical, read, read_answer
from adfm.records import Sample
from adfm.rewards import RewardSettings, Weights, reward
from adfm.rewards.trl import completion_text, reward_weights, trl_rewards

BAD = Sample("a", "a.png", 100, 80, "anomalous", "cap", "scratch", None, (Box(10, 10, 30, 30),), "train", "0")
SETTINGS = RewardSettings(preset="set_iou", weights=Weights(format=0.25, verdict=1, grounding=2))


def call(
    functions: list[bridge.TrlReward], texts: list[str], ids: list[str], frames: list[str]
) -> list[list[float | None]]:
    """Call as TRL does: everything by name, with columns and hooks that the functions do not use."""
    completions = [[{"role": "assistant", "content": text}] for text in texts]
    columns = {"sample_id": ids, "frame": frames, "trainer_state": object(), "log_metric": print, "label": ids}
    return [f(prompts=ids, completions=completions, completion_ids=[[1]] * len(ids), **columns) for f in functions]


def test_the_weighted_sum_is_the_total() -> None:
    cases = [(f"s{n}", *case) for n, case in enumerate(corpus(2000, seed=5))]
    random.Random(0).shuffle(cases)
    samples = {name: sample for name, sample, _, _ in cases}
    functions = trl_rewards(samples, SETTINGS)
    columns = call(functions, [c[3] for c in cases], [c[0] for c in cases], [c[2].name for c in cases])
    for (_, sample, frame, text), terms in zip(cases, zip(*columns, strict=True), strict=True):
        earned = reward(read(text, frame), sample, SETTINGS)
        assert terms == (earned.format, earned.verdict, earned.grounding)
        weighted = sum(w * term for w, term in zip(reward_weights(SETTINGS), terms, strict=True))
        assert weighted == pytest.approx(earned.total, abs=1e-12)


def test_names_and_weights_agree() -> None:
    assert [function.__name__ for function in trl_rewards({})] == ["format", "verdict", "grounding"]
    assert reward_weights(SETTINGS) == [0.25, 1, 2]


def test_an_answer_is_read_once_for_all_three(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    monkeypatch.setattr(bridge, "read_answer", lambda text, *a: reads.append(text) or read_answer(text, *a))
    texts = [canonical(BAD, bridge.Frame.original(100, 80)), "nothing", "nothing"]
    call(trl_rewards({"a": BAD}), texts, ["a"] * 3, ["original"] * 3)
    assert reads == texts[:2]
    call(trl_rewards({"a": BAD}, memo=1), texts[:2], ["a"] * 2, ["original"] * 2)
    assert len(reads) == 2 + 6  # a memo of one holds nothing for the next function: the bound is kept


def test_the_frame_is_part_of_what_is_remembered() -> None:
    text = canonical(BAD, bridge.Frame.thousand(100, 80))
    *_, grounding = call(trl_rewards({"a": BAD}, SETTINGS), [text] * 2, ["a"] * 2, ["0-1000", "original"])
    assert grounding == [1.0, 0.0]


def test_columns_of_another_length_are_refused() -> None:
    for texts, ids, frames in ((2, 1, 2), (1, 2, 2), (2, 2, 1)):
        with pytest.raises(ValueError, match="zip"):
            call(trl_rewards({"a": BAD}), ["x"] * texts, ["a"] * ids, ["original"] * frames)


def test_a_part_without_text_adds_nothing() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image", "text": None}, {"type": "image"}, {"text": "b"}]
    assert completion_text([{"role": "assistant", "content": parts}]) == "ab"


def test_no_grounding_where_the_places_are_unknown() -> None:
    columns = call(trl_rewards({"a": replace(BAD, boxes=None)}), ["nothing"], ["a"], ["original"])
    assert columns == [[0.0], [0.0], [None]]


def test_an_unknown_sample_is_an_error() -> None:
    with pytest.raises(DataError, match="'b' is not among the training samples"):
        call(trl_rewards({"a": BAD}), ["x"], ["b"], ["original"])


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("plain", "plain"),
        ([{"role": "assistant", "content": "chat"}], "chat"),
        ([{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}], "ab"),
        ([{"role": "assistant", "content": None}], ""),
        ([], ""),
    ],
)
def test_the_text_of_a_completion(completion: object, text: str) -> None:
    assert completion_text(completion) == text
