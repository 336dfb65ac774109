"""Every metric's name, title and one-sentence definition, and the two totals it divides; nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from adfm.calibration.fit import ECE_BINS

THRESHOLDS = (0.1, 0.3, 0.5)
AP_THRESHOLDS = (0.3, 0.5)
RECALLS = (0.99, 0.995, 1.0)

Better = Literal["higher", "lower", "neither"]
Unit = Literal["share", "index", "count"]
Trend = Literal["better", "worse", "unclear"]
Ratio = tuple[str, str]


@dataclass(frozen=True)
class Metric:
    """What a metric is called and means; `ratio` names the two totals it divides (None: it is no single ratio).

    A `share` is usually read in per cent, an `index` from 0 to 1 is not, a `count` is in boxes. A metric that is
    `neither` better when higher nor when lower only describes.
    """

    name: str
    title: str
    definition: str
    ratio: Ratio | None = None
    better: Better = "higher"
    unit: Unit = "share"

    def trend(self, low: float, high: float) -> Trend | None:
        """Return what a difference from `low` to `high` means: `unclear` where it may be zero, None if only descriptive."""
        if self.better == "neither":
            return None
        if low <= 0 <= high:
            return "unclear"
        return "better" if (low > 0) == (self.better == "higher") else "worse"


_VERDICTS = (
    Metric(
        "accuracy",
        "Accuracy",
        "Share of parts with the right verdict; an unread answer counts as wrong.",
        ("correct", "one"),
    ),
    Metric(
        "balanced_accuracy",
        "Balanced accuracy",
        "Mean of recall and specificity, so that it does not depend on how many parts are anomalous; an unread answer "
        "counts as wrong in either.",
    ),
    Metric(
        "recall",
        "Recall",
        "Share of anomalous parts called anomalous; an unread answer counts as an escape.",
        ("hit", "anomalous"),
    ),
    Metric(
        "specificity",
        "Specificity",
        "Share of normal parts called normal; an unread answer does not call a part normal.",
        ("cleared", "normal"),
    ),
    Metric(
        "false_positive_rate",
        "False-positive rate",
        "Share of normal parts called anomalous; an unread answer is no such call (it lowers specificity instead).",
        ("alarm", "normal"),
        better="lower",
    ),
    Metric(
        "auroc",
        "AUROC",
        "Chance that an anomalous part scores above a normal one, ties counting half; an unread answer without a score "
        "ranks as wrong for its class; undefined with one class only, or where a read answer has no score.",
        unit="index",
    ),
    Metric(
        "average_precision",
        "Average precision",
        "Precision averaged over the recall steps of the ranking by score; unread answers and missing scores as for "
        "AUROC.",
        unit="index",
    ),
    Metric(
        "f1_max",
        "F1-max",
        "Largest F1 of the anomalous class that any threshold on the score gives on these parts; an upper bound, as the "
        "threshold is chosen on the parts it is measured on. Unread answers and missing scores as for AUROC.",
        unit="index",
    ),
    Metric(
        "f1_max_threshold",
        "Threshold of F1-max",
        "The lowest score that, as a threshold (anomalous from it upwards), gives F1-max.",
        better="neither",
        unit="index",
    ),
    *(
        Metric(
            f"false_reject@{recall:g}",
            f"False rejects at recall {recall:g}",
            f"Share of normal parts that score at least as high as the highest threshold that still catches "
            f"{100 * recall:g} % of the anomalous parts (1 where an unread one without a score makes that impossible).",
            better="lower",
        )
        for recall in RECALLS
    ),
    Metric(
        "decided_balanced_accuracy",
        "Balanced accuracy as deployed",
        "Balanced accuracy of the deployed decision, which is that of an inspection: OK, NG, or undecided (REVIEW) where "
        "the answer is unread or contradicts itself or the deployed threshold; an undecided part counts as wrong.",
    ),
    Metric(
        "miss_rate",
        "Escape rate",
        "Share of anomalous parts that the deployed decision passes; an undecided part is not passed.",
        ("missed", "anomalous"),
        better="lower",
    ),
    Metric(
        "overkill",
        "False-reject rate",
        "Share of normal parts that the deployed decision rejects; an undecided part is not rejected.",
        ("overkilled", "normal"),
        better="lower",
    ),
    Metric("coverage", "Coverage", "Share of parts with a deployed decision.", ("decided", "one")),
    Metric(
        "ece",
        "Calibration error",
        f"Expected calibration error of the score as the probability of anomalous: over {ECE_BINS} equally wide bins, the "
        "mean distance between mean score and share of anomalous parts, weighted by the bins' parts; parts without a "
        "score are left out.",
        better="lower",
        unit="index",
    ),
    Metric(
        "brier",
        "Brier score",
        "Mean squared difference between the score and the truth (1 anomalous, 0 normal); parts without a score are left "
        "out.",
        ("squared", "scored"),
        better="lower",
        unit="index",
    ),
    Metric(
        "kind_recall",
        "Recall by defect type",
        "Unweighted mean over the defect types (of a category) of the share of their parts called anomalous, so that a "
        "rare type counts as much as a common one.",
    ),
    Metric(
        "unread_rate",
        "Unread answers",
        "Share of answers without a verdict that can be read.",
        ("unread", "one"),
        better="lower",
    ),
    Metric("strict_rate", "Strict format", "Share of answers in the exact format.", ("strict", "one")),
)
_BOXES = (
    Metric(
        "mean_iou",
        "Mean IoU",
        "Mean over anomalous parts with known boxes of: the summed IoU of the one-to-one matching of largest sum, over "
        "the larger of the two box counts (0 if unread); so a missed box and a superfluous one both cost.",
        ("set_iou", "boxed"),
        unit="index",
    ),
    Metric(
        "union_iou",
        "Area IoU",
        "Mean over anomalous parts with known boxes of the IoU of the area that all predicted boxes cover with the "
        "area that all true ones cover (0 if unread).",
        ("union_iou", "boxed"),
        unit="index",
    ),
    Metric(
        "region_overlap",
        "Region overlap",
        "Mean over all true boxes, each weighing the same whatever its size, of the share of its area that the predicted "
        "boxes cover together (per-region overlap, PRO; 0 if unread); what they cover beside it costs nothing here.",
        ("covered", "true"),
        unit="index",
    ),
    Metric(
        "kind_region_overlap",
        "Region overlap by defect type",
        "Unweighted mean over the defect types (of a category) of their region overlap.",
        unit="index",
    ),
    Metric(
        "pointing_game",
        "Pointing game",
        "Share of anomalous parts with known boxes where the centre of the first predicted box is in a true box; no "
        "tolerance, and an unread answer or one without a box misses.",
        ("pointed", "boxed"),
    ),
    Metric(
        "box_count_error",
        "Box count error",
        "Mean over anomalous parts with known boxes of the difference between the number of predicted and true boxes.",
        ("count_error", "boxed"),
        better="lower",
        unit="count",
    ),
    Metric(
        "false_boxes_per_normal",
        "Boxes per normal part",
        "Mean number of final boxes on a normal part; every one is false.",
        ("false_boxes", "normal"),
        better="lower",
        unit="count",
    ),
    *(
        metric
        for t in THRESHOLDS
        for metric in (
            Metric(
                f"box_precision@{t:g}",
                f"Box precision at {t:g}",
                f"Share of all predicted boxes that the largest one-to-one matching pairs with IoU of {t:g} or more; every "
                "box on a normal part is false, parts with unknown boxes are left out and an unread answer pairs nothing.",
                (f"pairs@{t:g}", "predicted"),
            ),
            Metric(
                f"box_recall@{t:g}",
                f"Box recall at {t:g}",
                f"Share of all true boxes that the largest one-to-one matching pairs with IoU of {t:g} or more; parts with "
                "unknown boxes are left out and an unread answer pairs nothing.",
                (f"pairs@{t:g}", "true"),
            ),
            Metric(
                f"box_f1@{t:g}",
                f"Box F1 at {t:g}",
                f"Harmonic mean of box precision and box recall at IoU {t:g}.",
                (f"twice@{t:g}", "both"),
            ),
        )
    ),
    *(
        Metric(
            f"box_ap@{t:g}",
            f"Box AP at {t:g}",
            f"COCO average precision (101 recall points, one class) of the boxes at IoU {t:g}; a box ranks by the score of "
            "its part, boxes of equal score enter together and are paired by the largest one-to-one matching; those of "
            "an answer without a score come first, parts with unknown boxes are left out.",
            unit="index",
        )
        for t in AP_THRESHOLDS
    ),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in (*_VERDICTS, *_BOXES)}
DEFECT_METRICS = ("recall", "region_overlap", "pointing_game", "box_recall@0.3", "mean_iou")
"""The metrics of every defect type by itself."""
HEADLINE = (
    "balanced_accuracy",
    "recall",
    "false_positive_rate",
    "mean_iou",
    "box_f1@0.3",
    "auroc",
    "unread_rate",
)
"""The metrics that people ask for first, in the order in which every table shows them."""
