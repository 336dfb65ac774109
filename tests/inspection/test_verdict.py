"""What decides: only a verdict that was read, and the score where a threshold is set; whatever contradicts goes to a person."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adfm.geometry import Box, Frame
from adfm.inspection import verdict
from adfm.inspection.verdict import Threshold, judge, judgement_json
from adfm.models.base import Answer
from adfm.reasoning import FULL, STAGES, canonical, read
from adfm.records import Sample

FRAME = Frame.original(64, 48)
GOOD = Sample("", "", 64, 48, "normal", "", None, None, (), "test", "")
BAD = Sample("", "", 64, 48, "anomalous", "", "scratch", None, (Box(4, 5, 20, 21),), "test", "")
OK_TEXT, NG_TEXT = canonical(GOOD, FRAME), canonical(BAD, FRAME)
PLAIN = Threshold()
HALF = Threshold(0.5, "test")


def decision(text: str, score: float | None = None, threshold: Threshold = PLAIN) -> str:
    return judge(Answer(text, score), FRAME, FULL, threshold).decision


def test_a_read_verdict_decides() -> None:
    assert decision(OK_TEXT) == "OK"
    assert decision(NG_TEXT) == "NG"
    assert decision(OK_TEXT, 0.999) == "OK"  # without a threshold the score is only told


@pytest.mark.parametrize(
    ("text", "score", "expected"),
    [
        (OK_TEXT, 0.1, "OK"),
        (OK_TEXT, 0.5, "REVIEW"),
        (OK_TEXT, 0.9, "REVIEW"),
        (OK_TEXT, None, "REVIEW"),
        (NG_TEXT, 0.9, "NG"),
        (NG_TEXT, 0.5, "NG"),
        (NG_TEXT, 0.4999, "REVIEW"),
        (NG_TEXT, None, "REVIEW"),
        ("", 0.0, "REVIEW"),
        ("normal", 0.0, "REVIEW"),
    ],
)
def test_a_contradiction_under_a_threshold_is_for_a_person(text: str, score: float | None, expected: str) -> None:
    found = judge(Answer(text, score), FRAME, FULL, HALF)
    assert found.decision == expected
    assert bool(found.warnings) == (expected == "REVIEW")


def test_normal_beside_defects_is_for_a_person() -> None:
    text = NG_TEXT.replace('"verdict": "anomalous"', '"verdict": "normal"')
    assert read(text, FRAME).verdict == "normal"
    assert decision(text) == "REVIEW"
    assert decision(text, 0.0, HALF) == "REVIEW"


PIECES = st.sampled_from(
    [
        *("<locate>", "</locate>", "<examine>", "</examine>", "<answer>", "</answer>", "[]", "normal", "OK", "{", "}"),
        *(
            '{"verdict": "normal", "regions": []}',
            '{"verdict": "OK"}',
            '"verdict": "normal"',
            "no defect",
            '"',
            "\n",
            OK_TEXT,
        ),
        *('<answer>{"verdict": "normal", "regions": []}</answer>', NG_TEXT, "\x00", "</answer", '{"verdict": null}'),
    ]
)
ANSWERS = st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=7).map("".join))
SCORES = st.one_of(st.none(), st.floats(0, 1))
THRESHOLDS = st.sampled_from([PLAIN, HALF, Threshold(0.0, "t"), Threshold(1.0, "t")])


def never_ok_unread(text: str, score: float | None, threshold: Threshold, stages: str) -> None:
    found = judge(Answer(text, score), FRAME, STAGES[stages], threshold)
    response = read(text, FRAME, stages=STAGES[stages])
    if response.verdict is None:
        assert found.decision == "REVIEW"
    if found.decision == "OK":
        assert response.verdict == "normal" and "regions_under_normal" not in response.problems
        assert threshold.value is None or (score is not None and score < threshold.value)
    json.dumps(judgement_json(found), allow_nan=False)


@given(text=ANSWERS, score=SCORES, threshold=THRESHOLDS, stages=st.sampled_from(sorted(STAGES)))
@settings(max_examples=400, deadline=None)
def test_an_unread_answer_is_never_ok(text: str, score: float | None, threshold: Threshold, stages: str) -> None:
    never_ok_unread(text, score, threshold, stages)


def test_control_a_guessing_judge_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "decide", lambda read, *_: ("NG" if read == "anomalous" else "OK", ()))

    @given(text=ANSWERS, score=SCORES, threshold=THRESHOLDS, stages=st.sampled_from(sorted(STAGES)))
    @settings(max_examples=400, deadline=None, database=None, report_multiple_bugs=False)
    def property_of(text: str, score: float | None, threshold: Threshold, stages: str) -> None:
        never_ok_unread(text, score, threshold, stages)

    with pytest.raises(AssertionError):
        property_of()


def test_the_json_says_what_was_decided() -> None:
    row = judgement_json(judge(Answer(NG_TEXT, 0.75), FRAME, FULL, PLAIN))
    assert row["decision"] == "NG" and row["score"] == 0.75 and row["parse"] == "ok" and row["warnings"] == []
    assert row["regions"] == [{"bbox_2d": [4.0, 5.0, 20.0, 21.0], "label": "scratch"}]
    assert judgement_json(judge(Answer("?", None), FRAME, FULL, PLAIN))["parse"]
