"""OK, NG or REVIEW from what was read and what the score says, and how often which.

Only two things decide: the verdict that was read, and the score where a threshold or a calibration is set. Where they
contradict each other, or the answer itself, a person decides. So a score can only turn OK or NG into REVIEW: NG needs a
score above the level that normal parts exceed with the promised rate, and OK needs a verdict that was read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from adfm.calibration.fit import Scored, evidence
from adfm.calibration.record import Calibration
from adfm.numbers import clopper_pearson
from adfm.predictions import Prediction
from adfm.records import LABELS, Label

Decision = Literal["OK", "NG", "REVIEW", "ERROR"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)
DECIDED = DECISIONS[:3]
"""What can be decided about an answer. ERROR is an image without one."""


@dataclass(frozen=True)
class Threshold:
    """What decides beside the verdict that was read. By default nothing does.

    Attributes:
        value: score from which a part is NG. With a calibration it only shows the NG level as a probability.
        origin: where it comes from, in words.
        calibration: its levels decide, on the log-odds.
    """

    value: float | None = None
    origin: str = "verdict token (no calibration)"
    calibration: Calibration | None = None

    @classmethod
    def of(cls, calibration: Calibration) -> Threshold:
        """Return the threshold of a calibration."""
        return cls(calibration.probability(calibration.ng.log_odds), calibration.origin, calibration)

    @property
    def review_from(self) -> float | None:
        """From which calibrated probability a part is no longer OK, where a calibration promises that."""
        if self.calibration is None or self.calibration.ok is None:
            return None
        return self.calibration.probability(self.calibration.ok.log_odds)

    def shown(self, scored: Scored) -> float | None:
        """Return the probability to show: calibrated, where there is a calibration."""
        if self.calibration is None:
            return scored.score
        value = evidence(scored, self.calibration.score_kind)
        return None if value is None else self.calibration.probability(value)

    def side(self, scored: Scored) -> Decision | None:
        """Return what the score alone says, None where there is none.

        A plain threshold is NG from its value on, a conformal level only above it.
        """
        if self.calibration is None:
            if scored.score is None or self.value is None or math.isnan(scored.score):
                return None
            return "NG" if scored.score >= self.value else "OK"
        value, ok = evidence(scored, self.calibration.score_kind), self.calibration.ok
        if value is None:
            return None
        if value > self.calibration.ng.log_odds:
            return "NG"
        return "OK" if ok is None or value < ok.log_odds else "REVIEW"


HARMLESS = frozenset({"missing_locate", "missing_examine", "text_outside"})
"""The problems beside which `normal` is still OK: no part of the answer that could name a defect is left unread."""

READ_VERDICT = Threshold()
"""No threshold: the read verdict decides."""


def decide(
    verdict: Label | None, problems: Sequence[str], scored: Scored, threshold: Threshold
) -> tuple[Decision, tuple[str, ...]]:
    """Return the decision and, for REVIEW, why.

    `normal` is OK only where all of the answer was read: what a reader drops may name the defect.
    """
    if verdict is None:
        return "REVIEW", ("the answer could not be read",)
    read: Decision = "NG" if verdict == "anomalous" else "OK"
    if read == "OK" and "regions_under_normal" in problems:
        return "REVIEW", ("the answer says normal and names defects",)
    if read == "OK" and not HARMLESS.issuperset(problems):
        unread = ", ".join(name for name in problems if name not in HARMLESS)
        return "REVIEW", (f"the answer says normal and part of it could not be read ({unread})",)
    if threshold.value is None and threshold.calibration is None:
        return read, ()
    side = threshold.side(scored)
    if side is None:
        return "REVIEW", ("the answer has no score to compare with the threshold",)
    if side == "REVIEW":
        return "REVIEW", ("the score is between the calibrated levels for OK and for NG",)
    if side != read:
        return "REVIEW", (f"the score says {side} and the answer says {read}",)
    return read, ()


def count_decisions(predictions: Iterable[Prediction], threshold: Threshold) -> dict[Label, dict[Decision, int]]:
    """Return how many parts of each label get each decision."""
    counts = Counter((p.label, decide(p.verdict, p.problems, p, threshold)[0]) for p in predictions)
    return {label: {decision: counts[label, decision] for decision in DECIDED} for label in LABELS}


def operating_point(predictions: Sequence[Prediction], threshold: Threshold) -> dict[str, Any]:
    """Return the shares of escapes (`miss`: anomalous, OK), false rejects (`overkill`: normal, NG) and review.

    Each has its exact 95 % interval, ready for JSON. Escapes and false rejects are shares of all parts of their label.
    What goes to REVIEW is neither.
    """
    counts = count_decisions(predictions, threshold)
    sizes = {label: sum(counts[label].values()) for label in LABELS}
    review = sum(counts[label]["REVIEW"] for label in LABELS)
    return {
        "threshold": threshold.value,
        "threshold_origin": threshold.origin,
        "counts": counts,
        "miss": _share(counts["anomalous"]["OK"], sizes["anomalous"]),
        "overkill": _share(counts["normal"]["NG"], sizes["normal"]),
        "review": _share(review, len(predictions)),
        "review_normal": _share(counts["normal"]["REVIEW"], sizes["normal"]),
        "review_anomalous": _share(counts["anomalous"]["REVIEW"], sizes["anomalous"]),
    }


def _share(hits: int, n: int) -> dict[str, float | None]:
    if n == 0:
        return {"value": None, "low": None, "high": None}
    low, high = clopper_pearson(hits, n)
    return {"value": hits / n, "low": low, "high": high}
