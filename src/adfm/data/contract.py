"""One line of `manifest.jsonl`: its fields and their rules, defined once, for reading and for writing.

Rules that need other lines, images or masks are those of `adfm data check`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, LiteralString, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from adfm.data.faults import Broken, broken
from adfm.errors import DataError
from adfm.geometry import Box
from adfm.images import MAX_PIXELS
from adfm.records import LABELS, SPLITS, Label, Sample, Split

T = TypeVar("T", str, tuple[str, ...])

MAX_ENTRIES = 1000  # boxes or masks of one sample

_ANCHOR = re.compile(r"[A-Za-z]:|[\\/]")  # a drive or a root, on any system
_HALF = re.compile("[\ud800-\udfff]")
_NO_NAME = re.compile("[\0\ud800-\udfff]")  # what no name of a file can hold
_NULLS = {"defect": None, "mask": None, "boxes": None}  # may be left out by other writers; ours writes them
_CHOICES: dict[str, tuple[str, ...]] = {"label": LABELS, "split": SPLITS}


class LineError(DataError):
    """A manifest line that cannot be read as a sample; `faults` holds every rule that it breaks, each once."""

    def __init__(self, error: ValidationError) -> None:
        faults: dict[Broken, None] = {}
        for complaint in error.errors(include_url=False, include_input=False):
            name, own = str(complaint["loc"][0]), complaint.get("ctx", {}).get("fault")
            if isinstance(own, Broken):
                fault = own
            elif complaint["type"] == "missing":
                fault = broken("field-missing", name=name)
            elif name in _CHOICES:
                fault = broken(f"{name}-unknown", known=", ".join(_CHOICES[name]))
            else:
                fault = broken("field-type", name=name, kind=Line.model_fields[name].description)
            faults[fault] = None
        self.faults = tuple(faults)
        super().__init__(self.faults[0].rule)


def _fault(code: LiteralString, **details: object) -> PydanticCustomError:
    """Return what a validator raises for a broken rule of ours."""
    return PydanticCustomError(code, code, {"fault": broken(code, **details)})


def _not_empty(value: T) -> T:
    if not value:
        raise ValueError("is empty")
    return value


def _whole(text: str, info: ValidationInfo) -> str:
    if _HALF.search(text):  # it cannot be written again
        raise _fault("text-control", name=info.field_name)
    return text


def _relative(path: str) -> str:
    if _ANCHOR.match(path):
        raise _fault("path-absolute", path=path)
    if _NO_NAME.search(path):
        raise _fault("path-text", path=path)
    return path


def _box(edges: Any, info: ValidationInfo) -> Box:
    if not (isinstance(edges, list) and len(edges) == 4 and all(type(edge) is int for edge in edges)):
        raise _fault("box-malformed", box=_short(edges))
    box = Box(*edges)
    if box.x1 >= box.x2 or box.y1 >= box.y2:
        raise _fault("box-empty", box=_short(edges))
    width, height = info.data.get("width"), info.data.get("height")
    if width and height and (box.x1 < 0 or box.y1 < 0 or box.x2 > width or box.y2 > height):
        raise _fault("box-outside", box=_short(edges), width=width, height=height)
    return box


def _require_few(values: Any, name: str) -> None:
    if isinstance(values, list) and len(values) > MAX_ENTRIES:
        raise _fault("field-long", name=name, count=len(values), most=MAX_ENTRIES)


def _short(value: Any) -> str:
    """Return a value as at most 60 characters; a whole number may have more digits than Python is willing to write."""
    try:
        return f"{value!r:.60}"
    except (ValueError, RecursionError):
        return "(too long to show)"


FileName = Annotated[str, AfterValidator(_not_empty)]
Text = Annotated[FileName, AfterValidator(_whole)]
RelativePath = Annotated[FileName, AfterValidator(_relative)]
Masks = Annotated[
    Annotated[RelativePath, Tag("one")]
    | Annotated[tuple[RelativePath, ...], Field(strict=False), AfterValidator(_not_empty), Tag("several")],
    Discriminator(lambda value: "one" if isinstance(value, str) else "several"),
]
WireBox = Annotated[Box, PlainValidator(_box), PlainSerializer(lambda box: [int(edge) for edge in box])]
Ratio = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, allow_inf_nan=False)]
White = Annotated[int, Field(gt=0)] | Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Line(BaseModel):
    """The fields of a line, in the order in which they are written; a description says what a field may hold.

    They are the fields of `Sample`. The last four are left out where they have their default.
    """

    model_config = ConfigDict(strict=True)

    id: Text = Field(description="a non-empty text")
    image: RelativePath = Field(description="a non-empty text")
    width: int = Field(gt=0, description="a whole number above 0")
    height: int = Field(gt=0, description="a whole number above 0")
    label: Label
    category: Text = Field(description="a non-empty text")
    defect: Text | None = Field(description="a text or null")
    mask: Masks | None = Field(description="a path, a list of paths or null")
    boxes: Annotated[tuple[WireBox, ...], Field(strict=False)] | None
    split: Split
    sha256: Text = Field(description="a non-empty text")
    group: Text | None = Field(default=None, description="a text or null")
    box_ratio: Ratio | None = Field(default=None, description="a number of at least 0 or absent")
    tight: bool = Field(default=True, description="true, false or absent")
    white: White | None = Field(default=None, description="a number above 0 or absent")

    @field_validator("height")
    @classmethod
    def size_within_limit(cls, height: int, info: ValidationInfo) -> int:
        """Refuse an image that is too large to be decoded."""
        width = info.data.get("width", 1)
        if width * height > MAX_PIXELS:
            raise _fault("size-limit", width=_short(width), height=_short(height), limit=MAX_PIXELS)
        return height

    @field_validator("defect", mode="before")
    @classmethod
    def defect_fits_label(cls, defect: Any, info: ValidationInfo) -> Any:
        """Refuse a defect on a normal image."""
        if defect is not None and info.data.get("label") == "normal":
            raise _fault("defect-on-normal")
        return defect

    @field_validator("mask", mode="before")
    @classmethod
    def masks_within_limit(cls, mask: Any) -> Any:
        """Refuse more masks than any image has."""
        _require_few(mask, "mask")
        return mask

    @field_validator("boxes", mode="before")
    @classmethod
    def boxes_fit_label(cls, boxes: Any, info: ValidationInfo) -> Any:
        """Read null as unknown places on an anomalous image and as no boxes on a normal one."""
        label = info.data.get("label")
        if boxes is None:
            return [] if label == "normal" else None
        if not isinstance(boxes, list):
            raise _fault("boxes-type")
        _require_few(boxes, "boxes")
        if boxes and label == "normal":
            raise _fault("boxes-on-normal")
        if not boxes and label == "anomalous":
            raise _fault("boxes-empty")
        return boxes


def sample_json(sample: Sample) -> dict[str, Any]:
    """Return a sample as its manifest line: the contract's fields first, our own where they differ from the default."""
    return Line.model_construct(**vars(sample)).model_dump(mode="json", exclude_defaults=True)


def sample_from_json(row: dict[str, Any]) -> Sample:
    """Return the sample of a manifest line; unknown fields are ignored.

    Raises:
        LineError: the line breaks a rule; it names all of them.
    """
    try:
        return Sample(**vars(Line.model_validate(_NULLS | row)))
    except ValidationError as error:
        raise LineError(error) from error
