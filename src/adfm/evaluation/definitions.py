"""Every metric's name, title and one-sentence definition, and the two totals it divides; nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

THRESHOLDS = (0.1, 0.3, 0.5)

Better = Literal["higher", "lower"]
Unit = Literal["share", "index", "count"]
Ratio = tuple[str, str]


@dataclass(frozen=True)
class Metric:
    """What a metric is called and means; `ratio` names the two totals it divides (None: it is no single ratio).

    A `share` is usually read in per cent, an `index` from 0 to 1 is not, a `count` is in boxes.
    """

    name: str
    title: str
    definition: str
    ratio: Ratio | None = None
    better: Better = "higher"
    unit: Unit = "share"


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
        "Share of anomalous parts called anomalous; an unread answer counts as a miss.",
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
)


def _at(threshold: float) -> tuple[Metric, Metric, Metric]:
    """The three box metrics at one IoU threshold, each over all boxes of all parts."""
    t = f"{threshold:g}"
    pair = f"that the largest one-to-one matching pairs with IoU of {t} or more"
    left_out = "parts with unknown boxes are left out and an unread answer pairs nothing"
    precision = f"Share of all predicted boxes {pair}; every box on a normal part is false, {left_out}."
    recall = f"Share of all true boxes {pair}; {left_out}."
    f1 = f"Harmonic mean of box precision and box recall at IoU {t}."
    return (
        Metric(f"box_precision@{t}", f"Box precision at {t}", precision, (f"pairs@{t}", "predicted")),
        Metric(f"box_recall@{t}", f"Box recall at {t}", recall, (f"pairs@{t}", "true")),
        Metric(f"box_f1@{t}", f"Box F1 at {t}", f1, (f"twice@{t}", "both")),
    )


METRICS: dict[str, Metric] = {
    metric.name: metric for metric in (*_VERDICTS, *_BOXES, *(m for t in THRESHOLDS for m in _at(t)))
}
