"""MPDD, painted metal parts: the `mvtec` folders under the names of its six categories."""

from __future__ import annotations

from pathlib import Path

from adfm.data.layouts import mvtec

NAME = "mpdd"
SHAPE = "the mvtec folders of bracket_black, bracket_brown, bracket_white, connector, metal_plate, tubes (two or more)"
TERMS: str | None = "MPDD: CC BY-NC-SA"

_NAMES = ("bracket_black", "bracket_brown", "bracket_white", "connector", "metal_plate", "tubes")

read = mvtec.read


def recognise(root: Path) -> str | None:
    """Say why a folder is MPDD, or None."""
    return mvtec.named(root, _NAMES)
