"""What decides: only a verdict that was read, and the score where a threshold is set; whatever contradicts goes to a person."""

from __future__ import annotations

import hashlib
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adfm.calibration import Threshold
from adfm.errors import DataError
from adfm.geometry import Box, Frame
from adfm.inspection import inspector
from adfm.inspection.inspector import Inspector
from adfm.inspection.verdict import Verdict
from adfm.models.base import Answer
from adfm.reasoning import STAGES, Protocol, ask, canonical, read
from adfm.reasoning.protocol import StagesName
from adfm.records import Sample
from scripted import ScriptedModel

FRAME = Frame.original(64, 48)
GOOD = Sample("", "", 64, 48, "normal", "", None, None, (), "test", "")
BAD = Sample("", "", 64, 48, "anomalous", "", "scratch", None, (Box(4, 5, 20, 21),), "test", "")
OK_TEXT, NG_TEXT = canonical(GOOD, FRAME), canonical(BAD, FRAME)
PLAIN = Threshold()
HALF = Threshold(0.5, "test")
IMAGE = Image.new("RGB", (64, 48))


def inspected(text: str, score: float | None, threshold: Threshold, stages: StagesName = "full") -> Verdict:
    model = ScriptedModel(lambda *_: Answer(text, score))
    return Inspector(model, protocol=Protocol(stages=stages), threshold=threshold).inspect(IMAGE)


def decision(text: str, score: float | None = None, threshold: Threshold = PLAIN) -> str:
    return inspected(text, score, threshold).decision


def test_a_read_verdict_decides() -> None:
    assert decision(OK_TEXT) == "OK"
    assert decision(NG_TEXT) == "NG"
    assert decision(OK_TEXT, 0.999) == "OK"  # without a threshold the score is only shown


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
    verdict = inspected(text, score, HALF)
    assert verdict.decision == expected
    assert bool(verdict.warnings) == (expected == "REVIEW")


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


def never_ok_unread(text: str, score: float | None, threshold: Threshold, stages: StagesName) -> None:
    verdict = inspected(text, score, threshold, stages)
    response = read(text, FRAME, stages=STAGES[stages])
    if response.verdict is None:
        assert verdict.decision == "REVIEW"
    if verdict.decision == "OK":
        assert response.verdict == "normal" and "regions_under_normal" not in response.problems
        assert threshold.value is None or (score is not None and score < threshold.value)
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json(), allow_nan=False))) == verdict


@given(text=ANSWERS, score=SCORES, threshold=THRESHOLDS, stages=st.sampled_from(sorted(STAGES)))
@settings(max_examples=400, deadline=None)
def test_an_unread_answer_is_never_ok(text: str, score: float | None, threshold: Threshold, stages: StagesName) -> None:
    never_ok_unread(text, score, threshold, stages)


def test_control_a_guessing_decision_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspector, "decide", lambda read, *_: ("NG" if read == "anomalous" else "OK", ()))

    @given(text=ANSWERS, score=SCORES, threshold=THRESHOLDS, stages=st.sampled_from(sorted(STAGES)))
    @settings(max_examples=400, deadline=None, database=None, report_multiple_bugs=False)
    def property_of(text: str, score: float | None, threshold: Threshold, stages: StagesName) -> None:
        never_ok_unread(text, score, threshold, stages)

    with pytest.raises(AssertionError):
        property_of()


def test_the_json_is_the_contract() -> None:
    """Every field, in this order. Users' tools read it."""
    model = ScriptedModel(lambda *_: Answer(NG_TEXT, 0.75), "mine")
    protocol = Protocol(max_new_tokens=99)
    content = io.BytesIO()
    IMAGE.save(content, "PNG")
    made = Inspector(model, protocol=protocol, category="nut", threshold=HALF)
    row = made.inspect(content.getvalue(), name="a.png").to_json()
    timings = row.pop("timings_ms")
    assert list(timings) == ["decode", "answer"] and all(value >= 0 for value in timings.values())
    expected = {
        "schema": "adfm.verdict/1",
        "image": "a.png",
        "sha256": hashlib.sha256(content.getvalue()).hexdigest(),
        "width": 64,
        "height": 48,
        "decision": "NG",
        "score": 0.75,
        "raw_score": 0.75,
        "regions": [{"bbox_2d": [4.0, 5.0, 20.0, 21.0], "label": "scratch"}],
        "located": [{"bbox_2d": [4.0, 5.0, 20.0, 21.0], "label": "scratch"}],
        "explanation": row["explanation"],
        "parse": "ok",
        "warnings": [],
        "model": "mine",
        "revision": "none",
        "prompt_sha256": ask(IMAGE, FRAME, protocol, category="nut").sha256,
        "decoding": {"method": "greedy", "batch": 1, "scoring": "odds"},
        "threshold": 0.5,
        "threshold_origin": "test",
        "review_from": None,
        "protocol": {
            "task": "verdict",
            "stages": "full",
            "name_category": True,
            "shots": 0,
            "max_new_tokens": 99,
        },
        "protocol_overrides": {"max_new_tokens": 99},
    }
    assert row == expected and list(row) == list(expected)
    order = list(made.inspect(content.getvalue()).to_json())
    assert order[12:15] == ["warnings", "timings_ms", "model"]


def test_an_error_has_every_field_too() -> None:
    model = ScriptedModel(lambda *_: Answer(OK_TEXT, 0.1))
    error = Inspector(model).without_answer("a.png", None, "is damaged").to_json()
    assert list(error) == list(Inspector(model).inspect(IMAGE).to_json())
    assert (error["decision"], error["parse"], error["warnings"]) == ("ERROR", ["no_answer"], ["is damaged"])
    assert error["prompt_sha256"] is None and error["protocol_overrides"] == {}


def test_an_unread_answer_names_its_problems() -> None:
    assert inspected("?", None, PLAIN).to_json()["parse"] not in ("ok", [])


@pytest.mark.parametrize("changed", [{"width": "64"}, {"decision": "FINE"}, {"regions": None}, {"score": True}])
def test_a_broken_verdict_is_not_read(changed: dict[str, object]) -> None:
    row = inspected(NG_TEXT, 0.75, HALF).to_json()
    assert Verdict.from_json(row).to_json() == row
    with pytest.raises(DataError, match=next(iter(changed))):
        Verdict.from_json(row | changed)
