"""The truth as a text: it comes back whole, its frame decides what an answer's numbers mean, anything else is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from mutations import corpus

from adfm.errors import ConfigError, DataError
from adfm.geometry import Box, Frame
from adfm.reasoning import STAGES, VERDICT, Protocol, StagesName, canonical, read
from adfm.reasoning.tasks import TASKS
from adfm.records import Sample
from adfm.rewards import RewardSettings, Weights, reward
from adfm.rewards.truth import Truth, flat_settings, rate, read_truth, truth_text

BAD = Sample("a日", "a.png", 100, 80, "anomalous", "cap", "scratch", None, (Box(10, 10, 30, 30),), "train", "0")


@pytest.mark.parametrize(
    "sample",
    [BAD, replace(BAD, boxes=None), replace(BAD, label="normal", defect=None, boxes=()), replace(BAD, mask=("m", "n"))],
)
@pytest.mark.parametrize("frame", ["original", "0-1000", "resized:112x84"])
@pytest.mark.parametrize("stages", STAGES)
def test_a_truth_comes_back_equal(sample: Sample, frame: str, stages: StagesName) -> None:
    truth = Truth(sample, Frame.parse(frame, 100, 80), Protocol(stages=stages))
    text = truth_text(truth)
    assert read_truth(text) == truth
    assert text.isascii()


def test_half_a_character_is_refused() -> None:
    text = truth_text(Truth(replace(BAD, id="a\ud800"), Frame.original(100, 80)))
    with pytest.raises(DataError, match="half a character"):
        read_truth(text)


def test_the_frame_travels_with_the_truth() -> None:
    settings = RewardSettings(preset="set_iou")
    frame = Frame.thousand(100, 80)
    answer = canonical(BAD, frame)
    assert rate(answer, truth_text(Truth(BAD, frame)), settings).grounding == 1.0
    other = rate(answer, truth_text(Truth(BAD, Frame.original(100, 80))), settings)
    assert other.grounding == 0.0 and other.format == 0.0


def test_the_protocol_travels_with_the_truth() -> None:
    answer = canonical(BAD, Frame.original(100, 80), stages=VERDICT)
    assert rate(answer, truth_text(Truth(BAD, Frame.original(100, 80), Protocol(stages="verdict")))).format == 1.0
    assert rate(answer, truth_text(Truth(BAD, Frame.original(100, 80)))).format == 0.0


def test_the_text_has_not_changed() -> None:
    text = (
        '{"sample": {"id": "a", "image": "a.png", "width": 100, "height": 80, "label": "anomalous", "category": "cap", '
        '"defect": "scratch", "mask": null, "boxes": [[10, 10, 30, 30]], "split": "train", "sha256": "0"}, '
        '"frame": "0-1000", "stages": "verdict"}'
    )
    sample, protocol = replace(BAD, id="a"), Protocol(stages="verdict", name_category=False)
    assert truth_text(Truth(sample, Frame.thousand(100, 80), protocol)) == text
    assert read_truth(text) == Truth(sample, Frame.thousand(100, 80), Protocol(stages="verdict"))


def test_a_task_of_an_extension_travels_and_an_unknown_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = Truth(BAD, Frame.original(100, 80), Protocol(task="half"))
    with pytest.raises(DataError, match="task 'half': is not known"):
        read_truth(truth_text(truth))
    monkeypatch.setitem(TASKS, "half", TASKS["verdict"])
    assert read_truth(truth_text(truth)) == truth


def test_any_answer_is_rated_as_by_our_own_reward() -> None:
    for sample, frame, text in corpus(1000, seed=9):
        known = sample if sample.anomalous else replace(sample, defect=None)  # as a manifest has it
        assert rate(text, truth_text(Truth(known, frame))) == reward(read(text, frame), known)


GOOD = json.loads(truth_text(Truth(BAD, Frame.original(100, 80))))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("anomalous", "was not written by"),
        ("[]", "was not written by"),
        ("[" * 100_000, "was not written by"),
        (json.dumps({**GOOD, "stages": "some"}), "was not written by"),
        (json.dumps({**GOOD, "stages": []}), "was not written by"),
        (json.dumps({**GOOD, "frame": 7}), "was not written by"),
        (json.dumps({**GOOD, "frame": "pixels"}), "frame 'pixels': must be"),
        (json.dumps({**GOOD, "sample": {**GOOD["sample"], "label": "odd"}}), "'label' must be one of"),
        (json.dumps({**GOOD, "task": 7}), "was not written by"),
        ({"label": "normal"}, "is dict"),
        (None, "is NoneType"),
    ],
)
def test_anything_else_is_refused_in_one_line(text: object, fault: str) -> None:
    with pytest.raises(DataError, match=fault) as caught:
        rate("x", text)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_flat_settings() -> None:
    given = {"preset": "set_iou", "alpha": 0.25, "grounding": 2}
    assert flat_settings(given) == RewardSettings(preset="set_iou", alpha=0.25, weights=Weights(grounding=2))
    assert flat_settings({}) == RewardSettings()
    with pytest.raises(ConfigError, match="did you mean 'preset'"):
        flat_settings({"preste": "paper"})
