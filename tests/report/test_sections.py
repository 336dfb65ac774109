"""Each section's records: the headline says what the figures say, the gallery shows the worst first, the curves fit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adfm.evaluation import METRICS
from adfm.evaluation.detection import box_counts
from adfm.report import Difference, ReportInputs, charts, render
from adfm.report.charts import Series, make_chart, nice_axis, points_of, smooth
from adfm.report.confusion import Tally, by_category, by_defect, flips, overall
from adfm.report.gallery import GOOD, POOR, SIDE, WRONG, gallery, shown_size
from adfm.report.tables import comparison, headline
from adfm.report.text import MAX_TEXT, change, flatten, number, plain, span
from adfm.report.training import tones, training_curves

Make = Callable[..., ReportInputs]


@pytest.mark.parametrize(
    ("verdicts", "boxes", "expected"),
    [
        ((0.1, 0.2, 0.3), (0.1, 0.2, 0.3), ("improves on", ", and in mean IoU")),
        ((0.1, 0.2, 0.3), (-0.3, -0.2, -0.1), ("improves on", ", but falls behind it in mean IoU")),
        ((-0.3, -0.2, -0.1), (-0.1, 0.1, 0.2), ("falls behind", ", but does not clearly differ from it in mean IoU")),
        ((-0.1, 0.1, 0.2), (-0.1, 0.1, 0.2), ("does not clearly differ", ", and in mean IoU")),
    ],
)
def test_headline_claims_only_what_the_interval_allows(
    make_inputs: Make,
    verdicts: tuple[float, float, float],
    boxes: tuple[float, float, float],
    expected: tuple[str, str],
) -> None:
    gains = {"balanced_accuracy": verdicts, "mean_iou": boxes}
    inputs = replace(make_inputs(8), differences=(Difference("trained", "base", gains),))
    said = headline(inputs)
    assert all(part in said for part in expected)
    assert said.index("“trained”") < said.index("“base”")
    assert change(verdicts[1], METRICS["balanced_accuracy"]) + " points" in said


def test_headline_of_one_run_and_of_none(make_inputs: Make) -> None:
    inputs = make_inputs(8, (0.9,))
    assert headline(inputs).startswith("base on 8 parts: balanced accuracy")
    assert "training only" in headline(replace(inputs, runs=(), differences=()))


def test_a_difference_is_between_the_named_runs(make_inputs: Make) -> None:
    inputs = make_inputs(30, (0.5, 0.9, 0.7))
    inputs = replace(inputs, differences=inputs.differences[1:])
    assert "“verdict only”" in headline(inputs) and "“trained”" not in headline(inputs)
    (found,) = flips(inputs)
    before = {p.id: p.correct for p in inputs.runs[0].predictions}
    assert found.corrected == sum(p.correct and not before[p.id] for p in inputs.runs[2].predictions)
    assert sum(found[2:]) == 30 and (found.of, found.to) == ("verdict only", "base")


def test_any_number_of_differences_is_shown(make_inputs: Make) -> None:
    inputs = make_inputs(30, (0.5, 0.9, 0.7))
    trained, blind = inputs.differences
    both = replace(inputs, differences=(trained, Difference("verdict only", "trained", blind.metrics)))
    assert headline(both).count("“base”") == 1 and headline(both).count("“trained”") == 2
    assert all(len(line.changes) == 2 for group in comparison(both) for line in group.lines)
    assert [(one.of, one.to) for one in flips(both)] == [("trained", "base"), ("verdict only", "trained")]
    text = render(both)
    assert "trained − base" in text and "verdict only − trained" in text


def test_a_difference_of_an_unknown_run_and_a_second_run_of_one_name_are_refused(make_inputs: Make) -> None:
    inputs = make_inputs(8)
    with pytest.raises(ValueError, match="names 'other'"):
        replace(inputs, differences=(Difference("other", "base", {}),))
    with pytest.raises(ValueError, match="name of its own"):
        replace(inputs, runs=(inputs.runs[0], inputs.runs[0]), differences=())


def test_lower_is_better_where_it_is() -> None:
    assert METRICS["false_positive_rate"].trend(-0.2, -0.1) == "better"
    assert METRICS["accuracy"].trend(-0.2, -0.1) == "worse"
    assert METRICS["accuracy"].trend(0.0, 0.1) == "unclear"


def test_every_metric_has_a_row(make_inputs: Make) -> None:
    rows = [line.metric.name for group in comparison(make_inputs(20)) for line in group.lines]
    assert sorted(rows) == sorted(METRICS)


def _judged(t: Tally) -> int:
    return t.cleared + t.alarms + t.unread_normal + t.caught + t.missed + t.unread_anomalous


def test_confusion_counts_every_part_once(make_inputs: Make) -> None:
    inputs = make_inputs(40)
    for place in (0, 1):
        assert _judged(overall(inputs)[place]) == 40
        assert sum(_judged(row.tallies[place]) for row in by_category(inputs)) == 40
    for one, run in zip(overall(inputs), inputs.runs, strict=True):
        assert one.alarms == sum(not p.anomalous and p.verdict == "anomalous" for p in run.predictions)
        assert one.unread_normal + one.unread_anomalous == sum(p.verdict is None for p in run.predictions)
        assert one.caught == sum(p.anomalous and p.correct for p in run.predictions)
    kinds = by_defect(inputs)
    assert sum(row.anomalous for row in kinds) == sum(p.anomalous for p in inputs.runs[0].predictions)
    shares = [row.tallies[1].caught_share for row in kinds]
    assert shares == sorted(shares)


def test_gallery_shows_confident_mistakes_then_poor_boxes_then_good(make_inputs: Make) -> None:
    inputs = make_inputs(60, (0.5, 0.7))
    judged = {p.id: p for p in inputs.runs[1].predictions}
    wrong, poor, good = gallery(inputs)
    assert wrong.total == sum(not p.correct for p in judged.values()) > len(wrong.parts) == WRONG
    doubts = [judged[part.id].score for part in wrong.parts]
    surety = [0.5 if s is None else 1 - s if judged[part.id].anomalous else s for s, part in zip(doubts, wrong.parts)]
    assert surety == sorted(surety, reverse=True)
    ious = [box_counts(judged[part.id]).set_iou for part in poor.parts]
    assert ious == sorted(ious) and max(ious) < 0.5 and len(poor.parts) <= POOR
    assert all(judged[part.id].correct for part in (*poor.parts, *good.parts)) and len(good.parts) == GOOD
    assert {judged[part.id].label for part in good.parts} == {"normal", "anomalous"}
    assert len({part.id for shelf in (wrong, poor, good) for part in shelf.parts}) == sum(
        len(shelf.parts) for shelf in (wrong, poor, good)
    )


def test_gallery_puts_all_runs_beside_each_other(make_inputs: Make) -> None:
    inputs = make_inputs(20, (0.5, 0.6, 0.7))
    part = gallery(inputs)[0].parts[0]
    assert [one.name for one in part.answers] == ["base", "trained", "verdict only"]
    for one, run in zip(part.answers, inputs.runs, strict=True):
        said = next(p for p in run.predictions if p.id == part.id)
        assert one.right == said.correct and one.verdict == (said.verdict or "unread")
        assert len(one.regions) == len(said.regions)


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_shown_size_keeps_the_shape(width: int, height: int) -> None:
    shown = shown_size(width, height)
    assert 1 <= shown[0] <= SIDE and 1 <= shown[1] <= 460
    if min(shown) > 50:
        assert shown[0] / shown[1] == pytest.approx(width / height, rel=0.02)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.integers(2, 8))
def test_axes_hold_their_values(a: float, b: float, marks: int) -> None:
    low, high = min(a, b), max(a, b)
    axis = nice_axis(low, high, marks, 0, 100)
    slack = 1e-6 * max(abs(low), abs(high), 1e-6)  # values nearer to each other than this are one on a chart
    assert axis.low <= low + slack and axis.high >= high - slack and axis.high > axis.low
    assert 2 <= len(axis.ticks()) <= marks + 3
    assert all(-0.1 <= tick.at <= 100.1 for tick in axis.ticks())


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_steps_are_marked_at_whole_numbers(a: int, b: int) -> None:
    axis = nice_axis(min(a, b), max(a, b), 6, 0, 100, whole=True)
    assert axis.step >= 1 and axis.step == int(axis.step) and axis.low <= min(a, b) and axis.high >= max(a, b)


def test_a_constant_is_shown_above_zero() -> None:
    assert nice_axis(0, 0, 4, 0, 100)[:2] == (0, 1)
    assert nice_axis(0.992, 0.992, 4, 0, 100)[:2] == (0, 1)
    assert nice_axis(-3, -3, 4, 0, 100)[:2] == (-3, 0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=700))
def test_curves_stay_inside_the_chart(values: list[float]) -> None:
    chart = make_chart("x", [Series("a", 0, [(float(i), v) for i, v in enumerate(values)])])
    assert chart is not None
    line = [tuple(map(float, pair.split())) for pair in chart.curves[0].line.removeprefix("M").split("L")]
    assert len(line) <= charts.MAX_POINTS + 1
    assert all(charts.LEFT - 0.1 <= x <= charts.WIDTH and -0.1 <= y <= charts.HEIGHT for x, y in line)


def test_smoothing_keeps_constants_and_means() -> None:
    assert smooth([3.0] * 9, 2) == [3.0] * 9
    assert smooth([0.0, 0.0, 6.0, 0.0, 0.0], 1) == [0.0, 2.0, 2.0, 2.0, 0.0]
    assert smooth([1.0, 2.0], 0) == [1.0, 2.0]


def test_journals_lose_what_is_no_number_and_keep_the_last_of_a_step() -> None:
    rows: list[dict[str, Any]] = [
        {"step": 2, "a": 5},
        {"step": 1, "a": 1},
        {"step": 2, "a": 7},
        {"step": 3, "a": math.nan},
        {"a": 1},
    ]
    rows += [{"step": 4, "a": None}, {"step": 5, "a": True}, {"step": 6, "b": 1}]
    assert points_of(rows, "a") == [(1.0, 1.0), (2.0, 7.0)]
    assert make_chart("x", [Series("a", 0, [])]) is None


def test_trainings_share_a_colour_with_their_evaluation(make_inputs: Make) -> None:
    inputs = make_inputs(8, (0.5, 0.9, 0.7))
    assert tones(inputs) == {"trained": 1, "verdict only": 2}
    assert tones(replace(inputs, journals={"GRPO": (), "Trained": ()})) == {"GRPO": 2, "Trained": 1}


def test_curves_of_all_trainings_meet_in_one_chart(make_inputs: Make) -> None:
    curves = training_curves(make_inputs(8))
    titles = [chart.title for chart in curves.main]
    assert titles[:4] == ["Total reward", "Verdict reward", "Grounding reward", "Format reward"]
    assert [curve.name for curve in curves.main[0].curves] == ["trained", "verdict only"]
    assert "Places located on normal parts – trained" in titles
    assert "Learning rate" in [chart.title for chart in curves.further]


def test_numbers_are_written_as_they_are_read() -> None:
    share, index, boxes = METRICS["accuracy"], METRICS["auroc"], METRICS["box_count_error"]
    assert (number(0.8384, share), number(0.8384, index), number(1.5, boxes)) == ("83.8\u202f%", "0.838", "1.50")
    assert number(None, share) == "–" and span(None, 1.0, share) == ""
    assert span(0.1, 0.25, share) == "10.0 to 25.0"
    assert [change(v, share) for v in (0.123, -0.123, 0.0, -0.00001)] == ["+12.3", "\u221212.3", "0.0", "0.0"]


def test_foreign_text_is_cut_and_cannot_turn_the_line() -> None:
    assert plain("a\x00b\u202ec\r\nd\x1b") == "a\ufffdb\ufffdc\nd\ufffd"
    assert plain("x" * (MAX_TEXT + 5)) == "x" * MAX_TEXT + " … (5 characters more)"


def test_settings_are_flattened() -> None:
    nested = {"a": {"b": 1, "c": {}}, "d": None, "e": True, "f": [1, "x"]}
    assert list(flatten(nested)) == [("a.b", "1"), ("a.c", "{}"), ("d", "–"), ("e", "yes"), ("f", '[1, "x"]')]
