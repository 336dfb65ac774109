"""MPDD, painted metal parts: the `mvtec` folders under the names of its six categories."""

from __future__ import annotations

from functools import partial

from adfm.data.layouts import mvtec

NAME = "mpdd"
SHAPE = "the mvtec folders of bracket_black, bracket_brown, bracket_white, connector, metal_plate, tubes (two or more)"
TERMS: str | None = "MPDD: CC BY-NC-SA"

_NAMES = ("bracket_black", "bracket_brown", "bracket_white", "connector", "metal_plate", "tubes")

read, recognise = mvtec.read, partial(mvtec.named, known=_NAMES)
