"""The metrics agree with scikit-learn, with brute force and with hand-made cases; undefined ones are NaN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk

from adfm.evaluation import METRICS
from adfm.evaluation.bootstrap import weight_blocks
from adfm.evaluation.definitions import THRESHOLDS
from adfm.evaluation.detection import box_counts, matched_pairs
from adfm.evaluation.metrics import build_table, measure, values_of
from adfm.evaluation.scores import auroc, average_precision, by_score
from adfm.geometry import Box, iou, matched_sum, pairwise, set_iou, union_mask_iou
from adfm.predictions import Prediction
from adfm.records import Region
from adfm.rewards.presets import set_iou_grounding

Make = Callable[..., Prediction]
Many = Callable[..., list[Prediction]]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("digits", [1, 2, 16])
def test_ranks_agree_with_sklearn(seed: int, digits: int) -> None:
    random = np.random.default_rng(seed)
    n = int(random.integers(2, 200))
    truth = np.concatenate([[True, False], random.random(n - 2) < 0.4])
    scores = np.round(np.clip(random.normal(truth * 0.3, 0.5), 0, 1), digits).astype(np.float64)
    weights = np.vstack([np.ones(n), random.integers(0, 4, n)]).astype(float)
    weights[1, :2] += 1  # both classes stay drawn
    positive, negative = by_score(scores, weights, truth, ~truth)
    for row in range(2):
        assert auroc(positive, negative)[row] == pytest.approx(
            sk.roc_auc_score(truth, scores, sample_weight=weights[row]), abs=1e-9
        )
        assert average_precision(positive, negative)[row] == pytest.approx(
            sk.average_precision_score(truth, scores, sample_weight=weights[row]), abs=1e-9
        )


@pytest.mark.parametrize("seed", range(10))
def test_verdict_metrics_agree_with_sklearn(many: Many, seed: int) -> None:
    predictions = many(80, seed)
    truth, said = [p.label for p in predictions], [p.verdict or "unread" for p in predictions]
    values = values_of(build_table(predictions))
    recall = sk.recall_score(truth, said, labels=["normal", "anomalous"], average=None)
    assert values["accuracy"] == pytest.approx(sk.accuracy_score(truth, said), abs=1e-9)
    assert [values["specificity"], values["recall"]] == pytest.approx(recall, abs=1e-9)
    assert values["balanced_accuracy"] == pytest.approx(recall.mean(), abs=1e-9)
    assert values["unread_rate"] == pytest.approx(said.count("unread") / 80)
    normal = [s for s, t in zip(said, truth) if t == "normal"]
    assert values["false_positive_rate"] == pytest.approx(normal.count("anomalous") / len(normal))


def test_balanced_accuracy_is_sklearns_where_all_is_read(many: Many) -> None:
    predictions = [p for p in many(200) if p.verdict]
    truth, said = [p.label for p in predictions], [p.verdict for p in predictions]
    expected = sk.balanced_accuracy_score(truth, said)
    assert values_of(build_table(predictions))["balanced_accuracy"] == pytest.approx(expected, abs=1e-9)


def _brute_pairs(overlaps: NDArray[np.float64], threshold: float) -> int:
    """The size of the largest matching, by trying every set of pairs."""
    edges = [tuple(map(int, edge)) for edge in np.argwhere(overlaps >= threshold)]
    for size in range(min(overlaps.shape), 0, -1):
        for chosen in combinations(edges, size):
            if len({r for r, _ in chosen}) == size and len({c for _, c in chosen}) == size:
                return size
    return 0


def _brute_sum(overlaps: NDArray[np.float64]) -> float:
    wide = overlaps if overlaps.shape[0] <= overlaps.shape[1] else overlaps.T
    orders = permutations(range(wide.shape[1]), wide.shape[0])
    return max((sum(wide[row, column] for row, column in enumerate(order)) for order in orders), default=0.0)


@pytest.mark.parametrize("seed", range(15))
def test_box_metrics_agree_with_brute_force(many: Many, seed: int) -> None:
    predictions = [p for p in many(60, seed) if len(p.regions) <= 4]
    values = values_of(build_table(predictions))
    known = [p for p in predictions if p.boxes is not None]
    tables = {p.id: pairwise(iou, [r.box for r in p.regions], p.boxes or ()) for p in known}
    read = {p.id for p in known if p.verdict}
    found, true = sum(len(p.regions) for p in known), sum(len(p.boxes or ()) for p in known)
    for t in THRESHOLDS:
        hits = sum(_brute_pairs(tables[name], t) for name in read)
        assert values[f"box_precision@{t:g}"] == pytest.approx(hits / found)
        assert values[f"box_recall@{t:g}"] == pytest.approx(hits / true)
        assert values[f"box_f1@{t:g}"] == pytest.approx(2 * hits / (found + true))
    bad = [p for p in known if p.anomalous]
    expected = [_brute_sum(tables[p.id]) / max(tables[p.id].shape) if p.id in read else 0 for p in bad]
    assert values["mean_iou"] == pytest.approx(np.mean(expected))
    areas = [union_mask_iou([r.box for r in p.regions], p.boxes or ()) if p.id in read else 0 for p in bad]
    assert values["union_iou"] == pytest.approx(np.mean(areas))
    assert values["box_count_error"] == pytest.approx(np.mean([abs(len(p.regions) - len(p.boxes or ())) for p in bad]))
    normal = [len(p.regions) for p in predictions if not p.anomalous]
    assert values["false_boxes_per_normal"] == pytest.approx(np.mean(normal))


def test_matching_is_the_largest_and_not_greedy() -> None:
    # Greedily taking the best pair (0, 0) would leave row 1 without a partner.
    overlaps = np.array([[0.9, 0.6], [0.7, 0.0]])
    assert matched_pairs(overlaps, 0.5) == 2
    assert matched_pairs(overlaps, 0.8) == 1
    assert matched_sum(overlaps.tolist()) == pytest.approx(1.3)


def test_the_metric_and_the_reward_are_one_number(many: Many) -> None:
    for p in (p for p in many(100) if p.verdict and p.boxes is not None):
        found = [region.box for region in p.regions]
        assert box_counts(p).set_iou == set_iou_grounding(found, p.boxes) == set_iou(found, p.boxes)
    assert set_iou([], []) == 0


def test_a_pair_at_the_threshold_counts(one: Make) -> None:
    half = one(boxes=(Box(0, 0, 10, 10),), regions=(Region(Box(0, 0, 10, 5), "x"),))
    assert box_counts(half).pairs == (1, 1, 1)
    less = one(boxes=(Box(0, 0, 10, 10),), regions=(Region(Box(0, 0, 10, 4.99), "x"),))
    assert box_counts(less).pairs == (1, 1, 0)


def test_spraying_and_covering_do_not_pay(one: Make) -> None:
    true = Box(10, 10, 30, 30)
    spray = tuple(Region(Box(x, y, x + 20, y + 20), "x") for x in range(0, 80, 10) for y in range(0, 80, 10))
    honest, sprayed = values_of(build_table([one()])), values_of(build_table([one(regions=spray, boxes=(true,))]))
    covered = values_of(build_table([one(regions=(Region(Box(0, 0, 100, 100), "x"),))]))
    assert honest["mean_iou"] == 1
    assert sprayed["mean_iou"] == pytest.approx(1 / 64)
    assert sprayed["box_precision@0.5"] == pytest.approx(1 / 64)
    assert covered["mean_iou"] == pytest.approx(0.04)


def test_an_unread_answer_is_wrong_everywhere(one: Make) -> None:
    good = one(id="n", label="normal", boxes=(), verdict="normal", regions=(), score=0.1)
    unread = [
        one(verdict=None, score=None),
        one(id="n", label="normal", boxes=(), verdict=None, score=None, regions=()),
    ]
    worst = values_of(build_table([*unread, one(id="b"), replace(good, id="m")]))
    assert worst["accuracy"] == worst["recall"] == worst["specificity"] == worst["balanced_accuracy"] == 0.5
    assert worst["auroc"] == 0.25  # each unread part ranks below, or above, both of the other class
    assert worst["false_positive_rate"] == 0
    assert worst["mean_iou"] == 0.5
    assert worst["box_recall@0.1"] == 0.5
    assert worst["box_precision@0.1"] == 0.5  # the boxes of the unread answer were given and count as false
    right = values_of(build_table([one(), good]))
    assert all(right[name] == 1 for name in ("accuracy", "auroc", "average_precision", "mean_iou", "box_f1@0.5"))


def test_undefined_metrics_are_none_never_nan(one: Make) -> None:
    only_bad = values_of(build_table([one()]))
    absent = {name for name, value in only_bad.items() if value is None}
    assert absent == {
        *("f1_max", "f1_max_threshold", "false_reject@0.99", "false_reject@0.995", "false_reject@1"),
        *("overkill", "decided_balanced_accuracy"),
        "specificity",
        "balanced_accuracy",
        "false_positive_rate",
        "auroc",
        "average_precision",
        "false_boxes_per_normal",
    }
    normal = one(label="normal", boxes=(), verdict="normal", regions=())
    only_good = values_of(build_table([normal]))
    assert only_good["recall"] is None and only_good["auroc"] is None and only_good["average_precision"] is None
    assert only_good["box_precision@0.5"] is None and only_good["mean_iou"] is None
    assert only_good["box_ap@0.5"] is None and only_good["region_overlap"] is None and only_good["miss_rate"] is None
    assert only_good["pointing_game"] is None and only_good["kind_recall"] is None and only_good["overkill"] == 0
    assert only_good["false_boxes_per_normal"] == 0 and only_good["false_positive_rate"] == 0


def test_a_read_answer_without_a_score_leaves_nothing_to_rank(one: Make, many: Many) -> None:
    predictions = many(30)
    assert values_of(build_table(predictions))["auroc"] is not None
    assert values_of(build_table([*predictions, one(id="x", score=None)]))["auroc"] is None


def test_unknown_boxes_stay_out_of_the_box_metrics(one: Make) -> None:
    known = one()
    unknown = one(id="b", boxes=None, regions=tuple(Region(Box(i, 0, i + 1, 1), "x") for i in range(9)))
    assert values_of(build_table([known, unknown])) == values_of(build_table([known])) | {
        "accuracy": 1.0,
        "recall": 1.0,
    }
    assert values_of(build_table([unknown]))["box_ap@0.3"] is None


def test_absurd_boxes_give_finite_numbers(one: Make) -> None:
    huge = (Region(Box(-1e308, -1e308, 1e308, 1e308), "x"), Region(Box(1e300, 1e300, 1e308, 1e308), "y"))
    values = values_of(build_table([one(regions=huge)]))
    assert values["mean_iou"] == pytest.approx(0, abs=1e-9) and values["union_iou"] == pytest.approx(0, abs=1e-9)


def test_weights_are_repetition(many: Many) -> None:
    predictions = many(40)
    table = build_table(predictions)
    weights = next(weight_blocks(table.anomalous.astype(np.int_), 20, seed=3))
    measured = measure(table, weights)
    for row in range(20):
        drawn = [p for p, times in zip(predictions, weights[row]) for _ in range(int(times))]
        expected = values_of(build_table(drawn))
        for name in METRICS:
            value = measured[name][row]
            assert (None if np.isnan(value) else value) == pytest.approx(expected[name], abs=1e-12)
