"""The reward of an answer: rule by rule, settings, and full marks for every canonical answer."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hacking import random_sample
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import sample_and_frame

from adfm.config import make_settings
from adfm.errors import ConfigError
from adfm.geometry import Box, Frame
from adfm.reasoning import STAGES, VERDICT, Protocol, StagesName, canonical, read, tasks
from adfm.records import LABELS, Region, Response, Reward, Sample
from adfm.rewards import PRESETS, RewardSettings, Weights, gold_fault, maximum, reward

TRUE = (Box(10, 10, 30, 30), Box(50, 50, 90, 70))
BAD = Sample("a", "a.png", 100, 80, "anomalous", "cap", "scratch", None, TRUE, "test", "0")
GOOD = replace(BAD, label="normal", defect=None, boxes=())
UNPLACED = replace(BAD, boxes=None)
PAPER, SET_IOU = RewardSettings(), RewardSettings(preset="set_iou")


def response(
    verdict: str | None, boxes: tuple[Box, ...] = (), located: int | None = 1, *, strict: bool = True
) -> Response:
    regions = tuple(Region(box, "x") for box in boxes)
    looked = None if located is None else tuple(Region(TRUE[0], "x") for _ in range(located))
    return Response(verdict, regions, looked, "", strict, () if strict else ("text_outside",))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "sample", "paper", "set_iou"),
    [
        (response("anomalous", TRUE), BAD, Reward(1, 1, 1.5, 3.5), Reward(1, 1, 1, 3)),
        (response("anomalous", TRUE, strict=False), BAD, Reward(0, 1, 1.5, 2.5), Reward(0, 1, 1, 2)),
        (response("anomalous", TRUE[:1]), BAD, Reward(1, 1, 1.25, 3.25), Reward(1, 1, 0.5, 2.5)),
        (response("anomalous", (), strict=False), BAD, Reward(0, 1, -1.05, -0.05), Reward(0, 1, 0, 1)),
        (response("normal"), BAD, Reward(1, 0, 0, 1), Reward(1, 0, 0, 1)),
        (response(None, TRUE, strict=False), BAD, Reward(0, 0, 0, 0), Reward(0, 0, 0, 0)),
        (response("normal", located=1), GOOD, Reward(1, 1, 0.5, 2.5), Reward(1, 1, 0.5, 2.5)),
        (response("normal", located=0), GOOD, Reward(1, 1, 0, 2), Reward(1, 1, 0, 2)),
        (response("normal", located=2), GOOD, Reward(1, 1, -0.1, 1.9), Reward(1, 1, -0.1, 1.9)),
        (response("normal", located=None, strict=False), GOOD, Reward(0, 1, 0, 1), Reward(0, 1, 0, 1)),
        (response("anomalous", TRUE), GOOD, Reward(1, 0, 0, 1), Reward(1, 0, 0, 1)),
        (response(None, located=1, strict=False), GOOD, Reward(0, 0, 0, 0), Reward(0, 0, 0, 0)),
        (response("anomalous", TRUE), UNPLACED, Reward(1, 1, None, 2), Reward(1, 1, None, 2)),
        (response("normal"), UNPLACED, Reward(1, 0, None, 1), Reward(1, 0, None, 1)),
        (response("anomalous", TRUE), replace(BAD, boxes=()), Reward(1, 1, -1.05, 0.95), Reward(1, 1, 0, 2)),
    ],
)
def test_the_rules(answer: Response, sample: Sample, paper: Reward, set_iou: Reward) -> None:
    for preset, wanted in ((PAPER, paper), (SET_IOU, set_iou)):
        earned = reward(answer, sample, preset)
        assert (earned.format, earned.verdict) == (wanted.format, wanted.verdict)
        assert earned.grounding == (None if wanted.grounding is None else pytest.approx(wanted.grounding))
        assert earned.total == pytest.approx(wanted.total)


def test_weights_and_alpha() -> None:
    weighted = RewardSettings(weights=Weights(format=0.5, verdict=2, grounding=3), alpha=2)
    assert reward(response("anomalous", TRUE), BAD, weighted) == Reward(1, 1, 3, 0.5 + 2 + 9)
    assert reward(response("anomalous", TRUE), UNPLACED, weighted) == Reward(1, 1, None, 2.5)
    assert maximum(BAD, weighted).total == 11.5


@pytest.mark.parametrize(
    "values",
    [
        {"preset": "best"},
        {"alpha": -1},
        {"alpha": math.inf},
        {"alpha": math.nan},
        {"weights": {"format": math.nan}},
        {"weights": {"format": -1}},
        {"weights": {"format": 1e300}},
        {"weights": {"format": 0, "verdict": 0, "grounding": 0}},
        {"weights": {"location": 1}},
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        make_settings(RewardSettings, values, "recipe.yaml")


def test_a_verdict_only_reward_is_a_setting() -> None:
    only = make_settings(RewardSettings, {"weights": {"grounding": 0}}, "recipe.yaml")
    assert reward(response("anomalous", ()), BAD, only).total == 2


edges = st.floats(0, 1) | st.sampled_from([0.0, 1.0, 5e-324, 1e-300, 0.5])
spans = st.tuples(edges, edges).map(sorted)
boxes_in = (
    st.tuples(spans, spans)
    .map(lambda s: (s[0][0], s[1][0], s[0][1], s[1][1]))
    .filter(lambda e: e[0] * 100 < e[2] * 100 and e[1] * 80 < e[3] * 80)
)
region_lists = st.lists(
    boxes_in.map(lambda e: Region(Box(e[0] * 100, e[1] * 80, e[2] * 100, e[3] * 80), "")), max_size=9
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["normal", "anomalous", None]),
    region_lists,
    st.none() | region_lists,
    st.booleans(),
    st.sampled_from([BAD, GOOD, UNPLACED]),
    st.sampled_from(list(PRESETS)),
)
def test_any_answer_earns_a_finite_reward_that_is_no_more_than_the_maximum(
    verdict: str | None, regions: list[Region], located: list[Region] | None, strict: bool, sample: Sample, preset: str
) -> None:
    chosen = RewardSettings(preset=preset)
    looked = None if located is None else tuple(located)
    earned = reward(Response(verdict, tuple(regions), looked, "", strict, ()), sample, chosen)  # type: ignore[arg-type]
    best = maximum(sample, chosen)
    assert all(math.isfinite(value) for value in (earned.format, earned.verdict, earned.total, earned.grounding or 0))
    assert (earned.grounding is None) == (sample is UNPLACED)
    assert earned.total <= best.total + 1e-12 and (earned.grounding or 0) <= (best.grounding or 0) + 1e-12
    assert earned.total >= (-1.05 if preset == "paper" else -0.1)


# --- gold scores full marks -------------------------------------------------------------------------------------------


def test_gold_scores_full_marks_on_ten_thousand_truths() -> None:
    rng = random.Random(11)
    for _ in range(10_000):
        sample, frame = sample_and_frame(rng)
        preset = rng.choice((PAPER, SET_IOU))
        assert gold_fault(sample, frame, preset) is None, (sample, frame)
        own = Frame.original(sample.width, sample.height)
        earned = reward(read(canonical(sample, own), own), sample, preset)
        assert earned == pytest.approx(maximum(sample, preset), abs=1e-12)


def test_a_corrupted_gold_does_not() -> None:
    rng = random.Random(12)
    for _ in range(2_000):
        sample = random_sample(rng, rng.choice(LABELS))
        frame = Frame.original(sample.width, sample.height)
        text = canonical(sample, frame)
        corrupted = rng.choice((flipped, shifted, shortened))(text)
        for preset in (PAPER, SET_IOU):
            assert reward(read(corrupted, frame), sample, preset).total < maximum(sample, preset).total - 1e-6


def flipped(text: str) -> str:
    return text.replace('"anomalous"', '"?"').replace('"normal"', '"anomalous"').replace('"?"', '"normal"')


def shifted(text: str) -> str:
    """The first final box one pixel narrower; of a normal part's answer, a located region too many."""
    head, answer, tail = text.partition("<answer>")
    if '"bbox_2d": [' not in tail:
        return text.replace("</locate>", "</locate>").replace(
            "<locate>[", '<locate>[{"bbox_2d": [0, 0, 1, 1], "label": ""}, '
        )
    before, key, after = tail.partition('"bbox_2d": [')
    x1, rest = after.split(",", 1)
    return head + answer + before + key + str(int(x1) + 1) + "," + rest


def shortened(text: str) -> str:
    return text.removesuffix("</answer>")


@pytest.mark.parametrize("stages", STAGES)
@pytest.mark.parametrize("sample", [BAD, GOOD, UNPLACED], ids=["bad", "good", "unplaced"])
@pytest.mark.parametrize("preset", [PAPER, SET_IOU], ids=PRESETS)
def test_full_marks_in_every_protocol(stages: StagesName, sample: Sample, preset: RewardSettings) -> None:
    for frame in (Frame.original(100, 80), Frame.thousand(100, 80), Frame(100, 80, 28, 28)):
        assert gold_fault(sample, frame, preset, protocol=Protocol(stages=stages)) is None


def unlocated(text: str) -> str:
    return re.sub("<locate>.*</locate>", "<locate>[]</locate>", text)


def same(text: str) -> str:
    return text


@pytest.mark.parametrize("frame", [Frame.original(100, 80), Frame.thousand(100, 80), Frame(100, 80, 28, 28)])
@pytest.mark.parametrize(
    ("sample", "change", "fault"),
    [
        (BAD, same, None),
        (BAD, shifted, "grounding"),
        (BAD, flipped, "format"),
        (BAD, shortened, "unclosed_answer"),
        (GOOD, same, None),
        (GOOD, unlocated, "grounding of 0.0000 of 0.5000"),
        (GOOD, flipped, "format"),
        (UNPLACED, same, None),
        (UNPLACED, unlocated, None),
        (UNPLACED, lambda _: canonical(GOOD, Frame(100, 80, 28, 28)), "does not give its own label"),
    ],
)
def test_a_task_whose_own_answer_is_wrong_is_named(
    sample: Sample, change: Callable[[str], str], fault: str | None, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = tasks.VERDICT
    wrong = replace(right, target=lambda *given: change(right.target(*given)))
    monkeypatch.setitem(tasks.TASKS, right.name, wrong)
    found = gold_fault(sample, frame)
    assert found is None if fault is None else fault in (found or "")


@pytest.mark.parametrize(
    ("sample", "fault"),
    [
        (replace(BAD, boxes=()), "grounding"),
        (replace(BAD, boxes=(Box(0, 0, 1, 1),) * 65), "too_many_regions"),
        (replace(BAD, boxes=(Box(10, 10, 130, 30),)), "grounding"),
        (replace(BAD, boxes=(Box(10.5, 10, 30, 30),)), "grounding"),
        (replace(BAD, boxes=(Box(-5, 10, 30, 30),)), "grounding"),
    ],
)
def test_truths_that_cannot_score_full_marks_are_named(sample: Sample, fault: str) -> None:
    frame = Frame.original(100, 80)
    for preset in (PAPER, SET_IOU):
        assert fault in (gold_fault(sample, frame, preset) or "")


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([BAD, GOOD]), st.sampled_from(list(PRESETS)))
def test_a_protocol_without_locate_has_no_focus_to_earn(sample: Sample, preset: str) -> None:
    frame = Frame.original(100, 80)
    chosen = RewardSettings(preset=preset)
    earned = reward(read(canonical(sample, frame, stages=VERDICT), frame, stages=VERDICT), sample, chosen)
    assert (earned.total < maximum(sample, chosen).total) == (sample is GOOD)
