"""Repeated splits: one is the paired difference, means are within a repeat, an image seen twice counts once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from adfm.errors import DataError
from adfm.evaluation import METRICS, evaluate, paired_difference, repeated_difference, repeated_metrics
from adfm.predictions import Prediction

Many = Callable[..., list[Prediction]]


def renamed(run: Sequence[Prediction], name: str) -> list[Prediction]:
    """The same answers on images of other names."""
    return [replace(p, id=f"{name}-{p.id}") for p in run]


def width(bounds: Sequence[float]) -> float:
    return bounds[2] - bounds[0]


def better(run: Sequence[Prediction], count: int) -> list[Prediction]:
    """The run with the first `count` wrong verdicts corrected."""
    wrong = [p.id for p in run if not p.correct][:count]
    return [replace(p, verdict=p.label) if p.id in wrong else p for p in run]


def test_the_mean_is_taken_within_each_repeat(many: Many) -> None:
    runs = [many(80, seed=1, skill=0.9), renamed(many(60, seed=2, skill=0.6), "b")]
    alone = [evaluate(run, resamples=10)["metrics"] for run in runs]
    together = repeated_metrics(runs, resamples=50)
    for name in METRICS:
        each = [cells[name]["value"] for cells in alone]
        assert together[name]["each"] == pytest.approx(each)
        assert together[name]["value"] == pytest.approx(sum(each) / 2)
        assert together[name]["low"] <= together[name]["high"]


def test_scores_of_two_trainings_are_not_ranked_together(many: Many) -> None:
    """Scores shifted in one repeat leave its ranking, and so the mean AUROC; ranked together they would change it."""
    run = [replace(p, score=p.score / 2) for p in many(100) if p.score is not None]
    moved = renamed([replace(p, score=p.score / 2 + 0.5) for p in run if p.score is not None], "b")
    same = repeated_metrics([run, renamed(run, "b")], resamples=10)["auroc"]["value"]
    assert repeated_metrics([run, moved], resamples=10)["auroc"]["value"] == pytest.approx(same)
    assert evaluate([*run, *moved], resamples=10)["metrics"]["auroc"]["value"] != pytest.approx(same, abs=1e-3)


def test_an_image_held_out_twice_counts_once(many: Many) -> None:
    base = many(120, skill=0.6)
    corrected = better(base, 20)
    single = paired_difference(base, corrected, resamples=400)["accuracy"]
    twice = repeated_difference([base] * 2, [corrected] * 2, resamples=400)["accuracy"]
    assert twice == pytest.approx(single)
    others = [[run, renamed(run, "b")] for run in (base, corrected)]  # the control: other images do add certainty
    assert width(repeated_difference(*others, resamples=400)["accuracy"]) < 0.85 * width(single)


def test_groups_are_one_image_in_every_repeat(many: Many) -> None:
    """Tiles of a board in two repeats: other ids, the same board."""
    base = [replace(p, group=f"board {number % 12}") for number, p in enumerate(many(120, skill=0.6))]
    corrected = better(base, 20)
    single = paired_difference(base, corrected, resamples=400)["accuracy"]
    both = [[run, renamed(run, "b")] for run in (base, corrected)]
    assert repeated_difference(*both, resamples=400)["accuracy"] == pytest.approx(single)


def test_a_repeat_must_be_of_the_same_samples(many: Many) -> None:
    run = many(20)
    with pytest.raises(DataError, match="same samples"):
        repeated_difference([run, run], [run, run[1:]])
    with pytest.raises(DataError, match="used twice"):
        repeated_metrics([[*run, run[0]]])
