"""`predictions.jsonl` in and out: what a model said about one sample, beside the truth; nothing is judged here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adfm.errors import DataError
from adfm.geometry import Box
from adfm.records import LABELS, Label, Region, Reward, Votes, region_json
from adfm.storage import read_jsonl

PREDICTIONS = "predictions.jsonl"


@dataclass(frozen=True)
class Prediction:
    """One sample's truth and answer: a line of `predictions.jsonl`, every box in original pixels.

    `boxes` is None where an anomalous part's places are unknown; `verdict` is None where the answer could not be read;
    `score` is from 0 to 1, by the verdict token's odds or by votes (None where there is none); `log_odds` is the former
    before it is squeezed, `votes` the latter's counts. `image` is relative to the manifest's folder; `group` names what
    the part shares with others (the picture that tiles were cut from), None where it stands alone.
    """

    id: str
    label: Label
    category: str
    defect: str | None
    image: str
    width: int
    height: int
    boxes: tuple[Box, ...] | None
    verdict: Label | None
    score: float | None
    regions: tuple[Region, ...]
    located: tuple[Region, ...] | None
    examination: str
    response: str
    frame: str
    strict: bool
    problems: tuple[str, ...]
    reward: Reward
    log_odds: float | None = None
    votes: Votes | None = None
    group: str | None = None

    @property
    def anomalous(self) -> bool:
        """Whether the part is truly anomalous."""
        return self.label == "anomalous"

    @property
    def correct(self) -> bool:
        """Whether the verdict was read and is right."""
        return self.verdict == self.label


def prediction_json(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as its line of `predictions.jsonl`; the optional fields last, only where they say something.

    `prediction_from_json` reads it back.
    """
    located, reward, votes = prediction.located, prediction.reward, prediction.votes
    row: dict[str, Any] = {
        "id": prediction.id,
        "label": prediction.label,
        "category": prediction.category,
        "defect": prediction.defect,
        "image": prediction.image,
        "width": prediction.width,
        "height": prediction.height,
        "boxes": None if prediction.boxes is None else [list(box) for box in prediction.boxes],
        "verdict": prediction.verdict,
        "score": prediction.score,
        "regions": [region_json(region) for region in prediction.regions],
        "located": None if located is None else [region_json(region) for region in located],
        "examination": prediction.examination,
        "response": prediction.response,
        "frame": prediction.frame,
        "strict": prediction.strict,
        "problems": list(prediction.problems),
        "reward": {
            "format": reward.format,
            "verdict": reward.verdict,
            "grounding": reward.grounding,
            "total": reward.total,
        },
    }
    extra = {
        "log_odds": prediction.log_odds,
        "votes": None if votes is None else votes._asdict(),
        "group": prediction.group,
    }
    return row | {name: value for name, value in extra.items() if value is not None}


def prediction_from_json(row: dict[str, Any]) -> Prediction:
    """Read one line of `predictions.jsonl`.

    Raises:
        DataError: the line breaks the contract; names the first field that does.
    """
    located, boxes = row.get("located"), row.get("boxes")
    unknown = boxes is None and row.get("label") == "anomalous"
    return Prediction(
        id=_text(row, "id"),
        label=_one_of(row, "label", LABELS),
        category=_text(row, "category"),
        defect=None if row.get("defect") is None else _text(row, "defect"),
        image=_text(row, "image"),
        width=_side(row, "width"),
        height=_side(row, "height"),
        boxes=None if unknown else tuple(_box(box, "boxes") for box in _items(boxes or [], "boxes")),
        verdict=None if row.get("verdict") is None else _one_of(row, "verdict", LABELS),
        score=_score(row.get("score")),
        regions=_regions(row.get("regions"), "regions"),
        located=None if located is None else _regions(located, "located"),
        examination=_text(row, "examination"),
        response=_text(row, "response"),
        frame=_text(row, "frame"),
        strict=_flag(row, "strict"),
        problems=tuple(str(name) for name in _items(row.get("problems"), "problems")),
        reward=_reward(row.get("reward")),
        log_odds=_log_odds(row.get("log_odds")),
        votes=_votes(row.get("votes")),
        group=None if row.get("group") is None else _text(row, "group"),
    )


def read_predictions(path: Path) -> list[Prediction]:
    """Read a `predictions.jsonl` file, or the one in a folder.

    Raises:
        DataError: missing, empty, a line that breaks the contract, or an id that is used twice.
    """
    file = path / PREDICTIONS if path.is_dir() else path
    predictions: list[Prediction] = []
    for number, row in enumerate(read_jsonl(file), 1):
        try:
            predictions.append(prediction_from_json(row))
        except DataError as error:
            raise DataError(f"{file}:{number}: {error}; write the file anew with `adfm eval`") from error
    if not predictions:
        raise DataError(f"{file}: holds no prediction; run `adfm eval` first")
    require_unique(predictions, str(file))
    return predictions


def require_unique(predictions: Sequence[Prediction], origin: str) -> None:
    """Refuse predictions in which an id is used twice: resampling would count that sample twice.

    Raises:
        DataError: names the first repeated id.
    """
    seen: set[str] = set()
    for prediction in predictions:
        if prediction.id in seen:
            raise DataError(f"{origin}: id '{prediction.id}' is used twice; ids must be unique")
        seen.add(prediction.id)


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise DataError(f"'{name}' must be a text")
    return value


def _flag(row: dict[str, Any], name: str) -> bool:
    value = row.get(name)
    if not isinstance(value, bool):
        raise DataError(f"'{name}' must be true or false")
    return value


def _side(row: dict[str, Any], name: str) -> int:
    value = row.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DataError(f"'{name}' must be a whole number above 0")
    return value


def _one_of(row: dict[str, Any], name: str, allowed: tuple[Label, ...]) -> Label:
    for value in allowed:
        if row.get(name) == value:
            return value
    raise DataError(f"'{name}' must be one of {', '.join(allowed)}")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _items(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"'{name}' must be a list")
    return value


def _box(value: Any, name: str) -> Box:
    if not (isinstance(value, list) and len(value) == 4 and all(map(_number, value))):
        raise DataError(f"'{name}' must hold boxes of four finite numbers")
    box = Box(*value)
    if not (box.x1 < box.x2 and box.y1 < box.y2):
        raise DataError(f"'{name}' must hold boxes with x1 < x2 and y1 < y2")
    return box


def _regions(value: Any, name: str) -> tuple[Region, ...]:
    rows = _items(value, name)
    if not all(isinstance(row, dict) and isinstance(row.get("label"), str) for row in rows):
        raise DataError(f"'{name}' must hold objects with 'bbox_2d' and 'label'")
    return tuple(Region(_box(row.get("bbox_2d"), name), row["label"]) for row in rows)


def _score(value: Any) -> float | None:
    if value is None:
        return None
    if not _number(value) or not 0 <= value <= 1:
        raise DataError("'score' must be a number from 0 to 1, or null")
    return float(value)


def _log_odds(value: Any) -> float | None:
    if value is not None and not _number(value):
        raise DataError("'log_odds' must be a finite number or null")
    return None if value is None else float(value)


def _votes(value: Any) -> Votes | None:
    if value is None:
        return None
    counts = [value.get(name) for name in Votes._fields] if isinstance(value, dict) else []
    whole = [n for n in counts if isinstance(n, int) and not isinstance(n, bool) and n >= 0]
    if len(whole) != len(Votes._fields):
        raise DataError("'votes' must hold the counts anomalous, normal and unread, or be null")
    return Votes(*whole)


def _reward(value: Any) -> Reward:
    parts = value if isinstance(value, dict) else {}
    if not all(_number(parts.get(name)) for name in ("format", "verdict", "total")):
        raise DataError("'reward' must hold the numbers format, verdict and total")
    grounding = parts.get("grounding")
    if grounding is not None and not _number(grounding):
        raise DataError("'reward.grounding' must be a number or null")
    return Reward(parts["format"], parts["verdict"], grounding, parts["total"])
