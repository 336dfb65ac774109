"""Every metric's name, title and one-sentence definition, and the two totals it divides; nothing is computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, cast

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


# name | title | what is better | unit | the two totals it divides | definition, continued on indented lines
_TABLE = """
accuracy | Accuracy | higher | share | correct / one | Share of parts with the right verdict; an unread answer counts
  as wrong.
balanced_accuracy | Balanced accuracy | higher | share | - | Mean of recall and specificity, so that it does not
  depend on how many parts are anomalous; an unread answer counts as wrong in either.
recall | Recall | higher | share | hit / anomalous | Share of anomalous parts called anomalous; an unread answer
  counts as an escape.
specificity | Specificity | higher | share | cleared / normal | Share of normal parts called normal; an unread answer
  does not call a part normal.
false_positive_rate | False-positive rate | lower | share | alarm / normal | Share of normal parts called anomalous;
  an unread answer is no such call (it lowers specificity instead).
auroc | AUROC | higher | index | - | Chance that an anomalous part scores above a normal one, ties counting half; an
  unread answer without a score ranks as wrong for its class; undefined with one class only, or where a read answer
  has no score.
average_precision | Average precision | higher | index | - | Precision averaged over the recall steps of the ranking
  by score; unread answers and missing scores as for AUROC.
f1_max | F1-max | higher | index | - | Largest F1 of the anomalous class that any threshold on the score gives on
  these parts; an upper bound, as the threshold is chosen on the parts it is measured on. Unread answers and missing
  scores as for AUROC.
f1_max_threshold | Threshold of F1-max | neither | index | - | The lowest score that, as a threshold (anomalous from
  it upwards), gives F1-max.
false_reject@{at} | False rejects at recall {at} | lower | share | - | Share of normal parts that score at least as
  high as the highest threshold that still catches {percent} % of the anomalous parts (1 where an unread one without a
  score makes that impossible).
decided_balanced_accuracy | Balanced accuracy as deployed | higher | share | - | Balanced accuracy of the deployed
  decision, which is that of an inspection: OK, NG, or undecided (REVIEW) where the answer is unread or contradicts
  itself or the deployed threshold; an undecided part counts as wrong.
miss_rate | Escape rate | lower | share | missed / anomalous | Share of anomalous parts that the deployed decision
  passes; an undecided part is not passed.
overkill | False-reject rate | lower | share | overkilled / normal | Share of normal parts that the deployed decision
  rejects; an undecided part is not rejected.
coverage | Coverage | higher | share | decided / one | Share of parts with a deployed decision.
ece | Calibration error | lower | index | - | Expected calibration error of the score as the probability of anomalous:
  over {bins} equally wide bins, the mean distance between mean score and share of anomalous parts, weighted by the
  bins' parts; parts without a score are left out.
brier | Brier score | lower | index | squared / scored | Mean squared difference between the score and the truth (1
  anomalous, 0 normal); parts without a score are left out.
kind_recall | Recall by defect type | higher | share | - | Unweighted mean over the defect types (of a category) of
  the share of their parts called anomalous, so that a rare type counts as much as a common one.
unread_rate | Unread answers | lower | share | unread / one | Share of answers without a verdict that can be read.
strict_rate | Strict format | higher | share | strict / one | Share of answers in the exact format.
mean_iou | Mean IoU | higher | index | set_iou / boxed | Mean over anomalous parts with known boxes of: the summed IoU
  of the one-to-one matching of largest sum, over the larger of the two box counts (0 if unread); so a missed box and
  a superfluous one both cost.
union_iou | Area IoU | higher | index | union_iou / boxed | Mean over anomalous parts with known boxes of the IoU of
  the area that all predicted boxes cover with the area that all true ones cover (0 if unread).
region_overlap | Region overlap | higher | index | covered / true | Mean over all true boxes, each weighing the same
  whatever its size, of the share of its area that the predicted boxes cover together (per-region overlap, PRO; 0 if
  unread); what they cover beside it costs nothing here.
kind_region_overlap | Region overlap by defect type | higher | index | - | Unweighted mean over the defect types (of a
  category) of their region overlap.
pointing_game | Pointing game | higher | share | pointed / boxed | Share of anomalous parts with known boxes where the
  centre of the first predicted box is in a true box; no tolerance, and an unread answer or one without a box misses.
box_count_error | Box count error | lower | count | count_error / boxed | Mean over anomalous parts with known boxes
  of the difference between the number of predicted and true boxes.
false_boxes_per_normal | Boxes per normal part | lower | count | false_boxes / normal | Mean number of final boxes on
  a normal part; every one is false.
box_precision@{at} | Box precision at {at} | higher | share | pairs@{at} / predicted | Share of all predicted boxes
  that the largest one-to-one matching pairs with IoU of {at} or more; every box on a normal part is false, parts with
  unknown boxes are left out and an unread answer pairs nothing.
box_recall@{at} | Box recall at {at} | higher | share | pairs@{at} / true | Share of all true boxes that the largest
  one-to-one matching pairs with IoU of {at} or more; parts with unknown boxes are left out and an unread answer pairs
  nothing.
box_f1@{at} | Box F1 at {at} | higher | share | twice@{at} / both | Harmonic mean of box precision and box recall at
  IoU {at}.
box_ap@{at} | Box AP at {at} | higher | index | - | COCO average precision (101 recall points, one class) of the boxes
  at IoU {at}; a box ranks by the score of its part, boxes of equal score enter together and are paired by the largest
  one-to-one matching; those of an answer without a score come first, parts with unknown boxes are left out.
"""
_LEVELS: dict[str, tuple[float | None, ...]] = {
    "false_reject": RECALLS,
    "box_ap": AP_THRESHOLDS,
    **dict.fromkeys(("box_precision", "box_recall", "box_f1"), THRESHOLDS),
}
"""The levels at which some metrics are taken: `@{at}` of their names."""


def _metrics() -> Iterator[Metric]:
    """Yield the metrics of the table, those of several levels level by level."""
    rows = [[part.strip() for part in row.split(" | ")] for row in _TABLE.strip().replace("\n  ", " ").split("\n")]
    for levels, members in groupby(rows, key=lambda row: _LEVELS.get(row[0].partition("@")[0], (None,))):
        alike = list(members)
        for level in levels:
            values = {} if level is None else {"at": f"{level:g}", "percent": f"{100 * level:g}"}
            for row in alike:
                name, title, better, unit, ratio, definition = (part.format(bins=ECE_BINS, **values) for part in row)
                above, _, below = ratio.partition(" / ")
                totals = (above, below) if below else None
                yield Metric(name, title, definition, totals, cast(Better, better), cast(Unit, unit))


METRICS: dict[str, Metric] = {metric.name: metric for metric in _metrics()}
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
