"""DTD-Synthetic: the `mvtec` folders under the names of its twelve textures; a `template` folder beside them is left out."""

from __future__ import annotations

from functools import partial

from adfm.data.layouts import mvtec

NAME = "dtd-synthetic"
SHAPE = "the mvtec folders of Woven_001, Stratified_154, Mesh_114 and the other textures (two or more)"
TERMS: str | None = "DTD-Synthetic: not known here; see its publisher"

_NAMES = (
    *(f"Woven_{number}" for number in ("001", "068", "104", "125", "127")),
    *("Stratified_154", "Blotchy_099", "Marbled_078", "Perforated_037", "Mesh_114", "Fibrous_183", "Matted_069"),
)

read, recognise = mvtec.read, partial(mvtec.named, known=_NAMES)
