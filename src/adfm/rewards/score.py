"""Rows of `responses.jsonl` to rows of `scores.jsonl`, and their summary. It touches no file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adfm.errors import DataError, UserError
from adfm.geometry import Frame, FrameOf
from adfm.reasoning import DEFAULT as PROTOCOL
from adfm.reasoning import Protocol, read_answer
from adfm.records import Response, Sample, region_json
from adfm.rewards.compute import DEFAULT, reward
from adfm.rewards.presets import RewardSettings


def score_rows(
    samples: Iterable[Sample],
    rows: Iterable[Mapping[str, Any]],
    frame_of: FrameOf,
    settings: RewardSettings = DEFAULT,
    *,
    protocol: Protocol = PROTOCOL,
) -> list[dict[str, Any]]:
    """Score responses against their samples. The result keeps the order of `rows`.

    Args:
        samples: the truth.
        rows: `id`, `response` and optionally `frame`, a written frame name.
        frame_of: (width, height) in original pixels -> the frame of rows that name none.
        settings: preset, alpha and weights.
        protocol: what was asked.

    Raises:
        DataError: unknown or repeated ids, a response that is not a text, an unknown frame. It names the first.
    """
    known = {sample.id: sample for sample in samples}
    listed, seen, faults = list(rows), set[str](), list[str]()
    for number, row in enumerate(listed, 1):
        if fault := _row_fault(row, known, seen):
            faults.append(f"row {number}: {fault}")
        else:
            seen.add(row["id"])
    if faults:
        more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
        raise DataError(faults[0] + more)
    scores = []
    for row in listed:
        sample, name = known[row["id"]], row.get("frame")
        size = sample.width, sample.height
        response = read_answer(row["response"], Frame.parse(name, *size) if name else frame_of(*size), protocol)
        earned = vars(reward(response, sample, settings))
        parsed = {"parsed": parsed_json(response), "problems": list(response.problems)}
        scores.append({"id": sample.id, **earned, **parsed})
    return scores


def _row_fault(row: Mapping[str, Any], known: Mapping[str, Sample], seen: set[str]) -> str | None:
    """Return what is wrong with a row of `responses.jsonl`, or None. `seen` holds the ids of earlier rows."""
    name, frame = row.get("id"), row.get("frame")
    if not isinstance(name, str) or name not in known:
        return f"id {name!r:.80} is not in the manifest; score against the manifest that made the responses"
    if name in seen:
        return f"id {name!r:.80} has a second response; keep one response per id"
    if not isinstance(row.get("response"), str):
        return f"'response' of id {name!r:.80} must be a text, is {type(row.get('response')).__name__}"
    try:
        Frame.parse("original" if frame is None else str(frame), 1, 1)
    except UserError as error:
        return f"id {name!r:.80}: {' '.join(str(error).split())}"
    return None


def parsed_json(response: Response) -> dict[str, Any]:
    """Return what was read, in original pixels. `located` is null where the block could not be read."""
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
        samples: how many samples the manifest has. Those without a response are counted as `unanswered`.
    """
    means: dict[str, float | None] = {}
    for name in ("format", "verdict", "grounding", "total"):
        values = [row[name] for row in scores if row[name] is not None]
        means[name] = sum(values) / len(values) if values else None
    unread = sum(row["parsed"]["verdict"] is None for row in scores)
    problems = Counter(problem for row in scores for problem in row["problems"])
    return {
        "responses": len(scores),
        "unanswered": samples - len(scores),
        "mean": means,
        "unread": unread / len(scores) if scores else None,
        "problems": dict(sorted(problems.items(), key=lambda item: (-item[1], item[0]))),
    }
