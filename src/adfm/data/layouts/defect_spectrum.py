"""Defect Spectrum's MVTec part, as MMAD has it: `image/{good,<defect>}` and `mask/<defect>`; a test part only."""

from __future__ import annotations

from functools import partial

from adfm.data.layouts import tree
from adfm.data.layouts.walk import below, recogniser

NAME = "defect-spectrum"
SHAPE = "image/good, image/<defect>, mask/<defect>/<stem>_mask.png (one category or several)"
TERMS: str | None = "Defect Spectrum: MIT for its annotations; the images are MVTec AD's, CC BY-NC-SA 4.0"


recognise = recogniser(lambda folder: below(folder, "image", "good") and below(folder, "mask"), "image/good and mask")
read = partial(tree.read, splits={"image": "test"})
