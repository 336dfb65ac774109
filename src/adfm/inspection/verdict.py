"""The verdict on one picture: how an answer becomes OK, NG or REVIEW; pure, no files and no models.

Only two things decide: the verdict that was read, and the verdict token's odds against a threshold where one is set.
Where they contradict each other, or the answer itself, a person decides. The explanation is shown and never decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from adfm.geometry import Frame
from adfm.models.base import Answer
from adfm.reasoning import Stages, read
from adfm.records import Region, Response, region_json

Decision = Literal["OK", "NG", "REVIEW", "ERROR"]
SCHEMA = "adfm.verdict/1"


@dataclass(frozen=True)
class Threshold:
    """At which score a part is NG, and where that number comes from; None: the read verdict alone decides."""

    value: float | None = None
    origin: str = "verdict token (no calibration)"


@dataclass(frozen=True)
class Judgement:
    """What was decided about one picture; boxes in original pixels."""

    decision: Decision
    score: float | None
    regions: tuple[Region, ...]
    located: tuple[Region, ...]
    explanation: str
    parse: str | tuple[str, ...]
    warnings: tuple[str, ...]


def judge(answer: Answer, frame: Frame, stages: Stages, threshold: Threshold) -> Judgement:
    """Read an answer and decide.

    An unread verdict is REVIEW. So is a contradiction: `normal` beside defects, or, with a threshold, a score on the
    other side of it than the read verdict. A score of exactly the threshold is NG.
    """
    response = read(answer.text, frame, stages=stages)
    decision, warnings = _decide(response, answer.score, threshold)
    return Judgement(
        decision=decision,
        score=answer.score,
        regions=response.regions,
        located=response.located or (),
        explanation=response.examination,
        parse="ok" if response.strict else response.problems,
        warnings=warnings,
    )


def _decide(response: Response, score: float | None, threshold: Threshold) -> tuple[Decision, tuple[str, ...]]:
    if response.verdict is None:
        return "REVIEW", ("the answer could not be read",)
    said: Decision = "NG" if response.verdict == "anomalous" else "OK"
    if "regions_under_normal" in response.problems:
        return "REVIEW", ("the answer says normal and names defects",)
    if threshold.value is None:
        return said, ()
    if score is None:
        return "REVIEW", ("the answer has no score to hold against the threshold",)
    scored: Decision = "NG" if score >= threshold.value else "OK"
    if scored != said:
        return "REVIEW", (f"the score says {scored} and the answer says {said}",)
    return said, ()


def judgement_json(judgement: Judgement) -> dict[str, Any]:
    """Return the judgement's part of the verdict JSON (design section 2)."""
    parse = judgement.parse
    return {
        "decision": judgement.decision,
        "score": judgement.score,
        "regions": [region_json(region) for region in judgement.regions],
        "located": [region_json(region) for region in judgement.located],
        "explanation": judgement.explanation,
        "parse": parse if isinstance(parse, str) else list(parse),
        "warnings": list(judgement.warnings),
    }
