"""Rows of `responses.jsonl` to rows of `scores.jsonl` (design section 2) and their summary; touches no file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from adfm.errors import DataError, UserError
from adfm.geometry import Frame
from adfm.reasoning import FULL, Stages, read
from adfm.records import Response, Sample, region_json
from adfm.rewards.compute import DEFAULT, reward
from adfm.rewards.settings import RewardSettings

FrameOf = Callable[[int, int], Frame]


def score_rows(
    samples: Iterable[Sample],
    rows: Iterable[Mapping[str, Any]],
    frame_of: FrameOf,
    settings: RewardSettings = DEFAULT,
    *,
    stages: Stages = FULL,
) -> list[dict[str, Any]]:
    """Score responses against their samples; the result keeps the order of `rows`.

    Args:
        samples: the truth.
        rows: `id`, `response` and optionally `frame`, a written frame name.
        frame_of: (width, height) in original pixels -> the frame of rows that name none.

    Raises:
        DataError: unknown or repeated ids, a response that is not a text, an unknown frame; names the first.
    """
    known = {sample.id: sample for sample in samples}
    listed = list(rows)
    faults = _faults(known, listed)
    if faults:
        more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
        raise DataError(faults[0] + more)
    return [_scored(known[row["id"]], row, frame_of, settings, stages) for row in listed]


def _faults(known: Mapping[str, Sample], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    seen: set[str] = set()
    faults: list[str] = []
    for number, row in enumerate(rows, 1):
        fault = _fault(known, seen, row)
        if fault:
            faults.append(f"row {number}: {fault}")
    return faults


def _fault(known: Mapping[str, Sample], seen: set[str], row: Mapping[str, Any]) -> str | None:
    name = row.get("id")
    if not isinstance(name, str) or name not in known:
        return f"id {name!r:.80} is not in the manifest; score against the manifest that made the responses"
    if name in seen:
        return f"id {name!r:.80} has a second response; keep one response per id"
    seen.add(name)
    if not isinstance(row.get("response"), str):
        return f"'response' of id {name!r:.80} must be a text, is {type(row.get('response')).__name__}"
    frame = row.get("frame")
    if frame is not None:
        try:
            Frame.parse(str(frame), 1, 1)
        except UserError as error:
            return f"id {name!r:.80}: {' '.join(str(error).split())}"
    return None


def _scored(
    sample: Sample, row: Mapping[str, Any], frame_of: FrameOf, settings: RewardSettings, stages: Stages
) -> dict[str, Any]:
    name, size = row.get("frame"), (sample.width, sample.height)
    response = read(row["response"], frame_of(*size) if name is None else Frame.parse(name, *size), stages=stages)
    earned = reward(response, sample, settings)
    return {
        "id": sample.id,
        "format": earned.format,
        "verdict": earned.verdict,
        "grounding": earned.grounding,
        "total": earned.total,
        "parsed": parsed_json(response),
        "problems": list(response.problems),
    }


def parsed_json(response: Response) -> dict[str, Any]:
    """Return what was read, in original pixels; `located` is null where the block could not be read."""
    located = response.located
    return {
        "verdict": response.verdict,
        "regions": [region_json(region) for region in response.regions],
        "located": None if located is None else [region_json(region) for region in located],
    }


def summarise(scores: Sequence[Mapping[str, Any]], samples: int) -> dict[str, Any]:
    """Return counts, each reward's mean (None of nothing), the share without a verdict, and the counts of problems.

    Args:
        scores: rows of `score_rows`.
        samples: how many samples the manifest has; those without a response are counted as `unanswered`.
    """
    unread = sum(row["parsed"]["verdict"] is None for row in scores)
    problems = Counter(problem for row in scores for problem in row["problems"])
    return {
        "responses": len(scores),
        "unanswered": samples - len(scores),
        "mean": {name: _mean(scores, name) for name in ("format", "verdict", "grounding", "total")},
        "unread": unread / len(scores) if scores else None,
        "problems": dict(sorted(problems.items(), key=lambda item: (-item[1], item[0]))),
    }


def _mean(scores: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [row[name] for row in scores if row[name] is not None]
    return sum(values) / len(values) if values else None
