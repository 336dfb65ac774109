"""Scores, thresholds, box AP and regions agree to 1e-6 with scikit-learn and with definitions of others, restated here.

torchmetrics, COCO's evaluation code and anomalib are not installed; what is restated says whose definition it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import label as components
from sklearn import metrics as sk

from adfm.calibration.decision import Threshold
from adfm.evaluation.metrics import build_table, values_of
from adfm.geometry import Box, iou
from adfm.predictions import Prediction
from adfm.records import Region, Votes

Make = Callable[..., Prediction]
Many = Callable[..., list[Prediction]]
Floats = NDArray[np.float64]
SEEDS = pytest.mark.parametrize("seed", range(12))


def scored_parts(one: Make, seed: int, n: int = 150, digits: int = 16) -> tuple[list[Prediction], Floats, Floats]:
    """Parts with a score each: the predictions, the truth (1 anomalous) and the scores."""
    random = np.random.default_rng(seed)
    truth = np.concatenate([[1, 0], random.random(n - 2) < 0.4]).astype(float)
    scores = np.round(np.clip(random.normal(0.35 + truth * 0.2, 0.25), 0, 1), digits)
    parts = [
        one(id=f"{i:04d}", score=float(s))
        if t
        else one(id=f"{i:04d}", label="normal", defect=None, boxes=(), regions=(), verdict="normal", score=float(s))
        for i, (t, s) in enumerate(zip(truth, scores, strict=True))
    ]
    return parts, truth, scores


@SEEDS
@pytest.mark.parametrize("digits", [1, 2, 16])
def test_f1_max_is_that_of_sklearns_curve(one: Make, seed: int, digits: int) -> None:
    """anomalib's F1-max is the same curve's (torchmetrics), with 1e-10 added to the denominator."""
    parts, truth, scores = scored_parts(one, seed, digits=digits)
    precision, recall, thresholds = sk.precision_recall_curve(truth, scores)
    f1 = 2 * precision * recall / (precision + recall + 1e-10)
    values = values_of(build_table(parts))
    assert values["f1_max"] == pytest.approx(f1.max(), abs=1e-6)
    at = values["f1_max_threshold"]
    assert at is not None and sk.f1_score(truth, scores >= at) == pytest.approx(f1.max(), abs=1e-6)
    lower = [t for t in thresholds if t < at]
    assert all(sk.f1_score(truth, scores >= t) < values["f1_max"] for t in lower)


@SEEDS
def test_false_rejects_are_those_of_sklearns_roc(one: Make, seed: int) -> None:
    parts, truth, scores = scored_parts(one, seed, digits=2)
    alarms, hits, _ = sk.roc_curve(truth, scores, drop_intermediate=False)
    values = values_of(build_table(parts))
    for recall in (0.99, 0.995, 1.0):
        assert values[f"false_reject@{recall:g}"] == pytest.approx(alarms[hits >= recall - 1e-12].min(), abs=1e-6)


def anomalib_pg(truth: Floats, scores: Floats, missed: float) -> float:
    """anomalib's PGn, restated: the share of good parts below the quantile of the bad ones' scores."""
    accept = np.quantile(scores[truth == 1], missed)
    return float((scores[truth == 0] < accept).mean())


@pytest.mark.parametrize(("bad", "recall"), [(101, 0.99), (201, 0.995), (37, 1.0)])
def test_false_rejects_are_one_minus_anomalibs_pg(bad: int, recall: float, one: Make) -> None:
    """At these sizes its quantile is a score; elsewhere it lies between two and the recall falls short of what is asked."""
    random = np.random.default_rng(bad)
    truth = np.array([1.0] * bad + [0.0] * 120)
    scores = random.random(len(truth)) * 0.7 + truth * 0.3
    parts = [
        one(id=str(i), score=float(s), label="anomalous" if t else "normal", boxes=(), regions=())
        for i, (t, s) in enumerate(zip(truth, scores, strict=True))
    ]
    expected = 1 - anomalib_pg(truth, scores, 1 - recall + 1e-15)
    assert 0 < expected < 1
    assert values_of(build_table(parts))[f"false_reject@{recall:g}"] == pytest.approx(expected, abs=1e-6)


def torchmetrics_ece(truth: Floats, scores: Floats, bins: int = 15) -> float:
    """torchmetrics' `calibration_error` (l1) for probabilities of the positive class, restated."""
    edges = np.linspace(0, 1, bins + 1)
    place = np.digitize(scores, edges[1:-1])
    total = 0.0
    for number in range(bins):
        inside = place == number
        if inside.any():
            total += abs(truth[inside].mean() - scores[inside].mean()) * inside.mean()
    return total


@SEEDS
def test_calibration_errors(one: Make, seed: int) -> None:
    parts, truth, scores = scored_parts(one, seed)
    values = values_of(build_table(parts))
    assert values["brier"] == pytest.approx(sk.brier_score_loss(truth, scores), abs=1e-6)
    assert values["ece"] == pytest.approx(torchmetrics_ece(truth, scores), abs=1e-6)


def test_a_part_without_a_score_is_no_part_of_the_calibration(one: Make) -> None:
    parts, truth, scores = scored_parts(one, 3)
    unread = one(id="x", verdict=None, score=None)
    values = values_of(build_table([*parts, unread]))
    assert values["brier"] == pytest.approx(sk.brier_score_loss(truth, scores), abs=1e-6)
    assert values["ece"] == pytest.approx(torchmetrics_ece(truth, scores), abs=1e-6)
    assert values["f1_max"] is not None and values["false_reject@1"] == 1
    assert values_of(build_table([unread]))["brier"] is None


def test_an_unread_part_is_never_caught_by_a_threshold(one: Make) -> None:
    bad = [one(id="a", score=0.2), one(id="b", verdict=None, score=None)]
    good = one(id="n", label="normal", boxes=(), regions=(), score=0.1)
    values = values_of(build_table([*bad, good]))
    assert values["f1_max"] == pytest.approx(2 / 3) and values["f1_max_threshold"] == 0.2


@SEEDS
@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_the_deployed_decision(many: Many, seed: int, threshold: float) -> None:
    parts = [replace(p, problems=()) for p in many(120, seed)]
    truth = [p.label for p in parts]
    scored = [("anomalous" if p.score >= threshold else "normal") if p.score is not None else "none" for p in parts]
    said = [score if score == p.verdict else "none" for score, p in zip(scored, parts, strict=True)]
    recall = sk.recall_score(truth, said, labels=["normal", "anomalous"], average=None)
    values = values_of(build_table(parts, Threshold(threshold)))
    assert values["decided_balanced_accuracy"] == pytest.approx(recall.mean(), abs=1e-6)
    table = sk.confusion_matrix(truth, said, labels=["normal", "anomalous", "none"])
    assert values["overkill"] == pytest.approx(table[0, 1] / table[0].sum(), abs=1e-6)
    assert values["miss_rate"] == pytest.approx(table[1, 0] / table[1].sum(), abs=1e-6)
    assert values["coverage"] == pytest.approx(1 - said.count("none") / 120, abs=1e-6)


def test_without_a_threshold_the_read_verdict_is_the_decision(many: Many) -> None:
    parts = [replace(p, problems=()) for p in many(120)]
    values = values_of(build_table(parts))
    assert values["decided_balanced_accuracy"] == values["balanced_accuracy"]
    assert values["overkill"] == values["false_positive_rate"]
    assert (
        values_of(build_table(parts, Threshold(0.9)))["overkill"] != values["overkill"]
    )  # the control: a threshold decides


def test_an_undecided_part_is_neither_passed_nor_rejected(one: Make) -> None:
    contradicting = [one(verdict="normal", score=0.9), one(verdict="anomalous", score=0.1)]
    for part in [one(verdict=None, score=0.9), one(score=None), *contradicting]:
        values = values_of(build_table([part], Threshold(0.5)))
        assert (values["coverage"], values["miss_rate"]) == (0, 0)
    assert values_of(build_table(contradicting[:1]))["miss_rate"] == 1  # the control: without a threshold it is passed


def coco_ap(images: Sequence[tuple[Sequence[Box], Sequence[float], Sequence[Box]]], threshold: float) -> float:
    """COCO's AP of one class at one IoU, restated from its evaluation code; equal scores enter together.

    Detections by falling score, each takes the free true box of largest IoU at or above the threshold; precision made
    monotone from the right; read at recall 0, 0.01, ..., 1 by the first detection that reaches it.
    """
    rows = []
    for boxes, scores, true in images:
        free = set(range(len(true)))
        for place in np.argsort(-np.asarray(scores), kind="mergesort"):
            overlaps = {t: iou(boxes[place], true[t]) for t in free}
            best = max(overlaps, key=lambda t: overlaps[t], default=None)
            hit = best is not None and overlaps[best] >= threshold
            if hit:
                free.discard(best)
            rows.append((scores[place], hit))
    rows.sort(key=lambda row: -row[0])
    hits = np.cumsum([hit for _, hit in rows])
    found = np.arange(1, len(rows) + 1)
    ends = [i for i in range(len(rows)) if i + 1 == len(rows) or rows[i + 1][0] != rows[i][0]]
    recall, precision = hits[ends] / sum(len(true) for _, _, true in images), hits[ends] / found[ends]
    for i in range(len(precision) - 1, 0, -1):
        precision[i - 1] = max(precision[i - 1], precision[i])
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.mean([precision[i] if i < len(precision) else 0.0 for i in at]))


def boxed_parts(one: Make, seed: int, most: int, digits: int = 16) -> list[Prediction]:
    """Parts with up to `most` true boxes in cells of their own, so that greedy and largest matching agree."""
    random = np.random.default_rng(seed)
    parts = []
    for number in range(80):
        bad = bool(random.random() < 0.6)
        cells = random.permutation(9)[: random.integers(1, most + 1)] if bad else []
        true = [Box(30 * (c % 3), 30 * (c // 3), 30 * (c % 3) + 20, 30 * (c // 3) + 20) for c in cells]
        moved = [Box(*(np.array(box) + random.integers(0, 9, 2)[[0, 1, 0, 1]])) for box in true]
        false = [Box(0, 95, 5, 100)] if random.random() < 0.3 and len(moved) < most else []
        found = [box for box in moved if random.random() < 0.8] + false
        parts.append(
            one(
                id=f"{number:03d}",
                label="anomalous" if bad else "normal",
                boxes=tuple(true),
                regions=tuple(Region(box, "x") for box in found),
                score=float(np.round(random.random() * 0.8 + 0.2 * bad, digits)),
            )
        )
    return parts


@SEEDS
@pytest.mark.parametrize("threshold", [0.3, 0.5])
@pytest.mark.parametrize(("most", "digits"), [(1, 16), (4, 16), (4, 1)])
def test_box_ap_is_cocos(one: Make, seed: int, threshold: float, most: int, digits: int) -> None:
    """With one box a part and no equal scores this is COCO's own number; with more, COCO's with ties as one step."""
    parts = boxed_parts(one, seed, most, digits)
    images = [([r.box for r in p.regions], [p.score or 0] * len(p.regions), p.boxes or ()) for p in parts]
    expected = coco_ap(images, threshold)
    assert 0 < expected < 1
    assert values_of(build_table(parts))[f"box_ap@{threshold:g}"] == pytest.approx(expected, abs=1e-6)


def test_box_ap_does_not_depend_on_the_order_of_equal_scores(one: Make) -> None:
    parts = boxed_parts(one, 1, 4, digits=1)
    values = {values_of(build_table(order))["box_ap@0.3"] for order in (parts, parts[::-1], parts[7:] + parts[:7])}
    assert len(values) == 1
    plain = [replace(p, score=0.5) for p in parts]
    assert values_of(build_table(plain))["box_ap@0.3"] not in values  # the control: the scores do matter


def test_a_false_box_costs_most_where_the_score_is_high_or_missing(one: Make) -> None:
    good = [one(id=f"a{i}", score=0.6) for i in range(4)]
    normal = one(id="n", label="normal", boxes=(), score=0.1)
    low, high = ([*good, replace(normal, score=s)] for s in (0.1, 0.9))
    missing = [*good, replace(normal, score=None, verdict=None)]
    ap = [values_of(build_table(parts))["box_ap@0.5"] for parts in (low, high, missing)]
    assert ap == [1.0, pytest.approx(0.8), pytest.approx(0.8)]
    assert values_of(build_table([one(regions=())]))["box_ap@0.5"] == 0


def raster(boxes: Sequence[Box], size: int = 100) -> NDArray[np.bool_]:
    mask = np.zeros((size, size), dtype=bool)
    for x1, y1, x2, y2 in boxes:
        mask[int(y1) : int(y2), int(x1) : int(x2)] = True
    return mask


def anomalib_pro(parts: Sequence[Prediction]) -> float:
    """anomalib's per-region overlap at one threshold, restated on masks: mean over components of the share covered."""
    shares = []
    for part in parts:
        regions, count = components(raster(part.boxes or ()))
        found = raster([r.box for r in part.regions]) & (part.verdict is not None)
        shares += [found[regions == number].mean() for number in range(1, count + 1)]
    return float(np.mean(shares))


@SEEDS
def test_region_overlap_is_anomalibs_pro(one: Make, seed: int) -> None:
    parts = boxed_parts(one, seed, 4)
    parts = [replace(p, verdict=None) if i % 9 == 0 else p for i, p in enumerate(parts)]
    expected = anomalib_pro(parts)
    assert 0 < expected < 1
    assert values_of(build_table(parts))["region_overlap"] == pytest.approx(expected, abs=1e-6)


@SEEDS
def test_kinds_weigh_the_same_however_common(many: Many, seed: int) -> None:
    parts = many(150, seed)
    kinds = sorted({(p.category, p.defect) for p in parts if p.anomalous})
    of = {kind: [p for p in parts if p.anomalous and (p.category, p.defect) == kind] for kind in kinds}
    values = values_of(build_table(parts))
    assert values["kind_recall"] == pytest.approx(
        np.mean([np.mean([p.verdict == "anomalous" for p in of[kind]]) for kind in kinds]), abs=1e-6
    )
    overlaps = [values_of(build_table(of[kind]))["region_overlap"] for kind in kinds]
    assert values["kind_region_overlap"] == pytest.approx(np.mean([o for o in overlaps if o is not None]), abs=1e-6)


def test_pointing_game(one: Make) -> None:
    true, miss = Box(10, 10, 30, 30), Box(40, 40, 60, 60)

    def game(*boxes: Box, **changes: object) -> float | None:
        regions = tuple(Region(box, "x") for box in boxes)
        return values_of(build_table([one(regions=regions, boxes=(true, Box(80, 80, 90, 90)), **changes)]))[
            "pointing_game"
        ]

    assert game(true) == game(true, miss) == game(Box(0, 0, 40, 40)) == game(Box(80, 80, 90, 90)) == 1
    assert game(miss, true) == game() == game(true, verdict=None) == 0
    assert game(Box(20, 20, 40, 40)) == 0  # its centre (30, 30) is on the far edge, which is outside
    assert values_of(build_table([one(boxes=None)]))["pointing_game"] is None


def test_votes_that_cannot_be_read_rank_as_wrong_and_do_not_forbid_the_ranking(one: Make) -> None:
    good = one(id="n", label="normal", boxes=(), regions=(), verdict="normal", score=0.5)
    lost = one(id="b", score=None, votes=Votes(1, 1, 6))
    assert values_of(build_table([good, one(), lost]))["auroc"] == 0.5
    assert values_of(build_table([good, one(), replace(lost, votes=None)]))["auroc"] is None
