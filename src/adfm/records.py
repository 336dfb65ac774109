"""The frozen records that travel between the layers: Sample, Region, Response, Reward, Votes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from adfm.geometry import Box

Label = Literal["normal", "anomalous"]
Split = Literal["train", "validation", "test"]

LABELS: tuple[Label, ...] = ("normal", "anomalous")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Sample:
    """One image and its truth: a line of `manifest.jsonl`.

    Attributes:
        image: path relative to the manifest; so are the paths of `mask`.
        width: of the image as shown (EXIF orientation applied), px; so is `height`.
        boxes: half-open, in original pixels; None where the places of an anomalous image are unknown.
        box_ratio: the dilation that made the boxes, where it was raised.
        tight: False where the boxes mark more than the defect (coarse ellipses, all places a part could be missing).
        white: the value that is shown as white, of an image of more than 8 bits a channel.
        group: what must stay on one side of a split (the source image of a tile, a board, a video).
    """

    id: str
    image: str
    width: int
    height: int
    label: Label
    category: str
    defect: str | None
    mask: str | tuple[str, ...] | None
    boxes: tuple[Box, ...] | None
    split: Split
    sha256: str
    group: str | None = None
    box_ratio: float | None = None
    tight: bool = True
    white: float | None = None

    @property
    def anomalous(self) -> bool:
        """Whether the part is anomalous."""
        return self.label == "anomalous"


@dataclass(frozen=True)
class Region:
    """A place that the model names: a box in original pixels and a short label."""

    box: Box
    label: str


@dataclass(frozen=True)
class Response:
    """What could be read from one answer without guessing; `problems` names what could not.

    `verdict` and `located` are None where they could not be read; `strict` is True for the exact format.
    """

    verdict: Label | None
    regions: tuple[Region, ...]
    located: tuple[Region, ...] | None
    examination: str
    strict: bool
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Reward:
    """The rewards of one answer; `grounding` is None where it does not apply (places unknown)."""

    format: float
    verdict: float
    grounding: float | None
    total: float


class Votes(NamedTuple):
    """How many of several sampled answers gave each verdict, and how many could not be read."""

    anomalous: int
    normal: int
    unread: int

    @property
    def score(self) -> float | None:
        """Share of `anomalous` among the answers that were read; None where more than half were not."""
        read = self.anomalous + self.normal
        return self.anomalous / read if read and self.unread <= read else None


def region_json(region: Region) -> dict[str, Any]:
    """Return a region as the output files hold it, in original pixels."""
    return {"bbox_2d": [float(edge) for edge in region.box], "label": region.label}
