"""A score can only turn OK or NG into REVIEW, whatever a calibration says; NG needs a score above its level."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adfm.calibration import decision
from adfm.calibration.decision import Threshold, count_decisions, decide, operating_point
from adfm.calibration.fit import Scaling
from adfm.calibration.record import Asked, Calibration, Level
from adfm.predictions import Prediction
from adfm.reasoning import parse

PLAIN = Threshold()
NUMBERS = st.floats(-1e6, 1e6)
LEVELS = st.builds(Level, log_odds=NUMBERS, rate=st.sampled_from([0.05, 0.5]), samples=st.integers(19, 90))


def calibration(ng: Level, ok: Level | None, slope: float = 1.0, kind: Any = "score") -> Calibration:
    return Calibration(
        schema_name="adfm.calibration/1",
        adfm="0",
        model="m",
        revision="r",
        stages="full",
        prompts=(Asked(part=None, sha256=""),),
        score_kind=kind,
        split="validation",
        samples_sha256="",
        normal=40,
        anomalous=40,
        unread=0,
        ng=ng,
        ok=ok,
        scaling=Scaling(method="platt", slope=slope, offset=0.0),
        measured={},
    )


def level(log_odds: float) -> Level:
    return Level(log_odds=log_odds, rate=0.05, samples=40)


VERDICTS = st.sampled_from([None, "normal", "anomalous"])
PROBLEMS = st.sampled_from([(), ("no_verdict",), ("missing_locate",), ("regions_under_normal",), ("unknown_key",)])
SCORED = st.builds(
    SimpleNamespace,
    score=st.one_of(st.none(), st.floats(0, 1), st.just(math.nan)),
    log_odds=st.one_of(st.none(), st.floats()),
)
CALIBRATIONS = st.builds(
    calibration,
    LEVELS,
    st.one_of(st.none(), LEVELS),
    st.floats(1e-6, 1e6),
    st.sampled_from(["score", "log_odds"]),
)


def only_takes_away(verdict: Any, problems: Any, scored: Any, one: Calibration) -> None:
    found, why = decision.decide(verdict, problems, scored, Threshold.of(one))
    assert found in ("REVIEW", decide(verdict, problems, scored, PLAIN)[0])
    assert bool(why) == (found == "REVIEW")
    if verdict is None:
        assert found == "REVIEW"
    value = decision.evidence(scored, one.score_kind)
    if found == "NG":
        assert value is not None and value > one.ng.log_odds
    if found == "OK":
        assert value is not None and value <= one.ng.log_odds and (one.ok is None or value < one.ok.log_odds)


@given(VERDICTS, PROBLEMS, SCORED, CALIBRATIONS)
@settings(max_examples=500, deadline=None)
def test_no_calibration_makes_an_ok_or_ng(verdict: Any, problems: Any, scored: Any, one: Calibration) -> None:
    only_takes_away(verdict, problems, scored, one)


@pytest.mark.parametrize("broken", ["score alone", "unread passes", "level is NG"])
def test_control_a_decision_that_trusts_the_score_is_caught(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = decision.decide

    def trusting(verdict: Any, problems: Any, scored: Any, threshold: Threshold) -> Any:
        if broken == "score alone":
            return threshold.side(scored) or "OK", ()
        if broken == "unread passes" and verdict is None:
            return "OK", ()
        value = decision.evidence(scored, "score")
        if broken == "level is NG" and value is not None and verdict == "anomalous":
            return ("NG" if value >= 0 else "REVIEW"), (() if value >= 0 else ("x",))
        return honest(verdict, problems, scored, threshold)

    monkeypatch.setattr(decision, "decide", trusting)
    with pytest.raises(AssertionError):
        for verdict in (None, "normal", "anomalous"):
            for score in (None, 0.2, 0.5, 0.8):
                one = calibration(level(0.0), level(-1.0))
                only_takes_away(verdict, (), SimpleNamespace(score=score), one)


@pytest.mark.parametrize(
    ("verdict", "score", "expected"),
    [
        ("anomalous", 0.9, "NG"),
        ("anomalous", 0.5, "REVIEW"),  # on the level: not above it
        ("anomalous", 0.4, "REVIEW"),
        ("anomalous", 0.1, "REVIEW"),
        ("normal", 0.9, "REVIEW"),
        ("normal", 0.5, "REVIEW"),
        ("normal", 0.4, "REVIEW"),
        ("normal", 0.1, "OK"),
        ("normal", None, "REVIEW"),
        ("normal", math.nan, "REVIEW"),
    ],
)
def test_three_ways(verdict: Any, score: float | None, expected: str) -> None:
    levels = Threshold.of(calibration(level(0.0), level(-1.0)))
    assert decide(verdict, (), SimpleNamespace(score=score), levels)[0] == expected


@pytest.mark.parametrize("problem", [*parse.PROBLEMS, "a problem of another reader"])
def test_normal_is_ok_only_beside_problems_that_leave_nothing_unread(problem: str) -> None:
    found, why = decide("normal", (problem,), SimpleNamespace(score=None), PLAIN)
    assert found == ("OK" if problem in ("missing_locate", "missing_examine", "text_outside") else "REVIEW")
    assert bool(why) == (found == "REVIEW")
    assert decide("anomalous", (problem,), SimpleNamespace(score=None), PLAIN)[0] == "NG"


def test_crossed_levels_leave_no_band() -> None:
    """Well separated labels: normal parts lie below 0, anomalous ones above 3; between, the NG level decides."""
    levels = Threshold.of(calibration(level(0.0), level(3.0)))
    assert decide("anomalous", (), SimpleNamespace(score=0.8), levels)[0] == "NG"
    assert decide("normal", (), SimpleNamespace(score=0.4), levels)[0] == "OK"


def test_without_a_miss_level_only_the_ng_level_divides() -> None:
    levels = Threshold.of(calibration(level(0.0), None))
    assert decide("normal", (), SimpleNamespace(score=0.5), levels)[0] == "OK"
    assert levels.review_from is None


def test_a_plain_threshold_with_a_score_that_is_no_number_is_for_a_person() -> None:
    assert decide("normal", (), SimpleNamespace(score=math.nan), Threshold(0.5, "t"))[0] == "REVIEW"


def test_what_is_shown_is_calibrated() -> None:
    levels = Threshold.of(calibration(level(2.0), level(-2.0), slope=0.5))
    assert levels.value == pytest.approx(1 / (1 + math.exp(-1.0)))
    assert levels.review_from == pytest.approx(1 / (1 + math.exp(1.0)))
    assert levels.shown(SimpleNamespace(score=0.5)) == 0.5
    assert levels.shown(SimpleNamespace(score=1.0)) == pytest.approx(1, abs=1e-5)
    assert levels.shown(SimpleNamespace(score=None)) is None
    assert PLAIN.shown(SimpleNamespace(score=0.3)) == 0.3


def test_log_odds_are_used_where_the_calibration_was_made_on_them() -> None:
    levels = Threshold.of(calibration(level(50.0), None, kind="log_odds"))  # beyond where a score saturates
    assert decide("anomalous", (), SimpleNamespace(score=1.0, log_odds=60.0), levels)[0] == "NG"
    assert decide("anomalous", (), SimpleNamespace(score=1.0, log_odds=40.0), levels)[0] == "REVIEW"
    found, why = decide("anomalous", (), SimpleNamespace(score=1.0), levels)
    assert found == "REVIEW" and "no score" in why[0]


def test_counts_and_the_operating_point(one: Callable[..., Prediction]) -> None:
    parts = [
        one(id="a", score=0.9),
        one(id="b", score=0.1, verdict="normal"),
        one(id="c", verdict=None, score=None),
        one(id="d", label="normal", verdict="normal", score=0.1, boxes=()),
        one(id="e", label="normal", verdict="anomalous", score=0.9, boxes=()),
        one(id="f", label="normal", verdict="anomalous", score=0.4, boxes=()),
    ]
    levels = Threshold.of(calibration(level(0.0), level(-1.0)))
    assert count_decisions(parts, levels) == {
        "normal": {"OK": 1, "NG": 1, "REVIEW": 1},
        "anomalous": {"OK": 1, "NG": 1, "REVIEW": 1},
    }
    point = operating_point(parts, levels)
    assert [point[name]["value"] for name in ("miss", "overkill", "review")] == [1 / 3] * 3
    assert point["miss"]["low"] < 1 / 3 < point["miss"]["high"]
    assert operating_point(parts[:3], levels)["overkill"] == {"value": None, "low": None, "high": None}
