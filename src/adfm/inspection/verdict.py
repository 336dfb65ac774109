"""The verdict on one image, and its JSON, which is a contract: field names, order and meaning do not change.

`adfm.calibration` decides. The explanation is shown and never decides.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from adfm.calibration import Decision
from adfm.config import first_fault
from adfm.errors import DataError
from adfm.predictions import RegionField
from adfm.reasoning import Protocol

SCHEMA: Literal["adfm.verdict/1"] = "adfm.verdict/1"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was decided about one image, why, and by which model and settings.

    The fields from `model` on say what must be the same for the verdict to be the same.

    Attributes:
        image: its name, in a folder the path below the folder.
        sha256: of the bytes that were decoded. None for an image that was decoded elsewhere or could not be read.
        width: of the image as shown, px, and so is `height`. None where there is no answer.
        decision: `ERROR` is a file without an answer.
        score: P(anomalous), calibrated where there is a calibration.
        raw_score: what the model gave.
        regions: defects, in original pixels.
        located: all places that the answer names as suspicious, in original pixels.
        parse: `ok` for the exact format, else the names of the problems. Where there is no answer, `no_answer` for an
            image that could not be asked about, `left_out` for a file that was not taken for an image.
        warnings: why a person must look.
        prompt_sha256: of the question that was asked. None where none was.
        threshold: P(anomalous) from which a part is NG. None where the read verdict alone decides.
        review_from: P(anomalous) from which a part is no longer OK.
        white: the value shown as white in images of more than 8 bits. Left out where it is not known.
        protocol_overrides: the fields in which `protocol` is not the model's own.
    """

    __pydantic_config__: ClassVar = ConfigDict(strict=True, allow_inf_nan=False)

    schema: Literal["adfm.verdict/1"] = SCHEMA
    image: str
    sha256: str | None
    width: int | None = None
    height: int | None = None
    decision: Decision
    score: float | None = None
    raw_score: float | None = None
    regions: tuple[RegionField, ...] = ()
    located: tuple[RegionField, ...] = ()
    explanation: str = ""
    parse: Literal["ok"] | tuple[str, ...] = ("no_answer",)
    warnings: tuple[str, ...] = ()
    timings_ms: dict[str, float]
    model: str
    revision: str
    prompt_sha256: str | None = None
    decoding: dict[str, str | int]
    threshold: float | None
    threshold_origin: str
    review_from: float | None
    protocol: Protocol
    protocol_overrides: dict[str, str | int | bool]
    white: float | None = None

    @property
    def left_out(self) -> bool:
        """Whether this is a file that was listed and not inspected."""
        return "left_out" in self.parse

    def to_json(self) -> dict[str, Any]:
        """Return the content of the verdict's file and of its line in `results.jsonl`."""
        row: dict[str, Any] = _FORMAT.dump_python(self, mode="json")
        return {name: value for name, value in row.items() if name != "white" or value is not None}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Verdict:
        """Read a verdict back.

        Raises:
            DataError: a field is missing or breaks the format.
        """
        try:
            # As JSON, because pydantic is strict there about values and takes a list for a tuple.
            return _FORMAT.validate_json(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace"))
        except ValidationError as error:
            field, rule, _ = first_fault(error)
            raise DataError(f"'{field}': {rule}") from error


_FORMAT = TypeAdapter(Verdict)
