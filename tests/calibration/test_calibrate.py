"""Predictions to a calibration: which samples count, what is promised with how many, and the promise through the decision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adfm.calibration.calibrate import Wanted, calibrate, cautions, origin_of
from adfm.calibration.decision import Threshold, decide
from adfm.calibration.record import Level
from adfm.errors import ConfigError, DataError
from adfm.predictions import Prediction
from adfm.reasoning import DEFAULT, Protocol
from adfm.records import Votes

PROVENANCE = {
    "model": "mine",
    "revision": "weights-1",
    "split": "validation",
    "protocol": DEFAULT.model_dump(),
    "samples_sha256": "0",
}
Make = Callable[..., Prediction]


def parts(one: Make, normal: int, anomalous: int, seed: int = 0, saturated: bool = False) -> list[Prediction]:
    """Parts of two overlapping labels; `saturated`: as from a model whose scores are exactly 0 or 1."""
    random = np.random.default_rng(seed)

    def part(number: int, bad: bool) -> Prediction:
        log_odds = float(random.normal(2 if bad else -2, 2))
        score = float(log_odds > 0) if saturated else 1 / (1 + math.exp(-log_odds))
        return one(
            id=f"{number:04d}",
            label="anomalous" if bad else "normal",
            boxes=None if bad else (),
            verdict="anomalous" if log_odds > 0 else "normal",
            score=score,
        )

    return [part(number, number >= normal) for number in range(normal + anomalous)]


def made(predictions: list[Prediction], **wanted: Any) -> Any:
    return calibrate(predictions, PROVENANCE, Wanted(**wanted))


def test_both_promises_with_enough_of_both(one: Make) -> None:
    found = made(parts(one, 80, 60)).calibration
    assert (found.ng.samples, found.normal) == (80, 80) and found.ok is not None and found.ok.samples == 60
    assert found.scaling.method == "temperature" and found.scaling.offset == 0
    assert found.quality is not None and found.warnings == ()
    assert found.measured["normal"]["NG"] <= 4 and found.measured["anomalous"]["OK"] <= 3
    assert [asked.part for asked in found.prompts] == ["nut"]


def test_normal_parts_alone_give_a_threshold_and_no_promise_about_misses(one: Make) -> None:
    found = made(parts(one, 30, 0))
    assert found.calibration.ok is None and found.calibration.scaling.method == "none"
    assert found.calibration.quality is None
    assert any("no promise about escapes" in warning for warning in found.calibration.warnings)
    assert any("the model's own" in warning for warning in found.calibration.warnings)


@pytest.mark.parametrize(
    ("normal", "anomalous", "wanted", "message"),
    [
        (18, 30, {}, "18 readable normal samples .* = 19; add 1 more"),
        (0, 30, {}, "add 19 more"),
        (98, 0, {"alpha": 0.01}, "add 1 more"),
        (30, 18, {"miss": 0.05}, "18 readable anomalous samples .* add 1 more"),
        (30, 9, {"method": "platt"}, "9 anomalous samples cannot fit probabilities"),
    ],
)
def test_too_few_are_refused_with_the_number(
    normal: int, anomalous: int, wanted: dict[str, Any], message: str, one: Make
) -> None:
    with pytest.raises(DataError, match=message):
        made(parts(one, normal, anomalous), **wanted)


def test_the_fewest_are_enough(one: Make) -> None:
    assert made(parts(one, 19, 19)).calibration.ng.samples == 19


def test_unread_parts_are_left_out_and_counted(one: Make) -> None:
    unread = [one(id=f"u{n}", label="normal", boxes=(), verdict=None, score=None) for n in range(5)]
    found = made(parts(one, 19, 0) + unread).calibration
    assert (found.normal, found.unread) == (19, 5)
    with pytest.raises(DataError, match="add 1 more"):
        made(parts(one, 18, 0) + unread)


@pytest.mark.parametrize("changed", [{"alpha": 0.0}, {"alpha": 1.0}, {"alpha": math.nan}, {"miss": -1.0}])
def test_rates_are_checked(changed: dict[str, float], one: Make) -> None:
    with pytest.raises(ConfigError, match="must be above 0 and below 1"):
        made(parts(one, 30, 30), **changed)


def test_the_split_must_be_named_on_purpose(one: Make) -> None:
    some = parts(one, 30, 30)
    with pytest.raises(ConfigError, match="are of the test split and --split is validation"):
        calibrate(some, PROVENANCE | {"split": "test"}, Wanted())
    found = calibrate(some, PROVENANCE | {"split": "test"}, Wanted(split="test")).calibration
    assert any("test split" in warning for warning in found.warnings)
    with pytest.raises(ConfigError, match="has seen these"):
        calibrate(some, PROVENANCE | {"split": "train"}, Wanted(split="train"))
    with pytest.raises(ConfigError):
        calibrate(some, PROVENANCE | {"split": "test+validation"}, Wanted(split="test"))


@pytest.mark.parametrize("broken", [{"revision": None}, {"samples_sha256": 3}, {"protocol": None}])
def test_predictions_of_unknown_origin_are_refused(broken: dict[str, Any], one: Make) -> None:
    with pytest.raises(DataError, match=f"'{next(iter(broken))}' is missing or not valid"):
        calibrate(parts(one, 30, 30), PROVENANCE | broken, Wanted())


def test_a_broken_protocol_is_named(one: Make) -> None:
    broken = {"protocol": DEFAULT.model_dump() | {"stages": "none"}}
    with pytest.raises(DataError, match="'stages' is missing or not valid"):
        calibrate(parts(one, 30, 30), PROVENANCE | broken, Wanted())


def test_the_protocol_of_the_predictions_is_kept(one: Make) -> None:
    other = Protocol(stages="verdict", name_category=False, max_new_tokens=99)
    result = calibrate(parts(one, 30, 30), PROVENANCE | {"protocol": other.model_dump()}, Wanted()).calibration
    assert result.protocol == other and result.stages == "verdict"
    assert [asked.part for asked in result.prompts] == [None]


def test_older_predictions_recorded_two_fields_of_their_protocol(one: Make) -> None:
    older = {name: value for name, value in PROVENANCE.items() if name != "protocol"}
    recorded = older | {"stages": "verdict", "category_in_prompt": False}
    assert origin_of(recorded, "validation")[1] == Protocol(stages="verdict", name_category=False)
    result = calibrate(parts(one, 30, 30), recorded, Wanted()).calibration
    assert (result.protocol, result.stages, result.prompts[0].part) == (None, "verdict", None)
    with pytest.raises(DataError, match="'stages' is missing or not valid"):
        origin_of(older, "validation")


def test_cautions_name_what_a_reader_must_know(one: Make) -> None:
    few, many = Level(log_odds=0.0, rate=0.1, samples=20), Level(log_odds=0.0, rate=0.1, samples=99)
    nut, bolt = one(), one(category="bolt")
    assert cautions([nut], many, many, "validation") == []
    assert "test split" in cautions([nut], many, many, "test")[0]
    assert "no promise about escapes" in cautions([nut], many, None, "validation")[0]
    assert "fewer than 50" in cautions([nut], few, many, "validation")[0]
    assert "mix of 2 categories" in cautions([nut, bolt], many, many, "validation")[0]


def test_log_odds_are_taken_where_every_read_answer_has_them(one: Make) -> None:
    plain = parts(one, 30, 30, saturated=True)
    random = np.random.default_rng(0)
    rich: list[Prediction] = [replace(p, log_odds=float(random.normal(40))) for p in plain]
    assert made(plain).calibration.score_kind == "score"
    assert made(rich, method="none").calibration.score_kind == "log_odds"
    assert made([*rich[1:], plain[0]]).calibration.score_kind == "score"


def test_vote_shares_are_refused(one: Make) -> None:
    voted = [replace(p, votes=Votes(1, 3, 0)) for p in parts(one, 30, 30)]
    with pytest.raises(DataError, match="votes"):
        calibrate(voted, PROVENANCE, Wanted())


def false_reject_rate(one: Make, drift: float, saturated: bool) -> tuple[float, float]:
    """The share of new normal parts that are NG under calibrations of 30 others each, and the bound at 3 standard errors."""
    alpha, fresh, rates = 0.1, 50, []
    new = parts(one, 2000, 0, seed=999, saturated=saturated)
    for seed in range(200):
        threshold = Threshold.of(made(parts(one, 30, 0, seed, saturated), alpha=alpha).calibration)
        some = new[(seed * fresh) % 2000 :][:fresh]
        decisions = [decide(shift(p, drift).verdict, (), shift(p, drift), threshold)[0] for p in some]
        rates.append(decisions.count("NG") / fresh)
    return float(np.mean(rates)), alpha + 3 * float(np.std(rates)) / math.sqrt(len(rates))


def shift(prediction: Prediction, drift: float) -> Prediction:
    from dataclasses import replace

    if not drift or prediction.score is None:
        return prediction
    score = 1 / (1 + (1 / max(prediction.score, 1e-9) - 1) * math.exp(-drift))
    return replace(prediction, score=score, verdict="anomalous" if score > 0.5 else "normal")


@pytest.mark.parametrize("saturated", [False, True])
def test_the_promise_holds_through_the_decision(saturated: bool, one: Make) -> None:
    rate, bound = false_reject_rate(one, 0, saturated)
    assert rate <= bound


def test_control_drift_is_seen_through_the_decision(one: Make) -> None:
    rate, bound = false_reject_rate(one, 3, False)
    assert rate > bound
