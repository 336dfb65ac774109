"""`predictions.jsonl` in and out: what a model said about one sample, beside the truth; nothing is judged here.

The annotations of `Prediction` are the format of a line. Reading converts nothing: `true` is no number, `"3"` is no
number, and NaN and infinity are refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import CoreSchema, core_schema

from adfm.config import first_fault
from adfm.errors import DataError
from adfm.geometry import Box
from adfm.records import Label, Region, Reward, Votes, region_json
from adfm.storage import read_jsonl

PREDICTIONS = "predictions.jsonl"
NULLABLE = ("defect", "boxes", "verdict", "score", "located")
"""Fields that a line may leave out, which is the same as null; the optional ones at the end of a line not counted."""

Side = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class _ReadAs:
    """Annotation of a record that a line holds in another form: pydantic checks the `form`, then the record is made of it."""

    form: Any
    record: Callable[..., Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.make, handler(self.form))

    def make(self, row: Any) -> Any:
        """Return the record of a checked form, field by field in their order."""
        return self.record(*(row if isinstance(row, tuple) else vars(row).values()))


def _require_area(box: Box) -> Box:
    if not (box.x1 < box.x2 and box.y1 < box.y2):
        raise ValueError("a box needs x1 < x2 and y1 < y2")
    return box


BoxField = Annotated[Box, _ReadAs(tuple[float, float, float, float], Box), AfterValidator(_require_area)]


@dataclass(frozen=True)
class _RegionRow:
    bbox_2d: BoxField
    label: str


@dataclass(frozen=True)
class _VotesRow:
    anomalous: Count
    normal: Count
    unread: Count


RegionField = Annotated[Region, _ReadAs(_RegionRow, Region), PlainSerializer(region_json)]
VotesField = Annotated[Votes, _ReadAs(_VotesRow, Votes), PlainSerializer(Votes._asdict)]


@dataclass(frozen=True)
class Prediction:
    """One sample's truth and answer: a line of `predictions.jsonl`, every box in original pixels.

    `boxes` is None where an anomalous part's places are unknown. `verdict` is None where the answer could not be read.
    `score` is from 0 to 1, from the odds of the verdict token or from votes, None where there is none. `log_odds` is the
    former before it is squeezed, `votes` the latter's counts. `image` is relative to the manifest's folder. `group` names
    what the part shares with others (the image that tiles come from), None for a part of its own. `question_sha256` is
    the hash of the prompt that was asked, where it is recorded. `white` is the value shown as white, of a deep image.
    """

    __pydantic_config__: ClassVar = ConfigDict(strict=True, allow_inf_nan=False)

    id: str
    label: Label
    category: str
    defect: str | None
    image: str
    width: Side
    height: Side
    boxes: tuple[BoxField, ...] | None
    verdict: Label | None
    score: Share | None
    regions: tuple[RegionField, ...]
    located: tuple[RegionField, ...] | None
    examination: str
    response: str
    frame: str
    strict: bool
    problems: tuple[str, ...]
    reward: Reward
    log_odds: float | None = None
    votes: VotesField | None = None
    group: str | None = None
    question_sha256: str | None = None
    white: Annotated[float, Field(gt=0)] | None = None

    @property
    def anomalous(self) -> bool:
        """Whether the part is truly anomalous."""
        return self.label == "anomalous"

    @property
    def correct(self) -> bool:
        """Whether the verdict was read and is right."""
        return self.verdict == self.label


_LINE = TypeAdapter(Prediction)


def prediction_json(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as its line of `predictions.jsonl`; the optional fields last, only where they say something.

    `prediction_from_json` reads it back.
    """
    row: dict[str, Any] = _LINE.dump_python(prediction, exclude_defaults=True)
    return row


def prediction_from_json(row: dict[str, Any]) -> Prediction:
    """Read one line of `predictions.jsonl`; fields of other names are ignored.

    Raises:
        DataError: the line breaks the format; names the first field that does, and the rule.
    """
    row = dict.fromkeys(NULLABLE) | row
    if row["boxes"] is None and row.get("label") == "normal":
        row["boxes"] = []  # a normal part has no box, so nothing is unknown
    try:
        # As JSON, because pydantic is strict there about values and takes a list for a tuple.
        return _LINE.validate_json(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace"))
    except ValidationError as error:
        field, rule, given = first_fault(error)
        raise DataError(f"'{field}': {rule} (given: {given})") from error


def read_predictions(path: Path | str) -> list[Prediction]:
    """Read a `predictions.jsonl` file, or the one in a folder.

    Raises:
        DataError: missing, empty, a line that breaks the contract, or an id that is used twice.
    """
    file = Path(path) / PREDICTIONS if Path(path).is_dir() else Path(path)
    predictions: list[Prediction] = []
    for number, row in enumerate(read_jsonl(file), 1):
        try:
            predictions.append(prediction_from_json(row))
        except DataError as error:
            raise DataError(f"{file}:{number}: {error}; write the file again with `adfm eval`") from error
    if not predictions:
        raise DataError(f"{file}: holds no prediction; run `adfm eval` first")
    require_unique(predictions, str(file))
    return predictions


def require_unique(predictions: Sequence[Prediction], origin: str) -> None:
    """Refuse predictions that use an id twice: resampling would count that sample twice.

    Raises:
        DataError: names the first repeated id.
    """
    seen: set[str] = set()
    for prediction in predictions:
        if prediction.id in seen:
            raise DataError(f"{origin}: id '{prediction.id}' is used twice; ids must be unique")
        seen.add(prediction.id)
