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
from adfm.calibration import decision as calibration_decision
from adfm.errors import DataError
from adfm.geometry import Box, Frame
from adfm.inspection import inspector
from adfm.inspection.inspector import Inspector
from adfm.inspection.verdict import Verdict
from adfm.models.base import Answer
from adfm.reasoning import PROBLEMS, STAGES, Protocol, ask, canonical, read
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


REGION = '{"bbox_2d": [4, 5, 20, 21], "label": "scratch"}'
LOCATED, EXAMINED = "<locate>[]</locate>", "<examine>1: a scratch at [4, 5, 20, 21], defect</examine>"
EMPTY = '<answer>{"verdict": "normal", "regions": []}</answer>'
NORMAL = f"{LOCATED}\n{EXAMINED}\n{EMPTY}"


def saying(answer: str, locate: str = "[]") -> str:
    """A whole answer with these contents of its blocks."""
    return f"<locate>{locate}</locate>\n{EXAMINED}\n<answer>{answer}</answer>"


DROPPED = {
    "regions listed": saying(f'{{"verdict": "normal", "regions": [{REGION}]}}'),
    "regions twice": saying(f'{{"verdict": "normal", "regions": [{REGION}], "regions": []}}'),
    "regions as text": saying('{"verdict": "normal", "regions": "[4, 5, 20, 21]"}'),
    "regions as an object": saying(f'{{"verdict": "normal", "regions": {REGION}}}'),
    "no regions at all": saying('{"verdict": "normal"}'),
    "regions null": saying('{"verdict": "normal", "regions": null}'),
    "another case": saying(f'{{"verdict": "normal", "regions": [], "Regions": [{REGION}]}}'),
    "another key": saying(f'{{"verdict": "normal", "regions": [], "defects": [{REGION}]}}'),
    "a key with a space": saying(f'{{"verdict": "normal", "regions": [], "regions ": [{REGION}]}}'),
    "a box of text": saying('{"verdict": "normal", "regions": [{"bbox_2d": "4,5,20,21"}]}'),
    "a box outside": saying('{"verdict": "normal", "regions": [{"bbox_2d": [900, 5, 990, 21], "label": "x"}]}'),
    "a located box outside": saying(
        '{"verdict": "normal", "regions": []}', '[{"bbox_2d": [900, 5, 990, 21], "label": "x"}]'
    ),
    "a located entry that is no object": saying('{"verdict": "normal", "regions": []}', "[[4, 5, 20, 21]]"),
    "locate is no list": saying('{"verdict": "normal", "regions": []}', REGION),
    "locate is no JSON": saying('{"verdict": "normal", "regions": []}', "a scratch"),
    "locate is too deep": saying('{"verdict": "normal", "regions": []}', "[" * 9 + "]" * 9),
    "too many located": saying('{"verdict": "normal", "regions": []}', f"[{', '.join([REGION] * 65)}]"),
    "a second locate block": f"<locate>[{REGION}]</locate>{NORMAL}",
    "locate is not closed": f"<locate>[{REGION}]{EXAMINED}{EMPTY}",
    "locate is not opened": f"[{REGION}]</locate>{EXAMINED}{EMPTY}",
    "a second answer": f'{NORMAL}<answer>{{"verdict": "anomalous", "regions": [{REGION}]}}</answer>',
    "a block of another case": f'{NORMAL}<Answer>{{"verdict": "anomalous", "regions": [{REGION}]}}</Answer>',
    "a list behind the blocks": f"{NORMAL}\n[{REGION}]",
    "a list and only an answer": f"[{REGION}]\n{EMPTY}",
    "coordinates in words": f"There is a scratch at (4, 5), (20, 21).\n{EMPTY}",
    "another model's box": f"<box>4 5 20 21</box>{EMPTY}",
    "the answer before what it is about": f"{EMPTY}<locate>[{REGION}]</locate>{EXAMINED}",
}


@pytest.mark.parametrize("form", DROPPED)
def test_normal_beside_what_was_not_read_is_for_a_person(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = inspected(DROPPED[form], 0.1, HALF)
    assert verdict.decision == "REVIEW" and verdict.warnings
    if form not in ("regions listed", "a box of text", "a box outside", "a second answer"):
        monkeypatch.setattr(calibration_decision, "HARMLESS", frozenset(PROBLEMS))
        assert inspected(DROPPED[form], 0.1, HALF).decision == "OK"  # control: only the list of problems holds it back


@pytest.mark.parametrize(
    "text",
    [
        NORMAL,
        EMPTY,
        f"{LOCATED}{EMPTY}",
        f"The part is fine.\n{NORMAL}\nDone.",
        saying('{"verdict": "normal", "regions": []}', f"[{REGION}]"),  # located, examined, cleared
        f"I am sorry, I cannot help with images. {EMPTY}",  # a block in the asked form is taken at its word
    ],
)
def test_normal_is_ok_where_nothing_is_left_unread(text: str) -> None:
    assert decision(text) == "OK"


def test_anomalous_beside_what_was_not_read_is_still_ng() -> None:
    assert decision(f"[{REGION}]\n{NG_TEXT}") == "NG"


REMAINS = st.sampled_from(
    [
        *(f"[{REGION}]", REGION, f'"regions": [{REGION}]', '"bbox_2d": [4, 5, 20, 21]', "(4, 5, 20, 21)"),
        *(f"<locate>[{REGION}]</locate>", f"<answer>{REGION}</answer>", f'"Regions": [{REGION}]'),
    ]
)
FIRST_OF_EXAMINE, LAST_OF_EXAMINE = NORMAL.index(EXAMINED) + len("<examine>"), NORMAL.index("</examine>")


def no_remain_is_ok(remain: str, place: int, cut: int, joint: str) -> None:
    """Put a region's remain anywhere into a normal answer but into its prose, perhaps over some of its characters."""
    if FIRST_OF_EXAMINE <= place <= LAST_OF_EXAMINE:
        place = len(NORMAL)
    text = NORMAL[:place] + joint + remain + joint + NORMAL[place + cut :]
    found = inspected(text, 0.1, HALF)
    assert found.decision == "REVIEW" or found.located, text  # located: it became a readable suspicion that was cleared


@given(REMAINS, st.integers(0, len(NORMAL)), st.integers(0, 8), st.sampled_from(["", " ", ",", ", ", "\n"]))
@settings(max_examples=500, deadline=None)
def test_no_answer_with_a_regions_remain_is_ok(remain: str, place: int, cut: int, joint: str) -> None:
    no_remain_is_ok(remain, place, cut, joint)


def test_control_a_decision_that_overlooks_remains_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration_decision, "HARMLESS", frozenset(PROBLEMS))

    @given(REMAINS, st.integers(0, len(NORMAL)), st.integers(0, 8), st.sampled_from(["", " ", ",", ", ", "\n"]))
    @settings(max_examples=500, deadline=None, database=None, report_multiple_bugs=False)
    def property_of(remain: str, place: int, cut: int, joint: str) -> None:
        no_remain_is_ok(remain, place, cut, joint)

    with pytest.raises(AssertionError):
        property_of()


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
        assert response.verdict == "normal" and calibration_decision.HARMLESS.issuperset(response.problems)
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
