"""The verdict on one picture: what an answer says and what is decided about it; pure, no files and no models.

The decision itself is `calibration/decision.py`. The explanation is shown and never decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adfm.calibration.decision import Decision, Threshold, decide
from adfm.geometry import Frame
from adfm.models.base import Answer
from adfm.reasoning import Stages, read
from adfm.records import Region, region_json

__all__ = ["SCHEMA", "Decision", "Judgement", "Threshold", "judge", "judgement_json"]

SCHEMA = "adfm.verdict/1"


@dataclass(frozen=True)
class Judgement:
    """What was decided about one picture; boxes in original pixels.

    `score` is the calibrated probability where there is a calibration, `raw_score` what the model gave.
    """

    decision: Decision
    score: float | None
    raw_score: float | None
    regions: tuple[Region, ...]
    located: tuple[Region, ...]
    explanation: str
    parse: str | tuple[str, ...]
    warnings: tuple[str, ...]


def judge(answer: Answer, frame: Frame, stages: Stages, threshold: Threshold) -> Judgement:
    """Read an answer and decide.

    An unread verdict is REVIEW. So is a contradiction: `normal` beside defects, or, with a threshold, a score on the
    other side of it than the read verdict. A score of exactly a plain threshold is NG; a calibration says NG only above
    its level, and REVIEW between its levels.
    """
    response = read(answer.text, frame, stages=stages)
    decision, warnings = decide(response.verdict, response.problems, answer, threshold)
    return Judgement(
        decision=decision,
        score=threshold.shown(answer),
        raw_score=answer.score,
        regions=response.regions,
        located=response.located or (),
        explanation=response.examination,
        parse="ok" if response.strict else response.problems,
        warnings=warnings,
    )


def judgement_json(judgement: Judgement) -> dict[str, Any]:
    """Return the judgement's part of the verdict JSON (design section 2)."""
    parse = judgement.parse
    return {
        "decision": judgement.decision,
        "score": judgement.score,
        "raw_score": judgement.raw_score,
        "regions": [region_json(region) for region in judgement.regions],
        "located": [region_json(region) for region in judgement.located],
        "explanation": judgement.explanation,
        "parse": parse if isinstance(parse, str) else list(parse),
        "warnings": list(judgement.warnings),
    }
