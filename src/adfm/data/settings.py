"""The settings of `adfm data build`; the defaults are the paper's, ours or the field's protocols."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from adfm.config import Settings
from adfm.data.contract import MAX_ENTRIES
from adfm.geometry.masks import DEFAULT_MAX_BOXES, DEFAULT_MIN_AREA, DEFAULT_RATIO

SplitRule = Literal["official", "fractions", "labelled"]
Annotators = Literal["any", "all", "first"]
Share = Annotated[float, Field(ge=0, lt=1)]


class BuildSettings(Settings):
    """What decides a manifest: masks to boxes, tiles, split. `workers` changes the speed alone.

    `white` is the value shown as white in images of more than 8 bits; None: as their highest value demands.
    `split` None: the layout's own split where it has one, else fractions. `shares` are train, validation and test.
    `annotators` None: answers of several people to one image must agree.
    """

    layout: str = "auto"
    white: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    annotators: Annotators | None = None
    dilate: float = Field(default=DEFAULT_RATIO, ge=0, le=1)
    min_area: int = Field(default=DEFAULT_MIN_AREA, ge=0)
    max_boxes: int = Field(default=DEFAULT_MAX_BOXES, ge=1, le=MAX_ENTRIES)
    tile: int | None = Field(default=None, ge=16)
    tile_overlap: float = Field(default=0.25, ge=0, le=0.9)
    tile_normals: int | None = Field(default=None, ge=0)
    split: SplitRule | None = None
    shares: tuple[Share, Share, Share] = (0.7, 0.1, 0.2)
    validation: Share = 0.0
    validation_normals: Share = 0.0
    labelled_fraction: float = Field(default=0.2, gt=0, lt=1)
    group_by: str | None = None
    seed: int = 0
    workers: int | None = Field(default=None, ge=1, le=64)
