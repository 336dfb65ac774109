"""Intervals cover, differences are paired, the summary is JSON without NaN and blind to the order of the rows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from adfm.errors import DataError
from adfm.evaluation import METRICS, evaluate, paired_difference
from adfm.evaluation.bootstrap import interval, weight_blocks
from adfm.predictions import Prediction
from adfm.records import Reward

Make = Callable[..., Prediction]
Many = Callable[..., list[Prediction]]


def test_summary_is_complete_json(many: Many) -> None:
    predictions = many(120)
    summary = evaluate(predictions, resamples=200)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert set(summary["metrics"]) == set(summary["macro"]) == set(summary["definitions"]) == set(METRICS)
    assert summary["n"] == summary["n_normal"] + summary["n_anomalous"] == 120
    assert sum(part["n"] for part in summary["categories"].values()) == 120
    assert summary["problems"] == {"no_verdict": sum(p.verdict is None for p in predictions)}
    for cell in summary["metrics"].values():
        assert cell["low"] <= cell["value"] <= cell["high"]


def test_same_rows_same_summary_in_any_order(many: Many) -> None:
    predictions = many(60)
    summary = evaluate(predictions, resamples=100)
    assert evaluate(predictions[::-1], resamples=100) == summary
    assert evaluate(predictions, resamples=100, seed=1) != summary


def test_macro_is_the_unweighted_mean_over_categories(one: Make, many: Many) -> None:
    predictions = [*many(90), one(id="x", category="only anomalous")]
    summary = evaluate(predictions, resamples=50)
    for name in METRICS:
        values = [part["metrics"][name]["value"] for part in summary["categories"].values()]
        assert summary["macro"][name]["value"] == pytest.approx(np.mean([v for v in values if v is not None]))
    assert summary["categories"]["only anomalous"]["metrics"]["auroc"] == {"value": None, "low": None, "high": None}


def test_rewards_leave_out_grounding_that_does_not_apply(one: Make) -> None:
    predictions = [one(reward=Reward(1, 1, 0.5, 2.5)), one(id="b", boxes=None, reward=Reward(1, 0, None, 1))]
    assert evaluate(predictions, resamples=10)["rewards"] == {
        "format": 1.0,
        "verdict": 0.5,
        "grounding": 0.5,
        "total": 1.75,
    }


def test_no_predictions_and_repeated_ids_are_refused(one: Make) -> None:
    with pytest.raises(DataError, match="no predictions"):
        evaluate([])
    with pytest.raises(DataError, match="used twice"):
        evaluate([one(), one()])


def test_draws_keep_each_stratum_at_its_size() -> None:
    strata = np.array([0] * 30 + [1] * 7)
    weights = np.concatenate(list(weight_blocks(strata, 400, seed=0)))
    assert (weights[:, :30].sum(axis=1) == 30).all() and (weights[:, 30:].sum(axis=1) == 7).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(37), abs=0.25)
    assert weights.var() == pytest.approx(1, abs=0.1)  # with replacement: nearly Poisson(1), not a permutation


def test_intervals_cover_the_truth_about_as_often_as_they_say(one: Make) -> None:
    """80 runs of 150 anomalous parts with a true recall of 0.8: a 95 % interval must hold it in most, not in all."""
    random = np.random.default_rng(7)
    covered, widths = 0, []
    for _ in range(80):
        hits = random.random(150) < 0.8
        run = [one(id=str(i), verdict="anomalous" if hit else "normal") for i, hit in enumerate(hits)]
        cell = evaluate(run, resamples=200)["metrics"]["recall"]
        covered += cell["low"] <= 0.8 <= cell["high"]
        widths.append(cell["high"] - cell["low"])
    assert 68 <= covered <= 80
    assert np.mean(widths) == pytest.approx(2 * 1.96 * (0.8 * 0.2 / 150) ** 0.5, rel=0.15)


def test_all_right_is_not_certainty(one: Make) -> None:
    normal = [one(id=str(i), label="normal", boxes=(), verdict="normal", regions=(), score=0.1) for i in range(6)]
    cell = evaluate([*normal, one()], resamples=100)["metrics"]
    assert cell["false_positive_rate"]["high"] == pytest.approx(0.459, abs=1e-3)
    assert cell["specificity"]["low"] == pytest.approx(0.541, abs=1e-3)
    # One anomalous part caught: [0.025, 1]; so balanced accuracy is not certain either.
    assert cell["balanced_accuracy"]["low"] == pytest.approx((0.541 + 0.025) / 2, abs=1e-3)
    assert cell["balanced_accuracy"]["high"] == 1


def test_undefined_resamples_are_left_out() -> None:
    assert interval(np.array([np.nan, np.nan])) == (None, None)
    assert interval(np.array([np.nan, 2.0, 2.0])) == (2.0, 2.0)


def test_identical_runs_differ_by_exactly_nothing(many: Many) -> None:
    predictions = many(80)
    difference = paired_difference(predictions, predictions[::-1], resamples=200)
    assert set(difference) == set(METRICS)
    assert all(row == [0.0, 0.0, 0.0] for row in difference.values())


def test_a_changed_run_does_differ(many: Many) -> None:
    """The negative control of the test above, and of the pairing: 30 verdicts mended, nothing made worse."""
    base = many(200, skill=0.6)
    wrong = [p.id for p in base if p.verdict and not p.correct][:30]
    better = [replace(p, verdict=p.label) if p.id in wrong else p for p in base]
    low, mid, high = paired_difference(base, better)["accuracy"]
    assert mid == pytest.approx(30 / 200)
    assert 0.09 < low < mid < high < 0.21
    alone = evaluate(base)["metrics"]["accuracy"]
    assert high - low < alone["high"] - alone["low"]  # pairing removes what the parts have in common


def test_runs_on_other_samples_are_not_compared(many: Many) -> None:
    predictions = many(20)
    with pytest.raises(DataError, match="'00019' differs"):
        paired_difference(predictions, predictions[:-1])
    with pytest.raises(DataError, match="same samples"):
        paired_difference(predictions, [replace(predictions[0], category="z"), *predictions[1:]])
    with pytest.raises(DataError, match="same samples"):
        paired_difference([], [])


def test_a_thousand_resamples_of_a_thousand_parts_are_quick(many: Many) -> None:
    predictions = many(1000)
    start = time.process_time()
    evaluate(predictions, resamples=1000)
    assert time.process_time() - start < 2  # about 0.25 s alone; the bound allows for a busy machine
